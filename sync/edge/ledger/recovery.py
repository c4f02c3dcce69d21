"""Recovers records from a ledger that was set aside, damaged or not; the file itself is never changed.

Its unacknowledged records are copied to the table `earlier` of the new ledger and delivered under their old epoch and
number.
"""

from __future__ import annotations

import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

from sqlite_utils import Database

from sync.contract.chain import HASH_BYTES
from sync.contract.records import RECORD_TYPES, Gap, Record
from sync.edge.ledger.schema import Row, RowCipher
from sync.edge.ledger.writer import LedgerWriter
from sync.errors import BadMessage, DecryptionFailed, StoreFailed
from sync.storage.encryption import KeyedCipher
from sync.storage.sqlite_thread import aside_files, drop_aside, is_older, set_aside, store_failure

log = logging.getLogger(__name__)

RENEWED = "renewed"
_CHUNK = 512  # numbers read at once; halved where the file is damaged
_PENDING = (
    "SELECT (SELECT epoch FROM ledger), seq, kind, body, appended_ms, {chain} FROM record NOT INDEXED"
    " WHERE seq BETWEEN ? AND ? AND acknowledged_ms IS NULL ORDER BY seq"
)
_ROWS = (
    "SELECT (SELECT epoch FROM ledger), seq, kind, body, appended_ms, chain FROM record"
    " WHERE seq BETWEEN ? AND ? ORDER BY seq"
)
_EARLIER = "SELECT epoch, seq, kind, body, appended_ms, chain FROM earlier ORDER BY epoch, seq"
_SAVE = (
    "INSERT OR IGNORE INTO earlier (epoch, seq, kind, body, appended_ms, chain)"
    " VALUES (:epoch, :seq, :kind, :body, :appended_ms, :chain)"
)
_LAST = ("SELECT max(seq) FROM record", "SELECT seq FROM sqlite_sequence WHERE name = 'record'")


@dataclass(slots=True)
class RecoveredRecords:
    """Result for one file: unacknowledged rows that were recovered, and numbers that could not be read.

    Without an epoch the records cannot be identified, and none are delivered.
    """

    epoch: str | None = None
    saved: int = 0
    unreadable: list[int] = field(default_factory=list)


def import_set_aside(db: Database, ledger: Path, writer: LedgerWriter, cipher: KeyedCipher | None) -> None:
    """Recover every file that was set aside for `ledger`; each start repeats this until it succeeds.

    A file that is encrypted with another key is recovered at the first start with that key.
    """
    done = {name for (name,) in db.conn.execute("SELECT file FROM salvaged")}
    for path in (*aside_files(ledger), *aside_files(ledger, RENEWED)):
        if path.name in done:
            continue
        try:
            result = recover(path, lambda rows: save_rows(db, writer.cipher, rows), writer.cipher.box, cipher)
            writer.append(db, list(_report(path, result, writer)))
            db.conn.execute("INSERT INTO salvaged VALUES (?)", (path.name,))
        except (sqlite3.Error, StoreFailed) as exc:
            log.warning("%s: recovery failed, the next start tries again: %s", path.name, exc)


def start_new_epoch(ledger: Path) -> Path:
    """Set an undamaged ledger aside that no process has open; return its new path. Raises StoreFailed.

    The next start begins a new epoch and delivers the pending records of the old file.
    """
    return set_aside(ledger, RENEWED)


def forget_recovered(db: Database, ledger: Path, kept_s: float) -> dict[str, int]:
    """Delete recovered files that were last written at least `kept_s` ago; return the number by kind."""
    old = [
        path
        for (name,) in db.conn.execute("SELECT file FROM salvaged").fetchall()
        if is_older(path := ledger.with_name(name), kept_s)
    ]
    for path in old:
        drop_aside(path)
    return dict(Counter(map(_kind, old)))


def _kind(aside: Path) -> str:
    return "ledger_renewed" if f".{RENEWED}-" in aside.name else "ledger_damaged"


def read_rows(connection: sqlite3.Connection, cipher: RowCipher, first: int, last: int) -> list[Row]:
    """The readable records `first` to `last` of a file, acknowledged or not, decrypted."""
    found = [Row(*values) for values in connection.execute(_ROWS, (first, last))]
    return [plain for row in found if (plain := _decrypted(row, cipher))]


def save_rows(db: Database, cipher: RowCipher, rows: list[Row]) -> None:
    """Store rows of an earlier epoch for sending. Raises StoreFailed."""
    try:
        with db.atomic():
            db.conn.executemany(_SAVE, [asdict(cipher.encrypt(row)) for row in rows])
    except sqlite3.Error as exc:  # an error of the new file, not damage of the old one
        raise store_failure(exc) from exc


def _report(path: Path, result: RecoveredRecords, writer: LedgerWriter) -> Iterator[Record]:
    lost = result.unreadable
    yield writer.alarm(
        _kind(path),
        "ledger",
        f"set aside as {path.name}; {result.saved} pending records recovered, {len(lost)} records unreadable"
        if result.epoch
        else f"set aside as {path.name}; no record could be read",
    )
    if result.epoch and lost:
        yield Gap(
            noted=writer.now(),
            lost={"unreadable": len(lost)},
            first_seq=min(lost),
            last_seq=max(lost),
            epoch=result.epoch,
        )


def recover(path: Path, save: Callable[[list[Row]], None], box: str, cipher: KeyedCipher | None) -> RecoveredRecords:
    """Pass every readable unacknowledged row of the ledger at `path` to `save`, decrypted.

    Damage is counted, not raised. Raises WrongKey, and exceptions of `save`.
    """
    result = RecoveredRecords()
    try:
        # Read-only, so that its write-ahead log is read too and not changed.
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            connection.execute("PRAGMA writable_schema=ON")  # otherwise SQLite rejects a truncated file entirely
            [result.epoch] = connection.execute("SELECT epoch FROM ledger").fetchone()
            _Reader(connection, save, result, RowCipher.for_reading(connection, box, cipher)).read()
    except sqlite3.Error as exc:
        log.warning("%s: some records cannot be read: %s", path.name, exc)
    return result


class _Reader:
    """Reads one file in ranges of numbers; bisects ranges that fail, down to the rows on the damaged page."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        save: Callable[[list[Row]], None],
        result: RecoveredRecords,
        cipher: RowCipher,
    ) -> None:
        self._connection = connection
        self._cipher = cipher
        self._save = save
        self._result = result
        columns = {row[1] for row in connection.execute("PRAGMA table_info(record)")}
        self._pending = _PENDING.format(chain="chain" if "chain" in columns else "NULL")

    def read(self) -> None:
        last = max(self._number(query) for query in _LAST)
        for first in range(1, last + 1, _CHUNK):
            self._range(first, min(first + _CHUNK - 1, last))
        if self._connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'earlier'").fetchone():
            cursor = self._connection.execute(_EARLIER)
            while values := cursor.fetchmany(_CHUNK):
                self._take([Row(*each) for each in values])

    def _number(self, query: str) -> int:
        try:
            answer = self._connection.execute(query).fetchone()
        except sqlite3.Error as exc:
            log.warning("set aside: %s: %s", query, exc)
            return 0
        return int(answer[0]) if answer and isinstance(answer[0], int) else 0

    def _range(self, first: int, last: int) -> None:
        try:
            values = self._connection.execute(self._pending, (first, last)).fetchall()
        except sqlite3.Error:
            if first == last:
                self._result.unreadable.append(first)
                return
            middle = (first + last) // 2
            self._range(first, middle)
            self._range(middle + 1, last)
            return
        self._take([Row(*each) for each in values])

    def _take(self, rows: list[Row]) -> None:
        found = [(row, _decrypted(row, self._cipher)) for row in rows]
        readable = [plain for _, plain in found if plain]
        self._save(readable)
        self._result.saved += len(readable)
        self._result.unreadable += [row.seq for row, plain in found if row.epoch == self._result.epoch and not plain]


def _decrypted(row: Row, cipher: RowCipher) -> Row | None:
    """`row` decrypted, or None if it is damaged; the platform detects other damage by the hash chain."""
    chained = row.chain is None or (isinstance(row.chain, bytes) and len(row.chain) == HASH_BYTES)
    if not chained or row.kind not in RECORD_TYPES or not isinstance(row.appended_ms, int):
        return None
    try:
        plain = cipher.decrypt(row)
        plain.record()
    except (BadMessage, DecryptionFailed):
        return None
    return plain

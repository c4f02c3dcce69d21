"""What can still be read of a ledger that was set aside, damaged or to be renewed; the file itself is never changed.

What waited in it goes into `earlier` of the new ledger, to be delivered under its old epoch and number.
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

_RENEWED = "renewed"
_CHUNK = 512  # numbers asked for at once; halved where the file is damaged
_WAITING = (
    "SELECT (SELECT epoch FROM ledger), seq, kind, body, appended_ms, {chain} FROM record NOT INDEXED"
    " WHERE seq BETWEEN ? AND ? AND acknowledged_ms IS NULL ORDER BY seq"
)
_EARLIER = "SELECT epoch, seq, kind, body, appended_ms, chain FROM earlier ORDER BY epoch, seq"
_KEEP = (
    "INSERT OR IGNORE INTO earlier (epoch, seq, kind, body, appended_ms, chain)"
    " VALUES (:epoch, :seq, :kind, :body, :appended_ms, :chain)"
)
_LAST = ("SELECT max(seq) FROM record", "SELECT seq FROM sqlite_sequence WHERE name = 'record'")


@dataclass(slots=True)
class RecoveredRecords:
    """What became of one file: rows that still waited for the platform, and the numbers that could not be read.

    Without an epoch nothing can be named, and nothing is delivered of it.
    """

    epoch: str | None = None
    kept: int = 0
    unreadable: list[int] = field(default_factory=list)


def import_set_aside(db: Database, ledger: Path, writer: LedgerWriter, cipher: KeyedCipher | None) -> None:
    """Salvage every file set aside for `ledger` that was not yet: repeated until it went through to the end.

    One that `cipher` does not open waits for the start at which its key is back.
    """
    done = {name for (name,) in db.conn.execute("SELECT file FROM salvaged")}
    for path in (*aside_files(ledger), *aside_files(ledger, _RENEWED)):
        if path.name in done:
            continue
        try:
            result = recover(path, lambda rows: _keep(db, writer.cipher, rows), writer.cipher.box, cipher)
            writer.append(db, list(_account(path, result, writer)))
            db.conn.execute("INSERT INTO salvaged VALUES (?)", (path.name,))
        except (sqlite3.Error, StoreFailed) as exc:
            log.warning("%s: tried again at the next start: %s", path.name, exc)


def start_new_epoch(ledger: Path) -> Path:
    """Set a sound ledger aside that nobody has open; returns where it is now. Raises StoreFailed.

    The next start begins a new epoch and takes over what waits in it.
    """
    return set_aside(ledger, _RENEWED)


def forget_recovered(db: Database, ledger: Path, kept_s: float) -> dict[str, int]:
    """Delete the files that were salvaged and last written `kept_s` ago or before; returns how many of each kind."""
    old = [
        path
        for (name,) in db.conn.execute("SELECT file FROM salvaged").fetchall()
        if is_older(path := ledger.with_name(name), kept_s)
    ]
    for path in old:
        drop_aside(path)
    return dict(Counter(map(_kind, old)))


def _kind(aside: Path) -> str:
    return "ledger_renewed" if f".{_RENEWED}-" in aside.name else "ledger_damaged"


def _keep(db: Database, cipher: RowCipher, rows: list[Row]) -> None:
    try:
        with db.atomic():
            db.conn.executemany(_KEEP, [asdict(cipher.encrypt(row)) for row in rows])
    except sqlite3.Error as exc:  # of the new file, and no damage of the old one
        raise store_failure(exc) from exc


def _account(path: Path, result: RecoveredRecords, writer: LedgerWriter) -> Iterator[Record]:
    lost = result.unreadable
    yield writer.alarm(
        _kind(path),
        "ledger",
        f"set aside as {path.name}; {result.kept} waiting records kept, {len(lost)} numbers unreadable"
        if result.epoch
        else f"set aside as {path.name}; nothing of it can be read",
    )
    if result.epoch and lost:
        yield Gap(
            noted=writer.now(),
            lost={"unreadable": len(lost)},
            first_seq=min(lost),
            last_seq=max(lost),
            epoch=result.epoch,
        )


def recover(path: Path, keep: Callable[[list[Row]], None], box: str, cipher: KeyedCipher | None) -> RecoveredRecords:
    """Hand every row of the ledger at `path` that waits and can be read to `keep`, opened.

    Damage is counted, never raised. Raises WrongKey where `cipher` does not fit, and what `keep` raises.
    """
    result = RecoveredRecords()
    try:
        # Read-only, so that the write-ahead log beside it is read too and stays as it is.
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            connection.execute("PRAGMA writable_schema=ON")  # else a file that was cut short is refused as a whole
            [result.epoch] = connection.execute("SELECT epoch FROM ledger").fetchone()
            _Reader(connection, keep, result, RowCipher.for_reading(connection, box, cipher)).read()
    except sqlite3.Error as exc:
        log.warning("%s: not everything can be read: %s", path.name, exc)
    return result


class _Reader:
    """Reads one file in ranges of numbers, and ranges that fail by halves, down to the rows on the damaged page."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        keep: Callable[[list[Row]], None],
        result: RecoveredRecords,
        cipher: RowCipher,
    ) -> None:
        self._connection = connection
        self._cipher = cipher
        self._keep = keep
        self._result = result
        columns = {row[1] for row in connection.execute("PRAGMA table_info(record)")}
        self._waiting = _WAITING.format(chain="chain" if "chain" in columns else "NULL")

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
            values = self._connection.execute(self._waiting, (first, last)).fetchall()
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
        found = [(row, _whole(row, self._cipher)) for row in rows]
        whole = [opened for _, opened in found if opened]
        self._keep(whole)
        self._result.kept += len(whole)
        self._result.unreadable += [row.seq for row, opened in found if row.epoch == self._result.epoch and not opened]


def _whole(row: Row, cipher: RowCipher) -> Row | None:
    """`row`, opened, where damage left its record valid; the hash chain tells the platform the rest."""
    chained = row.chain is None or (isinstance(row.chain, bytes) and len(row.chain) == HASH_BYTES)
    if not chained or row.kind not in RECORD_TYPES or not isinstance(row.appended_ms, int):
        return None
    try:
        opened = cipher.decrypt(row)
        opened.record()
    except (BadMessage, DecryptionFailed):
        return None
    return opened

"""Recovers records from a ledger that was set aside, damaged or not; the file itself is never changed.

Its unacknowledged records are copied to the table `earlier` of the new ledger and delivered under their old epoch and
number.
"""

from __future__ import annotations

import logging
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

from sqlite_utils import Database

from sync.contract.records import Gap, Record
from sync.edge.ledger.schema import Row, RowCipher
from sync.edge.ledger.writer import LedgerWriter
from sync.errors import BadMessage, DamagedFile, DecryptionFailed, StoreFailed, WrongKey
from sync.storage.damage import connect_read_only
from sync.storage.encryption import KeyedCipher, NoEncryption
from sync.storage.file_head import FileHead, read_head
from sync.storage.salvage import salvage_copy
from sync.storage.set_aside import aside_files, drop_aside, is_older
from sync.storage.sqlite_thread import set_aside, store_failure

log = logging.getLogger(__name__)

RENEWED = "renewed"
_CHUNK = 512  # numbers read at once; halved where the file is damaged
_EARLIEST_MS = 1_000_000_000_000  # 2001: an acknowledgement before is a damaged NULL; sending again does no harm
_ROWS = (
    "SELECT ?, seq, kind, body, appended_ms, {chain}, acknowledged_ms FROM record NOT INDEXED"
    " WHERE seq BETWEEN ? AND ? ORDER BY seq"
)
_EARLIER = "SELECT epoch, seq, kind, body, appended_ms, chain FROM earlier ORDER BY epoch {order}, seq {order}"
_SAVE = (
    "INSERT OR IGNORE INTO earlier (epoch, seq, kind, body, appended_ms, chain)"
    " VALUES (:epoch, :seq, :kind, :body, :appended_ms, :chain)"
)
_FIRST = "SELECT min(seq) FROM record"
_LAST = ("SELECT max(seq) FROM record", "SELECT seq FROM sqlite_sequence WHERE name = 'record'")
_EPOCH = "SELECT epoch FROM ledger"


@dataclass(slots=True)
class RecoveredRecords:
    """Result for one file: unacknowledged rows that were recovered, and ranges of numbers that could not be read.

    Without an epoch the records cannot be identified, and none are delivered.
    """

    epoch: str | None = None
    saved: int = 0
    unreadable: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))  # by epoch
    earlier_damaged: bool = False  # an unknown number of records of earlier epochs could not be read

    @property
    def lost(self) -> int:
        """How many numbers could not be read."""
        return sum(last - first + 1 for ranges in self.unreadable.values() for first, last in ranges)

    def lose(self, epoch: str, first: int, last: int) -> None:
        """Count the numbers `first` to `last` of `epoch` as unreadable."""
        if first <= last:
            self.unreadable[epoch].append((first, last))


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
    """Delete recovered or reported files that were last written `kept_s` ago or earlier; return the number by kind."""
    old = [
        path
        for (name,) in db.conn.execute("SELECT file FROM salvaged").fetchall()
        if is_older(path := ledger.with_name(name), kept_s)
    ]
    for path in old:
        drop_aside(path)
    return dict(Counter(map(_kind, old)))


def report_files(db: Database, others: Sequence[Path], writer: LedgerWriter) -> int:
    """Raise an alarm for each damaged file of `others` that is not reported yet; return the last number, or 0."""
    last_seq, done = 0, {name for (name,) in db.conn.execute("SELECT file FROM salvaged")}
    for path in others:
        for aside in aside_files(path):
            if aside.name in done:
                continue
            try:
                alarm = writer.alarm(_kind(aside), path.stem, f"damaged, emptied or missing; set aside as {aside.name}")
                _, last_seq = writer.append(db, [alarm])
                db.conn.execute("INSERT INTO salvaged VALUES (?)", (aside.name,))
            except sqlite3.OperationalError as exc:
                log.warning("%s: not reported, the next start tries again: %s", aside.name, exc)
    return last_seq


def _kind(aside: Path) -> str:
    """The kind of alarm, such as ledger_damaged."""
    store, _, more = aside.name.partition(".")
    return f"{store}_renewed" if f".{RENEWED}-" in f".{more}" else f"{store}_damaged"


def read_rows(connection: sqlite3.Connection, cipher: RowCipher, epoch: str, first: int, last: int) -> list[Row]:
    """The readable records `first` to `last` of a file, acknowledged or not, decrypted. Raises sqlite3.Error."""
    found = [Row(*values[:-1]) for values in connection.execute(_ROWS.format(chain="chain"), (epoch, first, last))]
    return [plain for row in found if (plain := _decrypted(row, [cipher]))]


def save_rows(db: Database, cipher: RowCipher, rows: list[Row]) -> None:
    """Store rows of an earlier epoch for sending. Raises StoreFailed."""
    try:
        with db.atomic():
            db.conn.executemany(_SAVE, [asdict(cipher.encrypt(row)) for row in rows])
    except sqlite3.Error as exc:  # an error of the new file, not damage of the old one
        raise store_failure(exc) from exc


def _report(path: Path, result: RecoveredRecords, writer: LedgerWriter) -> Iterator[Record]:
    found = f"{result.saved} pending records recovered, {result.lost} records unreadable"
    earlier = "; some records of earlier epochs are unreadable" if result.earlier_damaged else ""
    detail = f"{found}{earlier}" if result.epoch else "no record could be read"
    yield writer.alarm(_kind(path), "ledger", f"set aside as {path.name}; {detail}")
    for epoch, ranges in result.unreadable.items():
        yield Gap(
            noted=writer.now(),
            lost={"unreadable": sum(last - first + 1 for first, last in ranges)},
            first_seq=min(first for first, _ in ranges),
            last_seq=max(last for _, last in ranges),
            epoch=epoch,
        )


def unreadable_report(writer: LedgerWriter, names: Sequence[tuple[str, int]]) -> list[Record]:
    """An alarm and gap records for rows, by epoch and number, that were found unreadable and parked."""
    by_epoch: dict[str, list[int]] = defaultdict(list)
    for epoch, seq in names:
        by_epoch[epoch].append(seq)
    alarm = writer.alarm("ledger_damaged", "ledger", f"{len(names)} records unreadable; the others are sent")
    gaps = [
        Gap(
            noted=writer.now(),
            lost={"unreadable": len(numbers)},
            first_seq=min(numbers),
            last_seq=max(numbers),
            epoch=epoch,
        )
        for epoch, numbers in by_epoch.items()
    ]
    return [alarm, *gaps]


def recover(path: Path, save: Callable[[list[Row]], None], box: str, cipher: KeyedCipher | None) -> RecoveredRecords:
    """Pass every readable unacknowledged row of the ledger at `path` to `save`, decrypted.

    Damage is counted, not raised. Raises WrongKey, and exceptions of `save`.
    """
    head = read_head(path)
    result = RecoveredRecords(head.identity if head else None)
    reader = _Reader(save, result, head)
    try:
        with salvage_copy(path) as copy, closing(connect_read_only(copy)) as connection:
            connection.execute("PRAGMA writable_schema=ON")  # otherwise SQLite rejects a truncated file entirely
            result.epoch = result.epoch or _epoch(connection)
            reader.read(connection, box, cipher)
    except (sqlite3.Error, DamagedFile) as exc:
        log.warning("%s: some records cannot be read: %s", path.name, exc)
        result.earlier_damaged = True
    if head is not None:
        result.lose(head.identity, reader.read_to + 1, head.count)
    return result


def _epoch(connection: sqlite3.Connection) -> str:
    found = connection.execute(_EPOCH).fetchone()
    if found is None:
        raise DamagedFile("the epoch is missing")
    return str(found[0])


class _Reader:
    """Reads one file in ranges of numbers; bisects ranges that fail, down to the rows on the damaged page."""

    def __init__(self, save: Callable[[list[Row]], None], result: RecoveredRecords, head: FileHead | None) -> None:
        self.read_to = 0  # numbers up to this one are recovered, acknowledged, deleted or counted as unreadable
        self._save = save
        self._result = result
        self._head = head
        self._ciphers: list[RowCipher] = []
        self._has_earlier = head is not None  # otherwise the file may be from 0.1, without hashes and earlier epochs
        self._rows = ""
        self._found_rows = False

    def read(self, connection: sqlite3.Connection, box: str, cipher: KeyedCipher | None) -> None:
        """Read the file. Raises WrongKey, sqlite3.Error."""
        try:
            self._ciphers, refused = [RowCipher.for_reading(connection, box, cipher)], None
        except (WrongKey, DamagedFile) as exc:  # the header may be damaged: the rows decide
            self._ciphers = [RowCipher(box, each) for each in (cipher, NoEncryption()) if each is not None]
            refused = exc
        columns = {row[1] for row in connection.execute("PRAGMA table_info(record)")}
        self._has_earlier = self._head is not None or "chain" in columns
        self._rows = _ROWS.format(chain="chain" if self._has_earlier else "NULL")
        for read in (self._read_record, self._read_earlier):
            try:
                read(connection)
            except sqlite3.Error as exc:
                log.warning("set aside: some records cannot be read: %s", exc)
        if isinstance(refused, WrongKey) and self._found_rows and not self._result.saved:
            raise refused

    def _read_record(self, connection: sqlite3.Connection) -> None:
        oldest, last = self._number(connection, _FIRST), self._last(connection)
        for first in range(1, last + 1, _CHUNK):
            self._range(connection, first, min(first + _CHUNK - 1, last), oldest)
            self.read_to = min(first + _CHUNK - 1, last)

    def _read_earlier(self, connection: sqlite3.Connection) -> None:
        """Rows of earlier epochs, from both ends up to a damaged page."""
        try:
            self._read_all(connection, _EARLIER.format(order="ASC"))
        except sqlite3.Error:
            self._result.earlier_damaged = self._has_earlier
            self._read_all(connection, _EARLIER.format(order="DESC"))

    def _read_all(self, connection: sqlite3.Connection, query: str) -> None:
        found: list[Row] = []
        try:
            found.extend(Row(*values) for values in connection.execute(query))
        finally:
            self._take(found)

    def _last(self, connection: sqlite3.Connection) -> int:
        """The last number. Of two or three sources at most one is damaged, and a damaged one may be huge."""
        sources = [self._number(connection, query) for query in _LAST]
        found = sorted(filter(None, [*sources, self._head.count if self._head else 0]))
        return found[(len(found) - 1) // 2] if found else 0

    def _number(self, connection: sqlite3.Connection, query: str) -> int:
        try:
            answer = connection.execute(query).fetchone()
        except sqlite3.Error as exc:
            log.warning("set aside: %s: %s", query, exc)
            return 0
        return answer[0] if answer and isinstance(answer[0], int) else 0

    def _range(self, connection: sqlite3.Connection, first: int, last: int, oldest: int) -> None:
        epoch = str(self._result.epoch)
        try:
            values = connection.execute(self._rows, (epoch, first, last)).fetchall()
        except sqlite3.Error:
            if first == last:
                self._result.lose(epoch, first, last)
                return
            middle = (first + last) // 2
            self._range(connection, first, middle, oldest)
            self._range(connection, middle + 1, last, oldest)
            return
        there = {each[1] for each in values}
        for seq in range(max(first, oldest), last + 1):
            if seq not in there:
                self._result.lose(epoch, seq, seq)
        self._take([Row(*each) for *each, acknowledged_ms in values if not _is_acknowledged(acknowledged_ms)])

    def _take(self, rows: list[Row]) -> None:
        self._found_rows = self._found_rows or bool(rows)
        found = [(row, _decrypted(row, self._ciphers)) for row in rows]
        readable = [plain for _, plain in found if plain]
        self._save(readable)
        self._result.saved += len(readable)
        for row, plain in found:
            if plain is None:
                self._result.lose(row.epoch, row.seq, row.seq)


def _decrypted(row: Row, ciphers: Sequence[RowCipher]) -> Row | None:
    """`row` decrypted, or None if it is damaged; the platform detects other damage by the hash chain."""
    for cipher in ciphers:
        try:
            plain = cipher.decrypt(row)
            plain.record()
        except (BadMessage, DecryptionFailed):
            continue
        return plain
    return None


def _is_acknowledged(acknowledged_ms: object) -> bool:
    return isinstance(acknowledged_ms, int) and acknowledged_ms >= _EARLIEST_MS

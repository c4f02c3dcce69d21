"""The ends of the epochs of a ledger, and the records of earlier epochs that the platform asks for again."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from sqlite_utils import Database

from sync.contract.messages import EPOCH_LIMIT, WAITING_LIMIT, EpochEnd
from sync.edge.ledger.recovery import RENEWED, read_rows, save_rows
from sync.edge.ledger.schema import RowCipher, read_tail
from sync.errors import DamagedFile, StoreFailed
from sync.storage.damage import connect_read_only
from sync.storage.encryption import KeyedCipher
from sync.storage.file_head import read_head
from sync.storage.set_aside import aside_files

log = logging.getLogger(__name__)

Ranges = list[tuple[int, int]]
_RECALLED = 4096  # most numbers looked up for one request; the platform asks again for the others
_WAITING = (
    "SELECT min(seq), max(seq) FROM (SELECT seq, seq - row_number() OVER (ORDER BY seq) AS run FROM ({numbers}))"
    " GROUP BY run ORDER BY 1 LIMIT ?"
)
_OWN = "SELECT seq FROM waiting UNION ALL SELECT seq FROM record WHERE parked IS NOT NULL AND acknowledged_ms IS NULL"
_EARLIER = "SELECT seq FROM earlier WHERE epoch = ?"
_ENDS = "SELECT epoch, last_seq, chain FROM epoch_end ORDER BY rowid DESC LIMIT ?"
_SAVE = "INSERT OR REPLACE INTO epoch_end VALUES (?, ?, ?, ?)"


def read_ends(db: Database, box: str) -> tuple[EpochEnd, ...]:
    """The ends of the current epoch and of the newest earlier ones."""
    tail = read_tail(db, box)
    head = tail.chain.hex() if tail.seq else None
    own = EpochEnd(tail.epoch, tail.seq, head, _waiting(db, _OWN))
    earlier = db.conn.execute(_ENDS, (EPOCH_LIMIT - 1,)).fetchall()
    return (
        own,
        *(
            EpochEnd(epoch, last_seq, None if chain is None else chain.hex(), _waiting(db, _EARLIER, epoch))
            for epoch, last_seq, chain in earlier
        ),
    )


def _waiting(db: Database, numbers: str, *parameters: object) -> tuple[tuple[int, int], ...]:
    found = db.conn.execute(_WAITING.format(numbers=numbers), (*parameters, WAITING_LIMIT))
    return tuple((first, last) for first, last in found)


def note_ends(db: Database, ledger: Path) -> None:
    """Store the end of each epoch whose file was set aside; of a damaged file the end is not certain."""
    known = {file for (file,) in db.conn.execute("SELECT file FROM epoch_end")}
    for path in (*aside_files(ledger), *aside_files(ledger, RENEWED)):
        if path.name not in known and (end := _end_of(path)) is not None:
            epoch, last_seq, chain = end
            is_certain = f".{RENEWED}-" in path.name
            db.conn.execute(_SAVE, (epoch, path.name, last_seq, chain if is_certain else None))


def _end_of(path: Path) -> tuple[str, int, bytes | None] | None:
    """Epoch, last number and last hash of a file that was set aside, as far as file and head can be read."""
    head = read_head(path)
    epoch, last_seq, chain = (head.identity, head.count, None) if head else (None, 0, None)
    try:
        with closing(connect_read_only(path)) as connection:
            [found] = connection.execute("SELECT epoch FROM ledger").fetchone()
            newest = connection.execute("SELECT seq, chain FROM record ORDER BY seq DESC LIMIT 1").fetchone()
            if epoch in (None, found) and newest is not None and newest[0] >= last_seq:
                epoch, (last_seq, chain) = found, newest
    except (sqlite3.Error, DamagedFile, TypeError) as exc:
        log.warning("%s: the end of its epoch is not certain: %s", path.name, exc)
    return (epoch, last_seq, chain) if isinstance(epoch, str) and last_seq else None


def recall(
    db: Database,
    ledger: Path,
    cipher: RowCipher,
    key: KeyedCipher | None,
    epoch: str,
    ranges: Sequence[tuple[int, int]],
) -> Ranges:
    """Have records of an earlier epoch sent again that are still in its file; return the numbers that are gone.

    `key` decrypts the file.
    """
    asked = list(ranges)
    for path in (*aside_files(ledger), *aside_files(ledger, RENEWED)):
        end = _end_of(path)
        if end is None or end[0] != epoch:
            continue
        asked = list(_first_numbers(ranges, _RECALLED))
        try:
            with closing(connect_read_only(path)) as connection:
                theirs = RowCipher.for_reading(connection, cipher.box, key)
                for first, last in asked:
                    save_rows(db, cipher, read_rows(connection, theirs, epoch, first, last))
        except (sqlite3.Error, StoreFailed) as exc:
            log.warning("%s: records that the platform asks for cannot be read: %s", path.name, exc)
    return [
        gone for first, last in asked for gone in _holes(db, "earlier WHERE epoch = :epoch AND", epoch, first, last)
    ]


def gone_from_current(db: Database, ranges: Sequence[tuple[int, int]], last_seq: int) -> Ranges:
    """The numbers of `ranges` up to `last_seq` whose rows the ledger no longer has."""
    return [gone for first, last in ranges for gone in _holes(db, "record WHERE", "", first, min(last, last_seq))]


def _first_numbers(ranges: Sequence[tuple[int, int]], limit: int) -> Iterator[tuple[int, int]]:
    """The first `limit` numbers of `ranges`."""
    for first, last in ranges:
        if limit <= 0:
            return
        yield first, min(last, first + limit - 1)
        limit -= last - first + 1


def _holes(db: Database, where: str, epoch: str, first: int, last: int) -> Ranges:
    """Inclusive ranges of the numbers `first` to `last` without a row in table and condition `where`."""
    if last < first:
        return []
    select = (
        "SELECT before + 1, seq - 1 FROM (SELECT seq, lag(seq, 1, :first - 1) OVER (ORDER BY seq) AS before FROM"  # noqa: S608
        f" (SELECT seq FROM {where} seq BETWEEN :first AND :last UNION ALL SELECT :last + 1))"
        " WHERE seq > before + 1 ORDER BY seq LIMIT 100"
    )
    asked = {"epoch": epoch, "first": first, "last": last} if epoch else {"first": first, "last": last}
    return [(begin, end) for begin, end in db.conn.execute(select, asked)]

"""Records of all boxes in one SQLite file; several processes of one machine may share it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from sqlite_utils import Database

from sync.contract.records import LARGEST
from sync.platform.records.forks import ForkDetected, StreamKey
from sync.platform.records.received import AbsentRange, ReceivedRecord
from sync.platform.records.sqlite_schema import RECORD_MIGRATIONS, add
from sync.platform.records.store_contract import (
    Fork,
    ReportedEnd,
    SequenceRange,
    StoredRecord,
    Stream,
    Totals,
    read_totals,
)
from sync.platform.records.summary import DUPLICATE, KIND, REDELIVERED, VERDICT, day_tally
from sync.storage.sqlite_thread import SqliteThread

# A box can invent words: of each tally the 1,000 most frequent ones are read.
_TALLY = (
    "SELECT name, key, detail, count FROM (SELECT *, row_number() OVER (PARTITION BY name, box ORDER BY count DESC)"
    " AS place FROM (SELECT *, CASE name WHEN ?5 THEN key END AS box FROM tally WHERE name IN (?1, ?2, ?3, ?4, ?5)))"
    " WHERE place <= CASE WHEN box IS NULL THEN 1000 ELSE 20 END"
)
_FORKED = "SELECT box, sum(records) FROM fork GROUP BY box"
_BOXES = "SELECT box, sum(records), max(newest_ms) FROM stream WHERE records > 0 GROUP BY box"
# SQLite uses the index of alarms only if the kind is a literal.
_NEWEST_ALARMS = (
    "SELECT * FROM (SELECT box, body, received_ms FROM {table} WHERE kind = 'sentinel.alarm.raised'"
    " ORDER BY received_ms DESC LIMIT ?1)"
)
_ALARMS = (
    f"SELECT box, body, received_ms FROM ({_NEWEST_ALARMS.format(table='record')}"  # noqa: S608 - constants of this file
    f" UNION ALL {_NEWEST_ALARMS.format(table='rival')}) ORDER BY received_ms DESC LIMIT ?1"
)
_FORKS = (
    "SELECT box, epoch, first_seq, records, since_ms FROM fork WHERE ?1 IS NULL OR box = ?1"
    " ORDER BY since_ms DESC LIMIT ?2"
)
_OPEN = (
    "SELECT box, epoch, highest, settled, asked_ms FROM (SELECT *, row_number() OVER"
    "  (PARTITION BY box ORDER BY asked_ms, heard_ms DESC) AS place FROM (SELECT box, epoch, settled, asked_ms,"
    "   max(highest, coalesce(last_seq, 0)) AS highest, max(newest_ms, coalesce(said_ms, 0)) AS heard_ms"
    "   FROM stream LEFT JOIN epoch_end USING (box, epoch))"
    "  WHERE heard_ms >= ? AND highest > settled AND asked_ms < ?)"
    " WHERE place <= 40 ORDER BY place, heard_ms DESC LIMIT 1000"
)
_END = (
    "INSERT INTO epoch_end VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (box, epoch) DO UPDATE SET"
    " last_seq = excluded.last_seq, head = excluded.head, waiting = excluded.waiting, said_ms = excluded.said_ms"
)
_STREAM_OF_END = "INSERT OR IGNORE INTO stream (box, epoch, records, highest, newest_ms) VALUES (?, ?, 0, 0, 0)"
_OLD_ENDS = (
    "DELETE FROM epoch_end WHERE box = ?1 AND epoch NOT IN"
    " (SELECT epoch FROM epoch_end WHERE box = ?1 ORDER BY said_ms DESC, epoch LIMIT 32)"
)
_OLD_STREAMS = (
    "DELETE FROM stream WHERE box = ?1 AND records = 0 AND epoch NOT IN (SELECT epoch FROM epoch_end WHERE box = ?1)"
)
_SETTLE = "UPDATE stream SET settled = ?, asked_ms = ? WHERE box = ? AND epoch = ? AND settled = ? AND asked_ms = ?"
_HOLES = (
    "SELECT before + 1, seq - 1 FROM"
    " (SELECT seq, lag(seq, 1, :first - 1) OVER (ORDER BY seq) AS before FROM"
    "  (SELECT seq FROM record WHERE box = :box AND epoch = :epoch AND seq BETWEEN :first AND :last"
    "   UNION ALL SELECT :last + 1))"
    " WHERE seq > before + 1 ORDER BY seq LIMIT 1000"
)
_SPANS = (
    "SELECT epoch, first, last,"
    " (SELECT max(seq) FROM record WHERE box = :box AND epoch = used.epoch AND seq < first),"
    " (SELECT min(seq) FROM record WHERE box = :box AND epoch = used.epoch AND seq > last)"
    " FROM (SELECT epoch, min(first_seq) AS first, max(last_seq) AS last, max(newest_ms) AS newest_ms"
    "  FROM span JOIN stream USING (box, epoch) WHERE box = :box AND (:day IS NULL OR day = :day)"
    "  GROUP BY epoch) AS used ORDER BY newest_ms, epoch"
)


class SqliteStore:
    """A RecordStore in one file, with one connection for writing and one for reading."""

    def __init__(self, writer: SqliteThread, reader: SqliteThread) -> None:
        self._writer = writer
        self._reader = reader

    @classmethod
    @asynccontextmanager
    async def opened(cls, path: Path) -> AsyncIterator[SqliteStore]:
        """The store at `path`, migrated to the current schema; a damaged file is set aside. Raises StoreFailed.

        An older copy may be restored: the boxes report their last numbers and send again what it lacks.
        """
        async with (
            SqliteThread.opened(path, RECORD_MIGRATIONS, restorable=True) as writer,
            SqliteThread.reading(path) as reader,
        ):
            yield cls(writer, reader)

    @classmethod
    @asynccontextmanager
    async def reading(cls, path: Path) -> AsyncIterator[SqliteStore]:
        """The store at `path`, read-only, beside processes that write. Raises StoreFailed."""
        async with SqliteThread.reading(path) as reader:
            yield cls(reader, reader)

    async def ingest_group(self) -> str:
        return await self._reader.run(lambda db: str(db.conn.execute("SELECT name FROM ingest_group").fetchone()[0]))

    async def insert(self, records: Sequence[ReceivedRecord], absences: Sequence[AbsentRange] = ()) -> int:
        forked_streams: set[StreamKey] = set()
        while True:
            try:
                return await self._writer.write(
                    partial(add, records=records, absences=absences, forked_streams=forked_streams)
                )
            except ForkDetected as found:
                forked_streams |= found.streams

    async def totals(self, day: str, alarms: int) -> Totals:
        def read(db: Database) -> Totals:
            names = (KIND, VERDICT, DUPLICATE, REDELIVERED, day_tally(day))
            newest = db.conn.execute(_ALARMS, (alarms,))
            return read_totals(
                db.conn.execute(_TALLY, names), db.conn.execute(_BOXES), newest, db.conn.execute(_FORKED)
            )

        return await self._reader.run(read)

    async def note_ends(self, ends: Sequence[ReportedEnd]) -> None:
        boxes = {(end.box,) for end in ends}

        def write(db: Database) -> None:
            db.conn.executemany(_END, [end.row() for end in ends])
            db.conn.executemany(_STREAM_OF_END, [(end.box, end.epoch) for end in ends])
            db.conn.executemany(_OLD_ENDS, boxes)
            db.conn.executemany(_OLD_STREAMS, boxes)

        await self._writer.write(write)

    async def ends(self, box: str) -> list[ReportedEnd]:
        select = "SELECT * FROM epoch_end WHERE box = ? ORDER BY said_ms, epoch"
        return await self._reader.run(
            lambda db: [ReportedEnd.from_row(*found) for found in db.conn.execute(select, (box,))]
        )

    async def open_streams(self, heard_since_ms: int, asked_before_ms: int) -> list[Stream]:
        limits = (heard_since_ms, asked_before_ms)
        return await self._reader.run(lambda db: [Stream(*found) for found in db.conn.execute(_OPEN, limits)])

    async def settle(self, stream: Stream, settled: int, asked_ms: int) -> bool:
        was = (stream.box, stream.epoch, stream.settled, stream.asked_ms)
        changed = await self._writer.write(lambda db: db.conn.execute(_SETTLE, (settled, asked_ms, *was)).rowcount)
        return changed > 0

    async def holes(self, box: str, epoch: str, first: int, last: int) -> list[tuple[int, int]]:
        asked = {"box": box, "epoch": epoch, "first": first, "last": last}
        return await self._reader.run(lambda db: db.conn.execute(_HOLES, asked).fetchall())

    async def absences(self, box: str, epoch: str, first: int = 1, last: int = LARGEST) -> list[AbsentRange]:
        select = (
            "SELECT * FROM absence WHERE box = ? AND epoch = ? AND last_seq >= ? AND first_seq <= ? ORDER BY first_seq"
        )
        return await self._reader.run(
            lambda db: [AbsentRange(*found) for found in db.conn.execute(select, (box, epoch, first, last))]
        )

    async def spans(self, box: str, day: str | None) -> list[SequenceRange]:
        asked = {"box": box, "day": day}
        return await self._reader.run(lambda db: [SequenceRange(*found) for found in db.conn.execute(_SPANS, asked)])

    async def forks(self, limit: int | None = None, box: str | None = None) -> list[Fork]:
        asked = (box, -1 if limit is None else limit)
        return await self._reader.run(lambda db: [Fork(*found) for found in db.conn.execute(_FORKS, asked)])

    async def stored(self, box: str, epoch: str, first: int, last: int) -> list[StoredRecord]:
        select = (
            "SELECT seq, kind, chain, body FROM record"
            " WHERE box = ? AND epoch = ? AND seq BETWEEN ? AND ? ORDER BY seq LIMIT 1000"
        )
        return await self._reader.run(
            lambda db: [StoredRecord(*found) for found in db.conn.execute(select, (box, epoch, first, last))]
        )

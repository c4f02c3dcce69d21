"""Records of all boxes in PostgreSQL, shared by ingest processes on several machines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import astuple
from typing import Any

import asyncpg

from sync.contract.records import LARGEST
from sync.errors import StoreFailed
from sync.platform.records import postgresql_schema as sql
from sync.platform.records.forks import (
    ForkDetected,
    Name,
    StreamKey,
    check_same,
    fork_row,
    record_id,
    split_forks,
    to_look_up,
)
from sync.platform.records.received import AbsentRange, ReceivedRecord
from sync.platform.records.store_contract import (
    Fork,
    ReportedEnd,
    SequenceRange,
    StoredRecord,
    Stream,
    Totals,
    read_totals,
)
from sync.platform.records.summary import DUPLICATE, KIND, REDELIVERED, VERDICT, day_tally, summarise

# InternalClientError: the server ended a connection while it was returned to the pool.
_FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
_BAD_ADDRESS = (
    "PostgreSQL: the address must be postgresql://user:password@host:port/name,"
    " with %40 for @, %2F for / and %3A for : in a password"
)
_CONNECTIONS = 4
_LIMIT_S = 30.0


class PostgresqlStore:
    """A RecordStore in one database."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @classmethod
    @asynccontextmanager
    async def opened(cls, url: str) -> AsyncIterator[PostgresqlStore]:
        """The store at `url` (postgresql://…), brought up to date. Raises StoreFailed."""
        # Acknowledged records must be on the disk, whatever the default of the server.
        settings = {"application_name": "edge-platform", "synchronous_commit": "on"}
        try:
            pool = await asyncpg.create_pool(
                url, min_size=1, max_size=_CONNECTIONS, command_timeout=_LIMIT_S, server_settings=settings
            )
        except ValueError as exc:  # its message may contain a part of the password
            raise StoreFailed(_BAD_ADDRESS) from exc
        except _FAILURES as exc:
            raise StoreFailed(f"PostgreSQL: {exc}") from exc
        try:
            store = cls(pool)
            async with store._transaction() as connection:
                await _migrate(connection)
            yield store
        finally:
            pool.terminate()

    async def ingest_group(self) -> str:
        return str((await self._fetch(sql.INGEST_GROUP))[0][0])

    async def insert(self, records: Sequence[ReceivedRecord], absences: Sequence[AbsentRange] = ()) -> int:
        forked_streams: set[StreamKey] = set()
        while True:
            try:
                return await self._insert(records, absences, forked_streams)
            except ForkDetected as found:
                forked_streams |= found.streams

    async def _insert(
        self, records: Sequence[ReceivedRecord], absences: Sequence[AbsentRange], forked_streams: set[StreamKey]
    ) -> int:
        async with self._transaction() as connection:
            streams = sorted({(each.name.box, each.name.epoch) for each in records})
            known = await connection.fetch(sql.FORKED, *_columns(streams, 2))
            forked_streams = forked_streams.union((row[0], row[1]) for row in known)
            there = await _look_up(connection, to_look_up(records, forked_streams))
            accepted, forked_records = split_forks(records, forked_streams, there)
            # Sorted by name, so that two processes that insert the same records do not deadlock.
            batch = {record_id(each): each for each in reversed(accepted)}
            rows = [_row(batch[name]) for name in sorted(batch)]
            names = {tuple(name) for name in await connection.fetch(sql.RECORD, *_columns(rows, 8))}
            new = [batch[name] for name in names]
            again = [each for each in accepted if record_id(each) not in names or batch[record_id(each)] is not each]
            check_same(again, await _look_up(connection, {record_id(each) for each in again}))
            await _count(connection, new, len(records) - len(new) - len(forked_records))
            if forked_records:
                await connection.execute(sql.RIVAL, *_columns([fork_row(each) for each in forked_records], 9))
            await _note(connection, [*absences, *(each.absence for each in new if each.absence is not None)])
        return len(new)

    async def totals(self, day: str, alarms: int) -> Totals:
        names = [KIND, VERDICT, DUPLICATE, REDELIVERED, day_tally(day)]
        async with self._transaction() as connection:
            return read_totals(
                await connection.fetch(sql.TOTALS, names, day_tally(day)),
                await connection.fetch(sql.BOXES),
                await connection.fetch(sql.ALARMS, alarms),
                await connection.fetch(sql.FORKED_RECORDS),
            )

    async def note_ends(self, ends: Sequence[ReportedEnd]) -> None:
        newest = {(end.box, end.epoch): end for end in ends}
        rows = [newest[name] for name in sorted(newest)]  # as in `_insert`
        async with self._transaction() as connection:
            await connection.execute(sql.END, *_columns([end.row() for end in rows], 6))
            await connection.execute(sql.STREAM_OF_END, *_columns([(end.box, end.epoch, 0, 0, 0) for end in rows], 5))
            for box in sorted({end.box for end in ends}):
                await connection.execute(sql.OLD_ENDS, box)
                await connection.execute(sql.OLD_STREAMS, box)

    async def ends(self, box: str) -> list[ReportedEnd]:
        return [ReportedEnd.from_row(*row) for row in await self._fetch(sql.ENDS, box)]

    async def open_streams(self, heard_since_ms: int, asked_before_ms: int) -> list[Stream]:
        return [Stream(*row) for row in await self._fetch(sql.OPEN_STREAMS, heard_since_ms, asked_before_ms)]

    async def settle(self, stream: Stream, settled: int, asked_ms: int) -> bool:
        was = (stream.box, stream.epoch, stream.settled, stream.asked_ms)
        return bool(await self._fetch(sql.SETTLE, settled, asked_ms, *was))

    async def holes(self, box: str, epoch: str, first: int, last: int) -> list[tuple[int, int]]:
        return [(row[0], row[1]) for row in await self._fetch(sql.HOLES, box, epoch, first, last)]

    async def absences(self, box: str, epoch: str, first: int = 1, last: int = LARGEST) -> list[AbsentRange]:
        return [AbsentRange(*row) for row in await self._fetch(sql.ABSENCES, box, epoch, first, last)]

    async def spans(self, box: str, day: str | None) -> list[SequenceRange]:
        return [SequenceRange(*row) for row in await self._fetch(sql.SPANS, box, day)]

    async def forks(self, limit: int | None = None, box: str | None = None) -> list[Fork]:
        return [Fork(*row) for row in await self._fetch(sql.FORKS, box, limit)]

    async def stored(self, box: str, epoch: str, first: int, last: int) -> list[StoredRecord]:
        return [StoredRecord(*row) for row in await self._fetch(sql.STORED, box, epoch, first, last)]

    async def _fetch(self, statement: str, *parameters: object) -> list[asyncpg.Record]:
        async with self._transaction() as connection:
            rows: list[asyncpg.Record] = await connection.fetch(statement, *parameters)
            return rows

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Any]:
        """A connection inside a transaction. Raises StoreFailed for every failure of the server."""
        try:
            async with self._pool.acquire(timeout=_LIMIT_S) as connection, connection.transaction():
                yield connection
        except _FAILURES as exc:  # a TimeoutError is an OSError
            raise StoreFailed(f"PostgreSQL: {type(exc).__name__}: {exc}") from exc


async def _migrate(connection: Any) -> None:
    await connection.execute(sql.LOCK_MIGRATIONS)
    await connection.execute(sql.NOTE_MIGRATIONS)
    done = {row[0] for row in await connection.fetch(sql.DONE_MIGRATIONS)}
    for name, statements in sql.MIGRATIONS.items():
        if name not in done:
            for statement in statements:
                await connection.execute(statement)
            await connection.execute(sql.NOTE_MIGRATION, name)


async def _count(connection: Any, new: Sequence[ReceivedRecord], redelivered: int) -> None:
    """Add `new` records to the summaries; rows that every process updates come last, locked most briefly."""
    effects = sorted(each.effect for each in new if each.effect is not None)
    stored = int((await connection.execute(sql.EFFECT, effects)).rpartition(" ")[2])
    summary = summarise(new, redelivered, duplicates=len(effects) - stored)
    await connection.execute(sql.STREAM, *_columns(summary.streams, 5))
    await connection.execute(sql.SPAN, *_columns(summary.spans, 6))
    await connection.execute(sql.TALLY, *_columns(summary.tally, 4))


async def _look_up(connection: Any, names: set[Name]) -> dict[Name, StoredRecord]:
    if not names:
        return {}
    rows = await connection.fetch(sql.LOOK_UP, *_columns(sorted(names), 3))
    return {(row[0], row[1], row[2]): StoredRecord(row[2], row[3], row[4], row[5]) for row in rows}


async def _note(connection: Any, absences: Sequence[AbsentRange]) -> None:
    if absences:
        await connection.execute(sql.ABSENCE, *_columns([astuple(absence) for absence in absences], 6))


def _row(record: ReceivedRecord) -> tuple[object, ...]:
    name = record.name
    times = (record.happened_ms, record.received_ms)
    return (name.box, name.epoch, name.seq, record.kind, *times, record.body, record.chain)


def _columns(rows: Sequence[tuple[object, ...]], width: int) -> list[list[object]]:
    """`rows`, which may be empty, as `width` columns."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]

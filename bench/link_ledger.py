"""Measures the disk of a box: commits of the ledger, look-ups in the replica, and the lower bound of a commit."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import statistics
import time
from pathlib import Path
from random import Random
from typing import Any

from sync.contract.health import LookupOutcome
from sync.contract.records import Record
from sync.edge.directory.directory import Directory
from sync.edge.ledger.ledger import Ledger
from sync.platform.simulation.day import passage
from sync.platform.simulation.report import percentiles

BUDGET_BYTES = 4_000_000_000
RANDOM = Random(1)

_STATUS = (
    '{"person_key":"%064x","colour":"green","as_of":"2022-04-01T08:00:00Z","sampled_at":"2022-04-01T06:00:00Z",'
    '"result":"negative","lists":[],"version":%d}'
)
FILL = (
    "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?)"
    f" INSERT INTO status SELECT printf('%064x', i), CAST(printf('{_STATUS}', i, i) AS BLOB) FROM n"
)


def fdatasync_ms(folder: Path) -> float:
    """Median time to write and sync 4 KiB, of 200: the lower bound of every commit."""
    times_s = []
    with (folder / "floor").open("wb") as file:
        for _ in range(200):
            began_s = time.perf_counter()
            file.write(bytes(4096))
            file.flush()
            os.fdatasync(file.fileno())
            times_s.append(time.perf_counter() - began_s)
    return round(1000 * statistics.median(times_s), 3)


def some(count: int) -> list[Record]:
    """`count` passage records."""
    return [passage(RANDOM)[0][0] for _ in range(count)]


async def commits(folder: Path, count: int) -> dict[str, Any]:
    """Commits of the ledger: of one record, of 50 records, and by 20 concurrent writers."""
    async with Ledger.opened(folder / "commits" / "ledger.db", box="bench", budget_bytes=BUDGET_BYTES) as ledger:

        async def timed(records: list[Record]) -> float:
            began_s = time.perf_counter()
            await ledger.append_all(records)
            return time.perf_counter() - began_s

        async def writer(records: list[Record]) -> list[float]:
            return [await timed([record]) for record in records]

        found: dict[str, Any] = {}
        single = await writer(some(count))
        found["one_record"] = {"per_s": round(count / sum(single)), **percentiles(single)}
        groups = [await timed(some(50)) for _ in range(count // 10)]
        found["groups_of_50"] = {"records_per_s": round(50 * len(groups) / sum(groups)), **percentiles(groups)}
        began_s = time.perf_counter()
        writers = await asyncio.gather(*(writer(some(count // 5)) for _ in range(20)))
        took_s = time.perf_counter() - began_s
        together = [each for one in writers for each in one]
        found["20_writers"] = {"records_per_s": round(len(together) / took_s), **percentiles(together)}
        return found


async def lookups(folder: Path, people: int, count: int) -> dict[str, Any]:
    """Look-ups of known persons in a replica of `people`, idle and while the ledger is written."""
    path = folder / f"people-{people}" / "directory.db"
    async with Directory.opened(path):
        pass
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute(FILL, (people,))
        database.commit()
    async with (
        Directory.opened(path) as directory,
        Ledger.opened(folder / f"people-{people}" / "ledger.db", box="bench", budget_bytes=BUDGET_BYTES) as ledger,
    ):
        keys = [f"{RANDOM.randrange(people):064x}" for _ in range(count)]
        alone = [await looked_up(directory, key) for key in keys]
        writing = asyncio.create_task(write_continuously(ledger))
        beside = [await looked_up(directory, key) for key in keys]
        writing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await writing
        return {"people": people, "alone_ms": percentiles(alone), "beside_writes_ms": percentiles(beside)}


async def looked_up(directory: Directory, key: str) -> float:
    """Seconds taken by one look-up."""
    began_s = time.perf_counter()
    found = await directory.lookup(key, budget_s=1)
    assert found.outcome is LookupOutcome.FOUND
    return time.perf_counter() - began_s


async def write_continuously(ledger: Ledger) -> None:
    while True:
        await ledger.append_all(some(1))

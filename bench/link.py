"""Measures the city link on this machine: ledger, acknowledgement, drain, look-up, intake, storm; prints JSON.

`--quick` (the default) takes small samples in about a minute; `--full` takes the issue's sizes, with 948 boxes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from bench.link_intake import intake
from bench.path import machine
from sync.contract.health import LookupOutcome
from sync.contract.messages import Answer
from sync.contract.records import Record
from sync.edge.directory import Directory
from sync.edge.link import CityLink, LinkSettings
from sync.edge.outbox import Outbox
from sync.platform.service import Platform, PlatformSettings
from sync.platform.simulation.broker import PrivateBroker
from sync.platform.simulation.day import passage
from sync.platform.simulation.report import percentiles
from tests.sync.postgresql import cluster

BUDGET_BYTES = 4_000_000_000
NO_PACE = 1e9
RANDOM = Random(1)

_STATUS = (
    '{"person_key":"%064x","colour":"green","as_of":"2022-04-01T08:00:00Z","sampled_at":"2022-04-01T06:00:00Z",'
    '"result":"negative","lists":[],"version":%d}'
)
_FILL = (
    "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?)"
    f" INSERT INTO status SELECT printf('%064x', i), CAST(printf('{_STATUS}', i, i) AS BLOB) FROM n"
)


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    commits: int
    records: int
    backlog: int
    people: tuple[int, ...]
    lookups: int
    intake: int
    boxes: int
    outage_s: float


QUICK = Sizes(300, 100, 5_000, (100_000,), 2_000, 20_000, 100, 5.0)
FULL = Sizes(3_000, 2_000, 50_000, (100_000, 1_000_000), 20_000, 200_000, 948, 30.0)


def fdatasync_ms(folder: Path) -> float:
    """Median of 200 times 4 KiB written and synced: the floor under every commit."""
    spent_s = []
    with (folder / "floor").open("wb") as file:
        for _ in range(200):
            began_s = time.perf_counter()
            file.write(bytes(4096))
            file.flush()
            os.fdatasync(file.fileno())
            spent_s.append(time.perf_counter() - began_s)
    return round(1000 * statistics.median(spent_s), 3)


def some(count: int) -> list[Record]:
    """Records of passages."""
    return [passage(RANDOM)[0][0] for _ in range(count)]


async def commits(folder: Path, count: int) -> dict[str, Any]:
    """Commits of the ledger: one record each, 50 each, and 20 writers at once whose commits are grouped."""
    async with Outbox.opened(folder / "commits" / "ledger.db", box="bench", budget_bytes=BUDGET_BYTES) as outbox:

        async def timed(records: list[Record]) -> float:
            began_s = time.perf_counter()
            await outbox.append_all(records)
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


@asynccontextmanager
async def city(folder: Path) -> AsyncIterator[str]:
    """A broker and a platform in this process; yields the broker's address."""
    broker = PrivateBroker(folder / "broker", None)
    await broker.start()
    url = f"mqtt://localhost:{broker.port}"
    platform = Platform(
        PlatformSettings(broker=url, district="bench", data=folder / "platform", http_port=0, backlog_per_s=NO_PACE)
    )
    running = asyncio.create_task(platform.run())
    try:
        await platform.ready.wait()
        yield url
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await broker.stop()


async def link(folder: Path, sizes: Sizes) -> dict[str, Any]:
    """One box at one platform: a backlog drained, then commit to acknowledgement, then questions."""
    async with (
        city(folder) as url,
        Outbox.opened(folder / "box" / "ledger.db", box="box", budget_bytes=BUDGET_BYTES) as outbox,
        Directory.opened(folder / "box" / "directory.db") as directory,
    ):
        for _ in range(sizes.backlog // 500):
            await outbox.append_all(some(500))
        settings = LinkSettings(url, "bench", "box")
        city_link = CityLink(settings, outbox, directory, versions={}, boot_id="bench")
        running = asyncio.create_task(city_link.run())
        began_s = await until(lambda: city_link.status().platform_online)
        drained_s = await drained(outbox) - began_s
        acknowledged = []
        for record in some(sizes.records):
            committed_s = await appended(outbox, record)
            acknowledged.append(await drained(outbox) - committed_s)
        answers = []
        for number in range(sizes.records):
            began_s = time.perf_counter()
            answer: Answer = await city_link.query(f"{number:064x}", 5.0)
            answers.append(time.perf_counter() - began_s)
            assert answer.outcome is LookupOutcome.NOT_FOUND
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        return {
            "drain": {"records": sizes.backlog, "per_s": round(sizes.backlog / drained_s)},
            "commit_to_acknowledged_ms": percentiles(acknowledged),
            "question_and_answer_ms": percentiles(answers),
        }


async def until(holds: Any) -> float:
    """When `holds` became true."""
    while not holds():
        await asyncio.sleep(0.001)
    return time.perf_counter()


async def appended(outbox: Outbox, record: Record) -> float:
    """When `record` was committed."""
    await outbox.append(record)
    return time.perf_counter()


async def drained(outbox: Outbox) -> float:
    """When nothing waited any more."""
    changed = asyncio.Event()
    with outbox.watched(changed):
        while (await outbox.status()).unacknowledged:
            changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), 0.5)
    return time.perf_counter()


async def lookups(folder: Path, people: int, count: int) -> dict[str, Any]:
    """Look-ups of known people in a replica of `people`, alone and while the ledger is being written."""
    path = folder / f"people-{people}" / "directory.db"
    async with Directory.opened(path):
        pass
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute(_FILL, (people,))
        database.commit()
    async with (
        Directory.opened(path) as directory,
        Outbox.opened(folder / f"people-{people}" / "ledger.db", box="bench", budget_bytes=BUDGET_BYTES) as outbox,
    ):
        keys = [f"{RANDOM.randrange(people):064x}" for _ in range(count)]
        alone = [await looked_up(directory, key) for key in keys]
        writing = asyncio.create_task(write_for_ever(outbox))
        beside = [await looked_up(directory, key) for key in keys]
        writing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await writing
        return {"people": people, "alone_ms": percentiles(alone), "beside_writes_ms": percentiles(beside)}


async def looked_up(directory: Directory, key: str) -> float:
    """Seconds of one look-up."""
    began_s = time.perf_counter()
    found = await directory.lookup(key, budget_s=1)
    assert found.outcome is LookupOutcome.FOUND
    return time.perf_counter() - began_s


async def write_for_ever(outbox: Outbox) -> None:
    while True:
        await outbox.append_all(some(1))


def storm(sizes: Sizes) -> dict[str, Any]:
    """A fleet that loses its broker, with a front door of 50 connects a second."""
    command = [sys.executable, "-m", "sync.platform.cli", "simulate", "--json", "--admit-per-s", "50"]
    command += [
        "--boxes",
        str(sizes.boxes),
        "--outage",
        str(sizes.outage_s),
        "--minutes",
        "1" if sizes is FULL else "0.3",
    ]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, text=True)
    report: dict[str, Any] = json.loads(run.stdout)
    return report


async def measure(folder: Path, sizes: Sizes) -> dict[str, Any]:
    """Everything that runs in this process."""
    found: dict[str, Any] = {"fdatasync_ms": fdatasync_ms(folder), "commits": await commits(folder, sizes.commits)}
    found.update(await link(folder, sizes))
    found["lookups"] = [await lookups(folder, people, sizes.lookups) for people in sizes.people]
    found["intake"] = [await intake("sqlite", str(folder / "intake.db"), folder, sizes.intake)]
    with cluster() as server:
        found["intake"].append(await intake("postgresql", server.new_database(), folder, sizes.intake))
    found["fdatasync_after_ms"] = fdatasync_ms(folder)
    return found


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="the issue's sizes; about ten minutes")
    parser.add_argument("--quick", action="store_true", help="small samples; the default")
    sizes = FULL if parser.parse_args().full else QUICK
    with tempfile.TemporaryDirectory() as folder:
        figures = {"machine": machine(), **asyncio.run(measure(Path(folder), sizes)), "storm": storm(sizes)}
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()

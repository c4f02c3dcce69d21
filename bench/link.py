"""Measures the platform link: ledger, acknowledgement, backlog, look-up, ingest, reconnection; prints JSON.

`--quick` (the default) measures small samples in about a minute; `--full` measures a district of 948 boxes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.link_intake import measure_ingest
from bench.link_ledger import BUDGET_BYTES, commits, fdatasync_ms, lookups, some
from bench.path import machine
from sync.contract.health import LookupOutcome
from sync.contract.messages import QueryAnswer
from sync.contract.records import Record
from sync.edge.directory.directory import Directory
from sync.edge.ledger.ledger import Ledger
from sync.edge.link.link import LinkSettings, PlatformLink
from sync.platform.service import PlatformService, ServiceSettings
from sync.platform.simulation.broker import PrivateBroker
from sync.platform.simulation.report import percentiles
from tests.sync.postgresql import cluster

UNLIMITED_PER_S = 1e6  # maximum of the setting


@dataclass(frozen=True)
class Sizes:
    """Sample sizes."""

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


@asynccontextmanager
async def platform_and_broker(folder: Path) -> AsyncIterator[str]:
    """Run a broker, and a platform in this process; yields the URL of the broker."""
    broker = PrivateBroker(folder / "broker", None)
    await broker.start()
    url = f"mqtt://localhost:{broker.port}"
    platform = PlatformService(
        ServiceSettings(
            broker=url, district="bench", data=folder / "platform", http_port=0, backlog_per_s=UNLIMITED_PER_S
        )
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
    """One box and one platform: draining a backlog, commit to acknowledgement, queries."""
    async with (
        platform_and_broker(folder) as url,
        Ledger.opened(folder / "box" / "ledger.db", box="box", budget_bytes=BUDGET_BYTES) as ledger,
        Directory.opened(folder / "box" / "directory.db") as directory,
    ):
        for _ in range(sizes.backlog // 500):
            await ledger.append_all(some(500))
        settings = LinkSettings(url, "bench", "box")
        platform_link = PlatformLink(settings, ledger, directory, versions={}, boot_id="bench")
        running = asyncio.create_task(platform_link.run())
        began_s = await until(lambda: platform_link.status().platform_online)
        drained_s = await drained(ledger) - began_s
        acknowledged = []
        for record in some(sizes.records):
            committed_s = await appended(ledger, record)
            acknowledged.append(await drained(ledger) - committed_s)
        answers = []
        for number in range(sizes.records):
            began_s = time.perf_counter()
            answer: QueryAnswer = await platform_link.query(f"{number:064x}", 5.0)
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


async def until(condition: Any) -> float:
    """Wait until `condition` is true; returns the time."""
    while not condition():
        await asyncio.sleep(0.001)
    return time.perf_counter()


async def appended(ledger: Ledger, record: Record) -> float:
    """Append `record`; returns the time of the commit."""
    await ledger.append(record)
    return time.perf_counter()


async def drained(ledger: Ledger) -> float:
    """Wait until all records are acknowledged; returns the time."""
    changed = asyncio.Event()
    with ledger.changes.subscribe(changed):
        while (await ledger.status()).unacknowledged:
            changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), 0.5)
    return time.perf_counter()


def storm(sizes: Sizes) -> dict[str, Any]:
    """A fleet that loses its broker, with a limit of 50 connections per second."""
    command = [sys.executable, "-m", "sync.platform.commands.cli", "simulate", "--json", "--admit-per-s", "50"]
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
    """All measurements that run in this process."""
    found: dict[str, Any] = {"fdatasync_ms": fdatasync_ms(folder), "commits": await commits(folder, sizes.commits)}
    found.update(await link(folder, sizes))
    found["lookups"] = [await lookups(folder, people, sizes.lookups) for people in sizes.people]
    found["intake"] = [await measure_ingest("sqlite", str(folder / "intake.db"), folder, sizes.intake)]
    with cluster() as server:
        found["intake"].append(await measure_ingest("postgresql", server.new_database(), folder, sizes.intake))
    found["fdatasync_after_ms"] = fdatasync_ms(folder)
    return found


def main() -> None:
    """Print the measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="the sizes of a district; about ten minutes")
    parser.add_argument("--quick", action="store_true", help="small samples; the default")
    sizes = FULL if parser.parse_args().full else QUICK
    with tempfile.TemporaryDirectory() as folder:
        report = {"machine": machine(), **asyncio.run(measure(Path(folder), sizes)), "storm": storm(sizes)}
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()

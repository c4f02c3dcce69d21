"""Measures the directory of a box: bytes on the wire, time to apply a copy, look-ups, revocation. Prints JSON.

PYTHONPATH=. python -m bench.edge --people 1000000
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path

import msgspec

from sync.contract.checksum import EMPTY, update_checksum
from sync.contract.envelope import Event
from sync.contract.health import Colour, HealthStatus
from sync.contract.messages import PAGE_LIMIT, DirectoryCheckpoint, DirectoryOp, DirectoryPage
from sync.contract.orders import Desired, Revocation
from sync.contract.topics import Channel, Topic, source_from
from sync.edge.directory.directory import Directory
from sync.edge.ledger.ledger import Ledger
from sync.edge.orders.receiver import OrderHandlers
from sync.mqtt.broker_address import BrokerAddress
from sync.mqtt.connection import Connection
from sync.mqtt.events import publish_event
from sync.mqtt.packets import Options
from tests.sync.city import (
    BUDGET_BYTES,
    WHEN,
    Box,
    a_box,
    eventually,
    link_settings,
    mosquitto,
    passage,
    signed,
    status_of,
)

COMMUNITY = 5_000
REVOKED = Topic("demo", Channel.REVOCATION)


def percentiles(values_s: list[float]) -> dict[str, float]:
    """p50, p99 and maximum in milliseconds."""
    ordered = sorted(values_s)
    places = {"p50_ms": len(ordered) // 2, "p99_ms": len(ordered) * 99 // 100, "max_ms": len(ordered) - 1}
    return {name: round(1000 * ordered[place], 3) for name, place in places.items()}


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    started_s = time.perf_counter()
    await work()
    return time.perf_counter() - started_s


def person(index: int) -> HealthStatus:
    """The status of one person; times differ between persons, as in a real community."""
    dice = random.Random(index)
    sampled_at = WHEN - timedelta(seconds=dice.randrange(0, 200_000))
    reported_at = sampled_at + timedelta(seconds=dice.randrange(10_000, 40_000))
    known = status_of(index)
    return msgspec.structs.replace(
        known, as_of=reported_at, sampled_at=sampled_at, reported_at=reported_at, version=index
    )


def pages(people: int) -> Iterator[DirectoryPage]:
    """A complete copy of `people` statuses as the platform sends it."""
    checksum, ops = EMPTY, []
    for index in range(1, people + 1):
        status = person(index)
        body = msgspec.json.encode(status)
        checksum = update_checksum(checksum, None, body)
        ops.append(DirectoryOp(index, status.person_key, msgspec.Raw(body)))
        if len(ops) == PAGE_LIMIT or index == people:
            last = DirectoryCheckpoint(people, people, checksum) if index == people else None
            yield DirectoryPage("g", index - len(ops), tuple(ops), last)
            ops = []


async def apply(directory: Directory, copy: list[DirectoryPage]) -> None:
    for page in copy:
        assert await directory.take(page)


def on_the_wire(page: DirectoryPage, *, packed: bool) -> int:
    """Bytes of one PUBLISH: topic, properties and body."""
    event = Event.of(page, source_from("demo", None), packed=packed)
    properties = sum(5 + len(name) + len(value) for name, value in event.user_properties())
    return len(str(Topic("demo", Channel.DIRECTORY, "box-1"))) + properties + 25 + len(event.payload())


async def wire(folder: Path) -> dict[str, object]:
    """Size of a complete copy of 5,000 persons and of one change."""
    copy = list(pages(COMMUNITY))
    async with Directory.opened(folder / "snapshot.db") as directory:
        seconds = await timed(lambda: apply(directory, copy))
    change = person(77)
    body = msgspec.Raw(msgspec.json.encode(msgspec.structs.replace(change, version=COMMUNITY + 1)))
    one = DirectoryPage("g", COMMUNITY, (DirectoryOp(COMMUNITY + 1, change.person_key, body),), copy[-1].checkpoint)
    return {
        "copy_of_5000_bytes": sum(on_the_wire(page, packed=True) for page in copy),
        "not_packed_bytes": sum(on_the_wire(page, packed=False) for page in copy),
        "copy_of_5000_taken_s": round(seconds, 2),
        "one_change_bytes": on_the_wire(one, packed=False),
    }


async def lookups(folder: Path, people: int) -> dict[str, object]:
    """Look-ups of random persons in a replica, idle and while the ledger commits without pause."""
    async with (
        Directory.opened(folder / "directory.db") as directory,
        Ledger.opened(folder / "busy.db", box="box-1", budget_bytes=BUDGET_BYTES) as ledger,
    ):
        started_s = time.perf_counter()
        for page in pages(people):
            assert await directory.take(page)
        taken_s = time.perf_counter() - started_s
        dice = random.Random(1)
        keys = [status_of(dice.randint(1, people)).person_key for _ in range(3_000)]
        at_rest = [await look_up(directory, key) for key in keys]
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(write_continuously(ledger))
            busy = [await look_up(directory, key) for key in keys]
            writer.cancel()
    return {
        "people": people,
        "taken_s": round(taken_s, 1),
        "at_rest": percentiles(at_rest),
        "while_the_ledger_is_written": percentiles(busy),
    }


async def look_up(directory: Directory, key: str) -> float:
    return await timed(lambda: directory.lookup(key, budget_s=1))


async def write_continuously(ledger: Ledger) -> None:
    index = 0
    while True:
        await ledger.append(passage(index := index + 1))


async def revocations(folder: Path, count: int) -> dict[str, object]:
    """Time from the signature at the platform until one box on this machine has applied the revocation."""
    with mosquitto(folder / "mosquitto") as broker:
        async with (
            a_box(folder / "box", link_settings(broker.url), handlers=OrderHandlers(not_used)) as box,
            Connection.open(Options(BrokerAddress.from_url(broker.url), "platform")) as platform,
        ):
            await eventually(lambda: is_connected(box))
            taken = [await revoke(platform, box, index) for index in range(1, count + 1)]
    return {"revocations": count, **percentiles(taken)}


async def revoke(platform: Connection, box: Box, index: int) -> float:
    red = status_of(index, colour=Colour.RED, version=index)
    ops = (DirectoryOp(index, red.person_key, msgspec.Raw(msgspec.json.encode(red))),)
    started_s = time.perf_counter()
    await publish_event(platform, REVOKED, Event.of(signed(Revocation("g", ops), REVOKED), source_from("demo", None)))
    while (await box.directory.lookup(red.person_key, budget_s=0.001)).status is None:
        await asyncio.sleep(0.001)
    return time.perf_counter() - started_s


async def is_connected(box: Box) -> bool:
    return box.link.status().last_puback_age_s is not None


async def not_used(_desired: Desired) -> bool:
    return False


async def main(people: int, count: int) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-edge-") as name:
        folder = Path(name)
        report = {
            "wire": await wire(folder),
            "lookup": await lookups(folder, people),
            "revocation_to_refusal": await revocations(folder, count),
        }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--revocations", type=int, default=200)
    options = parser.parse_args()
    asyncio.run(main(options.people, options.revocations))

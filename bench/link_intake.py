"""Measures the ingest rate of the platform: inserts into its store, and from the broker to the store."""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from sync.contract.chain import first_hash, next_hash
from sync.contract.envelope import Event
from sync.contract.messages import BACKLOG_LIMIT, Backlog, BacklogEntry
from sync.contract.records import RecordId, encode_record
from sync.contract.topics import Channel, Topic, source_from
from sync.mqtt.broker_address import BrokerAddress
from sync.mqtt.connection import Connection
from sync.mqtt.events import publish_event
from sync.mqtt.packets import Options
from sync.platform.records.open_store import open_store
from sync.platform.records.received import ReceivedRecord
from sync.platform.simulation.broker import PrivateBroker
from sync.platform.simulation.day import passage

BOXES = 50
BATCH = 2_000
EPOCH = "0123456789abcdef"


async def measure_ingest(name: str, where: str, folder: Path, count: int) -> dict[str, Any]:
    """Records per second of one process with the store at `where`."""
    messages = backlog(count)
    return {
        "store": name,
        "records": count,
        "insert_per_s": round(await inserted(where, messages, count)),
        "from_broker_per_s": round(await from_broker(where, messages, folder / f"intake-{name}", count)),
    }


def backlog(count: int) -> list[tuple[str, Backlog]]:
    """`count` records of 50 boxes as backlog messages, with their boxes."""
    random, now = Random(2), datetime.now(UTC)
    messages: list[tuple[str, Backlog]] = []
    for number in range(BOXES):
        box = f"box-{number:02d}"
        chain, entries = first_hash(box, EPOCH), []
        for seq in range(1, count // BOXES + 1):
            record = passage(random)[0][0]
            chain = next_hash(chain, seq, record.TYPE, encode_record(record))
            entries.append(BacklogEntry.of(seq, now, record, chain.hex()))
        messages += [
            (box, Backlog(EPOCH, tuple(entries[first : first + BACKLOG_LIMIT])))
            for first in range(0, len(entries), BACKLOG_LIMIT)
        ]
    random.shuffle(messages)
    return messages


async def inserted(where: str, messages: list[tuple[str, Backlog]], count: int) -> float:
    """Records per second inserted in batches of 2,000, without the time to decode them."""
    now = datetime.now(UTC)
    received = [
        ReceivedRecord.read(RecordId(f"direct-{box}", EPOCH, entry.seq), entry.type, entry.time, now, bytes(entry.data))
        for box, each in messages
        for entry in each.records
    ]
    async with open_store(where) as store:
        began_s = time.perf_counter()
        for first in range(0, len(received), BATCH):
            await store.insert(received[first : first + BATCH])
        return count / (time.perf_counter() - began_s)


async def from_broker(where: str, messages: list[tuple[str, Backlog]], folder: Path, count: int) -> float:
    """Records per second from the first message at the broker to the last record in the store, by one ingest process.

    Sender and broker share this machine with it, so the result is a lower bound.
    """
    broker = PrivateBroker(folder, None)
    await broker.start()
    url = f"mqtt://localhost:{broker.port}"
    options = ["--broker", url, "--district", "bench", "--store", where, "--backlog-per-s", "1e6"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sync.platform.commands.cli", "ingest", *options
    )
    try:
        async with (
            open_store(where) as store,
            Connection.open(Options(BrokerAddress.from_url(url), "sender", window=100)) as connection,
        ):

            async def send(box: str, backlog: Backlog) -> None:
                topic = Topic("bench", Channel.BACKLOG, box)
                await publish_event(connection, topic, Event.of(backlog, source_from("bench", box)))

            before = await stored(store)
            [_, first], *_ = messages
            while await stored(store) < before + len(first.records):  # until the process has subscribed
                await send("probe", first)
                await asyncio.sleep(0.2)
            before = await stored(store)
            began_s = time.perf_counter()
            async with asyncio.TaskGroup() as group:
                for box, each in messages:
                    group.create_task(send(box, each))
            while await stored(store) < before + count:
                await asyncio.sleep(0.02)
            return count / (time.perf_counter() - began_s)
    finally:
        process.terminate()
        await process.wait()
        await broker.stop()


async def stored(store: Any) -> int:
    """Records in the store."""
    totals = await store.totals("", 0)
    return sum(totals.kinds.values())

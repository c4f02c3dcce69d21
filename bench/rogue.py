"""One rogue box among the boxes of a district does its worst: floods, forks, gaps, copies, huge and packed bodies.

`python -m bench.rogue --boxes 948 --minutes 5` prints the latencies of the others, the platform's memory and what was
lost, as JSON; the exit status is 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from sync.contract.envelope import Event
from sync.contract.messages import Backlog, BacklogEntry, DirectoryRequest, Query
from sync.contract.records import AlarmRaised, Clock, Gap, Record, encode_record
from sync.contract.topics import Channel, Topic, every_box, shared, source_from
from sync.errors import LinkError
from sync.mqtt.broker_address import BrokerAddress
from sync.mqtt.connection import Connection
from sync.mqtt.events import publish_event
from sync.mqtt.packets import Options, Properties, Subscription
from sync.platform.simulation.report import simulate
from sync.platform.simulation.timeline import Simulation

BARS = {"live_p99_ms": 2000.0, "revocation_p99_ms": 5000.0, "platform_mb": 500.0, "lost": 0.0}
BOX = "rogue"
_BURST = 50  # messages of a kind between two pauses
_PAUSE_S = 0.02


class Rogue:
    """The attack of one box over one connection, as a broker with certificates allows; all drawn from `random`."""

    def __init__(self, district: str, random: Random) -> None:
        self.swallowed = 0  # records of others
        self._district = district
        self._random = random
        self._seq = 0
        self._epochs = [self._hex(16) for _ in range(4)]

    async def run(self, connection: Connection) -> None:
        """Attack until the connection is lost or the task is cancelled."""
        for group in ("ingest", "platform"):
            for channel in (Channel.ALARM, Channel.PASSAGE, Channel.BACKLOG):
                await connection.subscribe(Subscription(shared(group, every_box(self._district, channel))))
        await connection.subscribe(Subscription(str(self._topic(Channel.DIRECTORY))))
        async with asyncio.TaskGroup() as group_:
            group_.create_task(self._hear(connection), name="rogue: hear")
            for attack in (self._ask, self._write, self._copy, self._bloat):
                group_.create_task(attack(connection), name="rogue: attack")

    async def _hear(self, connection: Connection) -> None:
        async for message in connection.messages():
            self.swallowed += f"/{BOX}/" not in message.topic

    async def _ask(self, connection: Connection) -> None:
        """Queries, as fast as the broker takes them."""
        answer = str(self._topic(Channel.ANSWER))
        async for _ in _bursts():
            event = self._event(Query(self._hex(64)))
            properties = Properties("application/json", event.user_properties(), answer, self._random.randbytes(8))
            await connection.publish(str(self._topic(Channel.QUERY)), event.body, qos=0, properties=properties)

    async def _write(self, connection: Connection) -> None:
        """Gaps, alarms of next year, forks, invented kinds, and a new epoch for every third record."""
        async for _ in _bursts():
            epoch = self._hex(16) if self._random.random() < 0.3 else self._random.choice(self._epochs)
            forks = self._random.random() < 0.3
            self._seq += 0 if forks else self._random.randint(1, 3)
            record = self._record()
            kind = record.TYPE if self._random.random() < 0.9 else f"kind.{self._hex(8)}"
            event = Event(
                f"{BOX}/{epoch}/{max(1, self._seq)}",
                source_from(self._district, BOX),
                kind,
                datetime.now(UTC) + timedelta(days=365),
                encode_record(record),
                self._hex(64),
            )
            with contextlib.suppress(LinkError):
                await publish_event(connection, self._topic(Channel.ALARM), event)

    async def _copy(self, connection: Connection) -> None:
        """Requests for the whole directory."""
        async for _ in _bursts():
            await publish_event(connection, self._topic(Channel.DIRECTORY), self._event(DirectoryRequest("", 0, True)))

    async def _bloat(self, connection: Connection) -> None:
        """Large bodies, and packed ones that become much larger."""
        filler = msgspec.Raw(b'"' + b"x" * 60_000 + b'"')
        now = datetime.now(UTC)
        while True:
            self._seq += 4
            entries = tuple(BacklogEntry(self._seq + place, "kind.filler", now, filler) for place in range(3))
            event = self._event(Backlog(self._random.choice(self._epochs), entries))
            await publish_event(connection, self._topic(Channel.BACKLOG), event)
            bomb = zlib.compress(b" " * 7_000_000)
            attributes = (
                *self._event(Backlog(self._epochs[0], entries)).user_properties(),
                ("contentencoding", "deflate"),
            )
            await connection.publish(
                str(self._topic(Channel.BACKLOG)), bomb, properties=Properties("application/json", attributes)
            )
            await asyncio.sleep(_PAUSE_S)

    def _record(self) -> Record:
        clock = Clock(datetime.now(UTC) + timedelta(days=365), "boot", 0, in_sync=True)
        if self._random.random() < 0.5:
            first = 2 * self._random.randint(1, 10**9)
            return Gap(noted=clock, lost={"sentinel.passage.decided": 1}, first_seq=first, last_seq=first)
        return AlarmRaised(
            alarm_id=self._hex(16),
            raised=clock,
            kind="fever",
            subject="x\n\x1b[2J",
            detail="y" * self._random.randint(0, 900),
        )

    def _event(self, message: Any) -> Event:
        return Event.of(message, source_from(self._district, BOX))

    def _topic(self, channel: Channel) -> Topic:
        return Topic(self._district, channel, BOX)

    def _hex(self, digits: int) -> str:
        return f"{self._random.getrandbits(4 * digits):0{digits}x}"


async def _bursts() -> AsyncIterator[None]:
    while True:
        for _ in range(_BURST):
            yield
        await asyncio.sleep(_PAUSE_S)


async def attack(url: str, district: str, seed: int, seconds: float) -> int:
    """Attack for `seconds`, with a new connection whenever one is lost; returns how many records it swallowed."""
    random = Random(seed)
    rogue = Rogue(district, random)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                options = Options(BrokerAddress.from_url(url), BOX, window=100, receive_maximum=100)
                with contextlib.suppress(LinkError, ExceptionGroup):
                    async with Connection.open(options) as connection:
                        await rogue.run(connection)
                await asyncio.sleep(_PAUSE_S)
    return rogue.swallowed


async def measure(boxes: int, minutes: float, seed: int, folder: Path) -> dict[str, Any]:
    """The simulation with the rogue beside it, from the moment when all boxes are connected."""
    rogues: list[asyncio.subprocess.Process] = []
    starting: list[asyncio.Task[None]] = []

    async def start() -> None:
        port = (folder / "broker" / "mosquitto.conf").read_text().split()[1]
        command = [sys.executable, "-m", "bench.rogue", "--attack", f"mqtt://127.0.0.1:{port}"]
        command += ["--minutes", str(minutes + 0.5), "--seed", str(seed)]
        rogues.append(await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE))

    def progress(text: str) -> None:
        print(text, file=sys.stderr)
        if text.startswith("all boxes connected"):
            starting.append(asyncio.create_task(start(), name="rogue"))

    settings = Simulation(folder, boxes - 1, minutes, 1200.0 / minutes / 10, revoke=20, seed=seed)
    began_s = time.monotonic()
    try:
        report = await simulate(settings, progress)
    finally:
        for each in rogues:
            with contextlib.suppress(ProcessLookupError):
                each.terminate()
            await each.wait()
    report["wall_s"] = round(time.monotonic() - began_s, 1)
    return report


def judged(report: dict[str, Any]) -> dict[str, float]:
    """What the bars are about, from a report."""
    latency = report["latency_ms"]
    return {
        "live_p99_ms": latency["live"]["p99"],
        "revocation_p99_ms": latency["revocation"]["p99"],
        "platform_mb": report["processes"]["platform"]["rss_mb"],
        "lost": report["at_platform"]["lost"] + report["boxes_not_drained"],
    }


def _missed(found: dict[str, float]) -> Iterator[str]:
    return (f"{name}: {value:g}, at most {BARS[name]:g}" for name, value in found.items() if value > BARS[name])


def main() -> None:
    """Run the bench, or with --attack the attack alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--boxes", type=int, default=948)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--attack", metavar="URL")
    arguments = parser.parse_args()
    if arguments.attack:
        print(asyncio.run(attack(arguments.attack, "simulation", arguments.seed, 60 * arguments.minutes)))
        return
    with tempfile.TemporaryDirectory(prefix="rogue-") as folder:
        report = asyncio.run(measure(arguments.boxes, arguments.minutes, arguments.seed, Path(folder)))
    found = judged(report)
    print(json.dumps({"bars": BARS, "found": found, "report": report}, indent=1))
    sys.exit("\n".join(_missed(found)) or 0)


if __name__ == "__main__":
    main()

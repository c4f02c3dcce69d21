"""Two boxes, a broker and a platform in one process with virtual time and faults that a seed selects.

`python -m tests.faults.simulated_city SEED` prints the events.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import sqlite3
import sys
from collections.abc import Callable, Coroutine
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from sync.contract.records import LARGEST, encode_record
from sync.edge.directory.directory import Directory
from sync.edge.ledger.ledger import Ledger
from sync.edge.link.link import LinkSettings, PlatformLink
from sync.platform.directory.store import DirectoryStore
from sync.platform.fleet.fleet import Fleet
from sync.platform.records.open_store import open_store
from sync.platform.records.store_contract import RecordStore
from sync.platform.records.verification import State, all_stored, verify
from sync.platform.service import PlatformService, ServiceSettings
from tests.faults.memory_broker import MemoryBroker
from tests.faults.virtual import BEGIN_S, Process, VirtualLoop, running_process, virtual_world
from tests.leftovers import quick_folder
from tests.sync.city import BUDGET_BYTES, mixed, status_of

URL = "mqtt://127.0.0.1:1"  # nobody listens there: the wire is in memory
_TROUBLED_S = 240.0
_FAULTS = 14
_RECORDS = 60  # of each box
_HEALING_S = 3600.0
_DAY_S = 86_400.0
_JUMPS_S = (-_DAY_S, _DAY_S, -BEGIN_S, 0.0)


Rows = set[tuple[int, bytes]]


class Unhealed(AssertionError):
    """A committed record was lost, or the simulation makes no progress."""


@dataclass(eq=False)
class Machine:
    """One computer with its disk; `home` is the content of the disk, a new folder after every kill."""

    name: str
    live: Callable[[Machine], Coroutine[Any, Any, None]]
    home: Path
    process: Process
    task: asyncio.Task[Any] | None = None
    lives: int = 1


@dataclass(eq=False)
class Box:
    """The records that one box appended in all its processes, and those whose append returned."""

    name: str
    dice: Random
    begin: int = 0  # number of its first person
    promised: dict[tuple[str, int], bytes] = field(default_factory=dict)
    appended: int = 0


class City:
    """One run of one seed; `story` is the log of events, identical for the same seed."""

    def __init__(self, seed: int, folder: Path, loop: VirtualLoop) -> None:
        self.story: list[str] = []
        self._dice = Random(seed + 2)
        self._loop = loop
        self._broker = MemoryBroker(loop, Random(seed + 3), self._say)
        self._troubled = True
        self._failed: BaseException | None = None
        self._lives: list[asyncio.Task[Any]] = []
        self._boxes_open: dict[str, tuple[Ledger, Directory]] = {}
        self._source: DirectoryStore | None = None
        self._kills: list[tuple[int, Machine]] = []  # before which step
        self._copy: Machine | None = None  # a second device with the card of the first box, until all is well again
        self._boxes = [Box(f"box-{number}", Random(seed + 10 + number)) for number in (1, 2)]
        lives = {box.name: self._life_of(box) for box in self._boxes} | {"platform": self._platform}
        self._machines = [Machine(name, live, folder / f"{name}.1", Process(name)) for name, live in lives.items()]
        loop.before_step = self._before_step

    async def run(self) -> None:
        """Inject faults, then stop them; raises Unhealed, or the exception of a process."""
        with patch("sync.mqtt.connection.Wire", self._broker.wire):
            try:
                for machine in self._machines:
                    machine.home.mkdir()
                    self._start(machine)
                await self._trouble()
                self._heal()
                await self._until_settled()
            finally:
                for life in self._lives:
                    life.cancel()
                await asyncio.wait(self._lives)
            await self._check()

    def _say(self, text: str) -> None:
        self.story.append(f"{self._loop.time() - 1000:9.3f} s, step {self._loop.steps}: {text}")

    # Starting and killing processes.

    def _start(self, machine: Machine) -> None:
        self._say(f"{machine.name} starts")
        machine.process = Process(machine.name, machine.process.wall_offset_s)
        machine.task = self._loop.start(machine.process, machine.live(machine))
        machine.task.add_done_callback(self._ended)
        self._lives.append(machine.task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (exc := task.exception()) is not None:
            self._failed = exc

    def _before_step(self) -> None:
        while self._kills and self._loop.steps >= self._kills[0][0]:
            _, machine = self._kills.pop(0)
            if machine.process.alive:
                self._kill(machine)

    def _kill(self, machine: Machine) -> None:
        """Simulate SIGKILL: keep the disk as it is; later writes of the killed process go to an abandoned copy."""
        self._say(f"{machine.name} is killed")
        machine.process.die()
        self._boxes_open.pop(machine.name, None)
        machine.lives += 1
        grave, machine.home = machine.home, machine.home.with_name(f"{machine.name}.{machine.lives}")
        shutil.copytree(grave, machine.home, ignore=shutil.ignore_patterns("*-shm"))
        assert machine.task is not None
        machine.task.cancel()
        self._loop.call_later(self._dice.expovariate(1 / 5), self._start, machine)

    def _life_of(self, box: Box) -> Callable[[Machine], Coroutine[Any, Any, None]]:
        async def live(machine: Machine) -> None:
            async with (
                Ledger.opened(machine.home / "ledger.db", box=box.name, budget_bytes=BUDGET_BYTES) as ledger,
                Directory.opened(machine.home / "directory.db", now_s=self._loop.time) as directory,
            ):
                if running_process.get().alive:
                    self._boxes_open[machine.name] = ledger, directory
                settings = LinkSettings(URL, "demo", box.name)
                link = PlatformLink(settings, ledger, directory, versions={}, boot_id=f"boot {machine.lives}")
                async with asyncio.TaskGroup() as group:
                    group.create_task(link.run(), name="link")
                    group.create_task(self._let_people_come(box, ledger), name="people")

        return live

    async def _let_people_come(self, box: Box, ledger: Ledger) -> None:
        while box.appended < _RECORDS and self._troubled:
            await asyncio.sleep(box.dice.expovariate(_RECORDS / _TROUBLED_S) * (box.dice.random() < 0.7))
            count = box.dice.choice((1, 1, 1, 2, 30 if box.appended == 0 else 3))
            records = mixed(count, box.begin + box.appended)
            box.appended += len(records)
            numbers = await ledger.append_all(records)
            if not running_process.get().alive:
                return
            for seq, record in zip(numbers, records, strict=True):
                box.promised[ledger.epoch, seq] = encode_record(record)

    async def _platform(self, machine: Machine) -> None:
        async with (
            open_store(str(machine.home / "records.db")) as store,
            DirectoryStore.opened(machine.home / "source.db") as source,
        ):
            if running_process.get().alive:
                self._source = source
            platform = PlatformService(ServiceSettings(URL, "demo", machine.home))
            async with asyncio.TaskGroup() as group:
                group.create_task(platform.serve_boxes(store, source, Fleet()), name="platform")
                group.create_task(self._change_directory(source), name="directory")

    async def _change_directory(self, source: DirectoryStore) -> None:
        while self._troubled:
            await source.put([status_of(self._dice.randrange(10), lists=(str(self._dice.randrange(5)),))])
            await asyncio.sleep(self._dice.uniform(1, 60))

    # Faults and recovery.

    async def _trouble(self) -> None:
        """Inject a selection of faults that depends on the seed, with single kills among them."""
        dice, trouble = self._dice, self._broker.trouble
        for kind in ("cut_before", "cut_after", "doubled", "overtaken", "stalled"):
            setattr(trouble, kind, dice.choice((0, 0, 0.01, 0.1)))
        trouble.delay_s = dice.choice((0.001, 0.02, 0.5, 3.0))
        self._say(f"{trouble}")
        blows = [self._cut, self._kill_soon, self._kill_soon, self._take_broker_away, self._jump]
        chosen = dice.sample(blows, dice.randint(1, len(blows)))
        copied = dice.random() < 0.25
        for _ in range(_FAULTS):
            await asyncio.sleep(dice.expovariate(_FAULTS / _TROUBLED_S))
            self._raise_failure()
            dice.choice(chosen)()
            if copied and self._copy is None and dice.random() < 0.3:
                self._copy_card()

    def _cut(self) -> None:
        if connections := self._broker.connections():
            wire = self._dice.choice(connections)
            self._say(f"{wire.options.client_id} is cut off")
            wire.cut()

    def _kill_soon(self) -> None:
        self._kills.append((self._loop.steps + self._dice.randrange(300), self._dice.choice(self._machines)))
        self._kills.sort(key=lambda kill: kill[0])

    def _take_broker_away(self) -> None:
        wiped = self._dice.random() < 0.5
        self._say("the broker goes" + (" with its disk" if wiped else ""))
        self._broker.go(wiped=wiped)
        self._loop.call_later(self._dice.expovariate(1 / 10), self._broker.come)

    def _copy_card(self) -> None:
        """Start a second device with a copy of the disk of the first one, under the same name."""
        original = self._machines[0]
        self._say(f"the card of {original.name} is copied")
        home = original.home.with_name("copy.1")
        shutil.copytree(original.home, home, ignore=shutil.ignore_patterns("*-shm"))
        live = self._life_of(Box(original.name, Random(self._dice.random()), begin=1000))
        self._copy = Machine("copy", live, home, Process("copy"))
        self._start(self._copy)

    def _jump(self) -> None:
        machine = self._dice.choice(self._machines)
        machine.process.wall_offset_s = self._dice.choice(_JUMPS_S)
        self._say(f"the clock of {machine.name} is {machine.process.wall_offset_s:+.0f} s off")

    def _heal(self) -> None:
        self._say("everything is well again")
        self._troubled = False
        self._broker.calm()
        self._broker.come()
        if self._copy is not None:
            self._copy.process.die()
            self._boxes_open.pop(self._copy.name, None)
        for machine in self._machines:
            machine.process.wall_offset_s = 0.0

    async def _until_settled(self) -> None:
        until_s = self._loop.time() + _HEALING_S
        while not await self._is_settled():
            self._raise_failure()
            if self._loop.time() > until_s:
                raise Unhealed("an hour after the last fault there is still something to do")
            await asyncio.sleep(5)
        self._say("settled")

    async def _is_settled(self) -> bool:
        alive = all(machine.process.alive for machine in self._machines)
        if self._kills or not alive or self._source is None or len(self._boxes_open) < len(self._boxes):
            return False
        for ledger, directory in self._boxes_open.values():
            if (await ledger.status()).unacknowledged or directory.cursor != self._source.last_op:
                return False
        return True

    def _raise_failure(self) -> None:
        if self._failed is not None:
            raise self._failed

    # The check.

    async def _check(self) -> None:
        """Check that the platform has every record once, unchanged and in order, and no box has pending records."""
        homes = {machine.name: machine.home for machine in self._machines}
        records = homes["platform"] / "records.db"
        async with open_store(str(records), reading=True) as store:
            for box in self._boxes:
                await self._check_box(box, homes[box.name], store, rivals_in(records))
            totals = await store.totals("", 0)
            assert totals.duplicates == 0
            self._say(f"{sum(totals.kinds.values())} records, {totals.redelivered} repeats ignored")

    async def _check_box(self, box: Box, home: Path, store: RecordStore, rivals: Rows) -> None:
        async with Ledger.opened(home / "ledger.db", box=box.name, budget_bytes=BUDGET_BYTES) as ledger:
            status = await ledger.status()
        assert (status.unacknowledged, status.parked, status.set_aside) == (0, 0, None), status
        stored = [each async for each in all_stored(store, box.name, status.epoch, 1, LARGEST)]
        if self._copy is not None and box is self._boxes[0]:
            anywhere = rivals | {(each.seq, each.body) for each in stored}
            assert {(seq, body) for (_, seq), body in box.promised.items()} <= anywhere
            assert acknowledged_in(self._copy.home / "ledger.db") <= anywhere
            return
        assert [each.seq for each in stored] == list(range(1, status.last_seq + 1))
        bodies = {(status.epoch, each.seq): each.body for each in stored}
        assert box.promised.items() <= bodies.items()
        proof = await verify(store, box.name, None)
        assert proof.state in (State.COMPLETE, State.OPEN, None), proof  # the last report may be older
        self._say(f"{box.name}: {len(box.promised)} promised, {status.last_seq} stored")


def rivals_in(records: Path) -> Rows:
    """Numbers and bodies of all records that the platform stores as forks."""
    with closing(sqlite3.connect(records)) as database:
        return set(database.execute("SELECT seq, body FROM rival").fetchall())


def acknowledged_in(ledger: Path) -> Rows:
    """Numbers and bodies that a box has marked as acknowledged."""
    with closing(sqlite3.connect(ledger)) as database:
        return set(database.execute("SELECT seq, body FROM record WHERE acknowledged_ms IS NOT NULL").fetchall())


def play(seed: int) -> list[str]:
    """Run one seed and return its story; an exception carries the story as a note."""
    with (
        quick_folder() as folder,
        virtual_world(seed) as loop,
    ):
        city = City(seed, Path(folder), loop)
        try:
            loop.run_until_complete(city.run())
        except BaseException as exc:
            exc.add_note("\n".join([*city.story[-60:], f"FAULT_SEED={seed} plays it again"]))
            raise
    return city.story


def digest(story: list[str]) -> str:
    """A short digest of a story."""
    return hashlib.sha256("\n".join(story).encode()).hexdigest()


if __name__ == "__main__":
    story = play(int(sys.argv[1]))
    print("\n".join(story), digest(story), sep="\n")  # noqa: T201

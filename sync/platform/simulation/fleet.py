"""A whole district in one process: that many real MQTT sessions with real ledgers, on one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from random import Random

from sync.errors import LinkLost
from sync.platform.simulation.box import CountedRetry, SimulatedBox
from sync.platform.simulation.city import SimulatedPlatform
from sync.platform.simulation.course import Simulation, SimulationTimeline

_THREADS = 8  # each the one thread of many files; they wait for the disk together
_ARRIVE_PER_S = 50.0  # how fast boxes are switched on
_LOOK_S = 0.1
_CONNECT_LIMIT_S = 600.0
_DRAIN_LIMIT_S = 1200.0

Say = Callable[[str], None]


class SimulatedFleet:
    """Opens the boxes, lets the day pass, and waits until everything is acknowledged."""

    def __init__(self, settings: Simulation, city: SimulatedPlatform, course: SimulationTimeline, say: Say) -> None:
        self._settings = settings
        self._city = city
        self._course = course
        self._say = say
        self._boxes: list[SimulatedBox] = []
        self._online = 0

    async def run(self) -> None:
        """The whole run. Raises LinkLost when boxes cannot connect, with the reason."""
        began_s = time.monotonic()
        with contextlib.ExitStack() as threads:
            pool = [threads.enter_context(ThreadPoolExecutor(1, f"fleet-{each}")) for each in range(_THREADS)]
            async with AsyncExitStack() as stack:
                await self._open(stack, pool)
                self._course.opened_s = time.monotonic() - began_s
                self._say(f"{len(self._boxes)} boxes opened in {self._course.opened_s:.1f} s")
                await self._live()
                self._course.last_seq = {box.name: box.outbox.last_seq for box in self._boxes}

    async def _open(self, stack: AsyncExitStack, pool: list[ThreadPoolExecutor]) -> None:
        settings, course = self._settings, self._course
        random = Random(settings.seed)  # noqa: S311 - a seeded world

        async def one(number: int, seed: float) -> SimulatedBox:
            name = f"box-{number:04d}"
            retry = CountedRetry(attempts_s=course.attempts_s.setdefault(name, []))
            link, home = self._city.link(name, retry), settings.folder / "boxes" / name
            shared = pool[number % len(pool)]
            key = self._city.public_key
            box = await SimulatedBox.opened(stack, home, link, course.figures, key, shared, Random(seed))  # noqa: S311
            await box.fill(settings.backlog)
            return box

        self._boxes = list(await asyncio.gather(*(one(number, random.random()) for number in range(settings.boxes))))

    async def _live(self) -> None:
        settings, course = self._settings, self._course
        async with asyncio.TaskGroup() as group:
            background = [group.create_task(self._look(), name="look")]
            course.switched_on_s = time.monotonic()
            for number, box in enumerate(self._boxes):
                course.attempts_s[box.name].append(course.switched_on_s + number / _ARRIVE_PER_S)
                background.append(group.create_task(box.stay_connected(number / _ARRIVE_PER_S), name=box.name))
            await self._everybody()
            course.all_connected_s = time.monotonic()
            self._say(f"all connected after {course.all_connected_s - course.switched_on_s:.1f} s")
            async with asyncio.TaskGroup() as day:
                length_s = 60 * settings.minutes
                for box in self._boxes:
                    day.create_task(box.let_people_come(settings.per_hour, length_s), name=f"people at {box.name}")
                if settings.revoke:
                    day.create_task(self._revoke(length_s / 4, length_s / 2), name="revocations")
                if settings.outage_s:
                    day.create_task(self._outage(length_s / 2), name="outage")
            course.traffic_over_s = time.monotonic()
            self._say("the day is over")
            await self._drained()
            course.revoked_s = [
                told_s - course.revocations_s[key]
                for box in self._boxes
                for key, told_s in box.directory.revoked_s.items()
            ]
            for task in background:
                task.cancel()

    async def _revoke(self, after_s: float, within_s: float) -> None:
        await asyncio.sleep(after_s)
        await self._city.revoke(self._settings.revoke, within_s / self._settings.revoke)
        self._say(f"{self._settings.revoke} persons revoked")

    async def _outage(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        self._say(f"the broker goes for {self._settings.outage_s:g} s")
        self._course.figures.outage = True
        await self._city.take_broker_away()
        await self._everybody()
        self._course.all_back_s = time.monotonic()
        self._course.figures.outage = False
        self._say(f"all back after {self._course.all_back_s - self._course.broker_back_s:.1f} s")

    async def _look(self) -> None:
        while True:
            self._online = sum(box.look() for box in self._boxes)
            due_s = time.monotonic() + _LOOK_S
            await asyncio.sleep(_LOOK_S)
            self._course.lags_s.append(time.monotonic() - due_s)

    async def _everybody(self) -> None:
        """Return when all boxes are online. Raises LinkLost with the reason when they do not get there."""
        began_s = risen_s = time.monotonic()
        most = 0
        await asyncio.sleep(2 * _LOOK_S)
        while self._online < len(self._boxes):
            self._city.check_children()
            now_s = time.monotonic()
            if self._online > most:
                most, risen_s = self._online, now_s
            refused = all(box.refusal for box in self._boxes if not box.outbox.online)
            limit_s = self._settings.refused_limit_s if refused else self._settings.stall_limit_s
            if now_s - risen_s > limit_s or now_s - began_s > _CONNECT_LIMIT_S:
                raise LinkLost(self._why_offline(now_s - began_s))
            await asyncio.sleep(_LOOK_S)

    def _why_offline(self, waited_s: float) -> str:
        offline = [box for box in self._boxes if not box.outbox.online]
        reasons = Counter(box.trouble or f"the platform does not answer: {self._city.last_words}" for box in offline)
        [(reason, boxes)] = reasons.most_common(1)
        missing = f"{len(offline)} of {len(self._boxes)} boxes did not connect within {waited_s:.0f} s"
        return f"{missing}; {boxes} of them: {reason}"

    async def _drained(self) -> None:
        """Wait until everything is acknowledged, or nothing more is acknowledged."""
        figures, began_s = self._course.figures, time.monotonic()
        most, risen_s = figures.acknowledged, began_s
        while not all(box.outbox.drained for box in self._boxes):
            now_s = time.monotonic()
            if figures.acknowledged > most:
                most, risen_s = figures.acknowledged, now_s
            if now_s - risen_s > self._settings.stall_limit_s or now_s - began_s > _DRAIN_LIMIT_S:
                self._say(f"not everything was acknowledged within {now_s - began_s:.0f} s")
                break
            self._city.check_children()
            await asyncio.sleep(_LOOK_S)
        self._course.drained_s = time.monotonic()
        self._course.undrained = sum(not box.outbox.drained for box in self._boxes)


def raise_file_limit() -> None:
    """As many open files as the system allows: a box needs about ten."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

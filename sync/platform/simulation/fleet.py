"""A whole district in one process: real MQTT sessions with real ledgers on one event loop."""

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
from sync.platform.simulation.platform import SimulatedPlatform
from sync.platform.simulation.timeline import Simulation, SimulationTimeline

_THREADS = 8  # each serves many databases
_SWITCHED_ON_PER_S = 50.0  # boxes switched on per second
_CHECK_S = 0.1
_CONNECT_LIMIT_S = 600.0
_DRAIN_LIMIT_S = 1200.0

ProgressReport = Callable[[str], None]


class SimulatedFleet:
    """Opens the boxes, simulates one day, and waits until every record is acknowledged."""

    def __init__(
        self,
        settings: Simulation,
        platform: SimulatedPlatform,
        timeline: SimulationTimeline,
        report_progress: ProgressReport,
    ) -> None:
        self._settings = settings
        self._platform = platform
        self._timeline = timeline
        self._report_progress = report_progress
        self._boxes: list[SimulatedBox] = []
        self._online = 0

    async def run(self) -> None:
        """Run the simulation. Raises LinkLost with the reason if boxes cannot connect."""
        began_s = time.monotonic()
        with contextlib.ExitStack() as threads:
            pool = [threads.enter_context(ThreadPoolExecutor(1, f"fleet-{each}")) for each in range(_THREADS)]
            async with AsyncExitStack() as stack:
                await self._open(stack, pool)
                self._timeline.opened_s = time.monotonic() - began_s
                self._report_progress(f"{len(self._boxes)} boxes opened in {self._timeline.opened_s:.1f} s")
                await self._run_day()
                self._timeline.last_seq = {box.name: box.ledger.last_seq for box in self._boxes}

    async def _open(self, stack: AsyncExitStack, pool: list[ThreadPoolExecutor]) -> None:
        settings, timeline = self._settings, self._timeline
        random = Random(settings.seed)  # noqa: S311 - a seeded world

        async def one(number: int, seed: float) -> SimulatedBox:
            name = f"box-{number:04d}"
            retry = CountedRetry(attempts_s=timeline.attempts_s.setdefault(name, []))
            link, folder = self._platform.link(name, retry), settings.folder / "boxes" / name
            shared = pool[number % len(pool)]
            key = self._platform.public_key
            box = await SimulatedBox.opened(stack, folder, link, timeline.metrics, key, shared, Random(seed))  # noqa: S311
            await box.fill(settings.backlog)
            return box

        self._boxes = list(await asyncio.gather(*(one(number, random.random()) for number in range(settings.boxes))))

    async def _run_day(self) -> None:
        settings, timeline = self._settings, self._timeline
        async with asyncio.TaskGroup() as group:
            background = [group.create_task(self._track_online(), name="online")]
            timeline.switched_on_s = time.monotonic()
            for number, box in enumerate(self._boxes):
                timeline.attempts_s[box.name].append(timeline.switched_on_s + number / _SWITCHED_ON_PER_S)
                background.append(group.create_task(box.stay_connected(number / _SWITCHED_ON_PER_S), name=box.name))
            await self._wait_until_online()
            timeline.all_connected_s = time.monotonic()
            self._report_progress(
                f"all boxes connected after {timeline.all_connected_s - timeline.switched_on_s:.1f} s"
            )
            async with asyncio.TaskGroup() as day:
                length_s = 60 * settings.minutes
                for box in self._boxes:
                    day.create_task(box.run_day(settings.per_hour, length_s), name=f"people at {box.name}")
                if settings.revoke:
                    day.create_task(self._revoke(length_s / 4, length_s / 2), name="revocations")
                if settings.outage_s:
                    day.create_task(self._outage(length_s / 2), name="outage")
            timeline.traffic_over_s = time.monotonic()
            self._report_progress("the day is over")
            await self._wait_until_drained()
            timeline.revoked_s = [
                effective_s - timeline.revocations_s[key]
                for box in self._boxes
                for key, effective_s in box.directory.revoked_s.items()
            ]
            for task in background:
                task.cancel()

    async def _revoke(self, after_s: float, within_s: float) -> None:
        await asyncio.sleep(after_s)
        await self._platform.revoke(self._settings.revoke, within_s / self._settings.revoke)
        self._report_progress(f"{self._settings.revoke} persons revoked")

    async def _outage(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        self._report_progress(f"the broker is stopped for {self._settings.outage_s:g} s")
        self._timeline.metrics.outage = True
        await self._platform.interrupt_broker()
        await self._wait_until_online()
        self._timeline.all_back_s = time.monotonic()
        self._timeline.metrics.outage = False
        self._report_progress(
            f"all boxes reconnected after {self._timeline.all_back_s - self._timeline.broker_back_s:.1f} s"
        )

    async def _track_online(self) -> None:
        while True:
            self._online = sum(box.update_online() for box in self._boxes)
            due_s = time.monotonic() + _CHECK_S
            await asyncio.sleep(_CHECK_S)
            self._timeline.lags_s.append(time.monotonic() - due_s)

    async def _wait_until_online(self) -> None:
        """Wait until all boxes are online. Raises LinkLost with the reason if they do not connect."""
        began_s = increased_s = time.monotonic()
        most = 0
        await asyncio.sleep(2 * _CHECK_S)
        while self._online < len(self._boxes):
            self._platform.check_children()
            now_s = time.monotonic()
            if self._online > most:
                most, increased_s = self._online, now_s
            refused = all(box.refusal for box in self._boxes if not box.ledger.online)
            limit_s = self._settings.refused_limit_s if refused else self._settings.stall_limit_s
            if now_s - increased_s > limit_s or now_s - began_s > _CONNECT_LIMIT_S:
                raise LinkLost(self._why_offline(now_s - began_s))
            await asyncio.sleep(_CHECK_S)

    def _why_offline(self, waited_s: float) -> str:
        offline = [box for box in self._boxes if not box.ledger.online]
        reasons = Counter(
            box.trouble or f"the platform does not answer: {self._platform.last_log_line}" for box in offline
        )
        [(reason, boxes)] = reasons.most_common(1)
        missing = f"{len(offline)} of {len(self._boxes)} boxes did not connect within {waited_s:.0f} s"
        return f"{missing}; {boxes} of them: {reason}"

    async def _wait_until_drained(self) -> None:
        """Wait until everything is acknowledged, or nothing more is acknowledged."""
        metrics, began_s = self._timeline.metrics, time.monotonic()
        most, increased_s = metrics.acknowledged, began_s
        while not all(box.ledger.drained for box in self._boxes):
            now_s = time.monotonic()
            if metrics.acknowledged > most:
                most, increased_s = metrics.acknowledged, now_s
            if now_s - increased_s > self._settings.stall_limit_s or now_s - began_s > _DRAIN_LIMIT_S:
                self._report_progress(f"not everything was acknowledged within {now_s - began_s:.0f} s")
                break
            self._platform.check_children()
            await asyncio.sleep(_CHECK_S)
        self._timeline.drained_s = time.monotonic()
        self._timeline.undrained = sum(not box.ledger.drained for box in self._boxes)


def raise_file_limit() -> None:
    """Raise the limit of open files to its maximum: a box needs about ten."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

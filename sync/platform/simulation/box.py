"""One simulated box: a real ledger on the disk, a real link, generated passages."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sync.contract.orders import Desired
from sync.contract.records import AlarmRaised, Record
from sync.edge.directory.directory import Directory
from sync.edge.directory.replica import PendingRevocation
from sync.edge.ledger.ledger import Ledger
from sync.edge.link.link import LinkSettings, PlatformLink
from sync.edge.orders.receiver import OrderHandlers, OrderReceiver
from sync.edge.orders.replay_guard import ORDER_MIGRATIONS, ReplayGuard
from sync.mqtt.reconnect import Retry
from sync.platform.simulation.day import arrivals_s, passage
from sync.storage.sqlite_thread import SqliteThread

_BUDGET_BYTES = 64_000_000
_GATE_S = 3.0  # from the decision to the end of a passage
_PREFILL = 500  # records in one commit


async def _ignore_settings(_: Desired) -> bool:
    return False


def _series() -> array[float]:
    return array("d")


@dataclass(slots=True)
class SimulationMetrics:
    """Metrics of the fleet; latencies in seconds from commit to acknowledgement."""

    appended: int = 0
    acknowledged: int = 0
    live_s: array[float] = field(default_factory=_series)
    alarm_s: array[float] = field(default_factory=_series)
    outage: bool = False  # the broker is stopped, or not all boxes have reconnected
    late_s: array[float] = field(default_factory=_series)  # of records written without a link


class TimedLedger(Ledger):
    """A ledger that measures the time from commit to acknowledgement of each record."""

    def watch(self, metrics: SimulationMetrics) -> None:
        """Count into `metrics` from now on."""
        self.online = False
        self._metrics = metrics
        self._pending: dict[int, tuple[float, array[float]]] = {}

    @property
    def drained(self) -> bool:
        return not self._pending

    async def append_all(self, records: Iterable[Record]) -> list[int]:
        batch = list(records)
        numbers = await super().append_all(batch)
        now_s, metrics = time.monotonic(), self._metrics
        metrics.appended += len(numbers)
        for seq, record in zip(numbers, batch, strict=True):
            series = metrics.alarm_s if isinstance(record, AlarmRaised) else metrics.live_s
            self._pending[seq] = (now_s, series if self.online and not metrics.outage else metrics.late_s)
        return numbers

    async def acknowledge(self, epoch: str, ranges: Iterable[tuple[int, int]], heads: Sequence[str | None] = ()) -> int:
        wanted, now_s = tuple(ranges), time.monotonic()
        freed = await super().acknowledge(epoch, wanted, heads)
        for first, last in wanted:
            for seq in range(first, last + 1):
                if (found := self._pending.pop(seq, None)) is not None:
                    found[1].append(now_s - found[0])
                    self._metrics.acknowledged += 1
        return freed


class TimedDirectory(Directory):
    """A replica that stores when each revocation became effective."""

    def watch(self) -> None:
        """Store the times from now on."""
        self.revoked_s: dict[str, float] = {}

    def _add_pending(self, added: Mapping[str, PendingRevocation]) -> None:
        super()._add_pending(added)
        self.revoked_s |= dict.fromkeys(added, time.monotonic())


@dataclass(frozen=True)
class CountedRetry(Retry):
    """Stores when its box will try to connect again."""

    attempts_s: list[float] = field(default_factory=list)

    def pause_s(self, tries: int, spread_s: float = 1.0) -> float:
        pause_s = super().pause_s(tries, spread_s)
        self.attempts_s.append(time.monotonic() + pause_s)
        return pause_s


class SimulatedBox:
    """A box with its stores, opened by `opened`."""

    def __init__(
        self,
        settings: LinkSettings,
        ledger: TimedLedger,
        directory: TimedDirectory,
        orders: OrderReceiver,
        random: Random,
    ) -> None:
        self.name = settings.box
        self.ledger = ledger
        self.directory = directory
        self._random = random
        self._link = PlatformLink(
            settings,
            ledger,
            directory,
            versions={"simulation": "1"},
            boot_id=random.randbytes(8).hex(),
            orders=orders,
        )

    @classmethod
    async def opened(
        cls,
        stack: AsyncExitStack,
        folder: Path,
        settings: LinkSettings,
        metrics: SimulationMetrics,
        key: Ed25519PublicKey,
        shared: ThreadPoolExecutor,
        random: Random,
    ) -> SimulatedBox:
        """A box with its files below `folder`, on the `shared` thread, until `stack` ends; `key` is the platform's."""
        ledger = await stack.enter_async_context(
            TimedLedger.opened(folder / "ledger.db", box=settings.box, budget_bytes=_BUDGET_BYTES, shared=shared)
        )
        directory = await stack.enter_async_context(TimedDirectory.opened(folder / "directory.db", shared=shared))
        memory = await stack.enter_async_context(
            SqliteThread.opened(folder / "orders.db", ORDER_MIGRATIONS, shared=shared)
        )
        ledger.watch(metrics)
        directory.watch()
        return cls(
            settings,
            ledger,
            directory,
            OrderReceiver(ReplayGuard(memory), key, OrderHandlers(_ignore_settings)),
            random,
        )

    async def fill(self, records: int) -> None:
        """Write `records` records as backlog."""
        while records > 0:
            batch = [record for _ in range(min(_PREFILL, records)) for record in passage(self._random)[0][:1]]
            await self.ledger.append_all(batch)
            records -= len(batch)

    async def stay_connected(self, delay_s: float) -> None:
        """Keep the link connected after `delay_s`, until cancelled."""
        await asyncio.sleep(delay_s)
        await self._link.run()

    async def run_day(self, per_hour: float, length_s: float) -> None:
        """Write the passages of one day within `length_s`."""
        began_s = time.monotonic()
        async with asyncio.TaskGroup() as closing:
            for at_s in arrivals_s(self._random, per_hour, length_s):
                await asyncio.sleep(max(0.0, began_s + at_s - time.monotonic()))
                decided, closed = passage(self._random)
                await self.ledger.append_all(decided)
                closing.create_task(self._close(closed), name="close")

    def update_online(self) -> bool:
        """Whether the box is connected to a platform that receives records."""
        self.ledger.online = self._link.status().platform_online
        return self.ledger.online

    @property
    def refusal(self) -> str:
        """Why the connection fails, if a retry does not help; else empty."""
        return self._link.refusal

    @property
    def trouble(self) -> str:
        """Why the box is not online; empty while it is connected to the broker."""
        return self._link.status().detail

    async def _close(self, closed: Record) -> None:
        await asyncio.sleep(_GATE_S)
        await self.ledger.append(closed)

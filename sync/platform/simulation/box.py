"""One simulated box: a real ledger on the disk, a real link, invented people."""

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


async def _obey(_: Desired) -> bool:
    return False


def _series() -> array[float]:
    return array("d")


@dataclass(slots=True)
class SimulationMetrics:
    """What the fleet saw; latencies in seconds from commit to acknowledgement."""

    appended: int = 0
    acknowledged: int = 0
    live_s: array[float] = field(default_factory=_series)
    alarm_s: array[float] = field(default_factory=_series)
    outage: bool = False  # the broker is away, or not all boxes are back
    late_s: array[float] = field(default_factory=_series)  # of records written while their box had no link, or before


class TimedLedger(Ledger):
    """A ledger that remembers when each record was committed until it is acknowledged."""

    def watch(self, figures: SimulationMetrics) -> None:
        """Begin to count into `figures`."""
        self.online = False
        self._figures = figures
        self._pending: dict[int, tuple[float, array[float]]] = {}

    @property
    def drained(self) -> bool:
        return not self._pending

    async def append_all(self, records: Iterable[Record]) -> list[int]:
        batch = list(records)
        numbers = await super().append_all(batch)
        now_s, figures = time.monotonic(), self._figures
        figures.appended += len(numbers)
        for seq, record in zip(numbers, batch, strict=True):
            series = figures.alarm_s if isinstance(record, AlarmRaised) else figures.live_s
            self._pending[seq] = (now_s, series if self.online and not figures.outage else figures.late_s)
        return numbers

    async def acknowledge(self, epoch: str, ranges: Iterable[tuple[int, int]], heads: Sequence[str | None] = ()) -> int:
        wanted, now_s = tuple(ranges), time.monotonic()
        freed = await super().acknowledge(epoch, wanted, heads)
        for first, last in wanted:
            for seq in range(first, last + 1):
                if (found := self._pending.pop(seq, None)) is not None:
                    found[1].append(now_s - found[0])
                    self._figures.acknowledged += 1
        return freed


class TimedDirectory(Directory):
    """A replica that remembers since when each revocation counts."""

    def watch(self) -> None:
        """Begin to remember."""
        self.revoked_s: dict[str, float] = {}

    def _let_count(self, added: Mapping[str, PendingRevocation]) -> None:
        super()._let_count(added)
        self.revoked_s |= dict.fromkeys(added, time.monotonic())


@dataclass(frozen=True)
class CountedRetry(Retry):
    """Notes when its box will try to connect again."""

    attempts_s: list[float] = field(default_factory=list)

    def pause_s(self, tries: int, spread_s: float = 1.0) -> float:
        pause_s = super().pause_s(tries, spread_s)
        self.attempts_s.append(time.monotonic() + pause_s)
        return pause_s


class SimulatedBox:
    """Opened with its stores, then `run`."""

    def __init__(
        self,
        settings: LinkSettings,
        outbox: TimedLedger,
        directory: TimedDirectory,
        orders: OrderReceiver,
        random: Random,
    ) -> None:
        self.name = settings.box
        self.outbox = outbox
        self.directory = directory
        self._random = random
        self._link = PlatformLink(
            settings,
            outbox,
            directory,
            versions={"simulation": "1"},
            boot_id=random.randbytes(8).hex(),
            orders=orders,
        )

    @classmethod
    async def opened(
        cls,
        stack: AsyncExitStack,
        home: Path,
        settings: LinkSettings,
        figures: SimulationMetrics,
        key: Ed25519PublicKey,
        shared: ThreadPoolExecutor,
        random: Random,
    ) -> SimulatedBox:
        """A box with its files below `home`, on the `shared` thread, until `stack` ends; `key` is the platform's."""
        outbox = await stack.enter_async_context(
            TimedLedger.opened(home / "ledger.db", box=settings.box, budget_bytes=_BUDGET_BYTES, shared=shared)
        )
        directory = await stack.enter_async_context(TimedDirectory.opened(home / "directory.db", shared=shared))
        memory = await stack.enter_async_context(
            SqliteThread.opened(home / "orders.db", ORDER_MIGRATIONS, shared=shared)
        )
        outbox.watch(figures)
        directory.watch()
        return cls(settings, outbox, directory, OrderReceiver(ReplayGuard(memory), key, OrderHandlers(_obey)), random)

    async def fill(self, records: int) -> None:
        """Write `records` of the past."""
        while records > 0:
            batch = [record for _ in range(min(_PREFILL, records)) for record in passage(self._random)[0][:1]]
            await self.outbox.append_all(batch)
            records -= len(batch)

    async def stay_connected(self, delay_s: float) -> None:
        """Hold the link from `delay_s` on, until cancelled."""
        await asyncio.sleep(delay_s)
        await self._link.run()

    async def let_people_come(self, per_hour: float, length_s: float) -> None:
        """One day in `length_s`."""
        began_s = time.monotonic()
        async with asyncio.TaskGroup() as closing:
            for at_s in arrivals_s(self._random, per_hour, length_s):
                await asyncio.sleep(max(0.0, began_s + at_s - time.monotonic()))
                decided, closed = passage(self._random)
                await self.outbox.append_all(decided)
                closing.create_task(self._close(closed), name="close")

    def look(self) -> bool:
        """Whether the box is connected to a platform that takes records."""
        self.outbox.online = self._link.status().platform_online
        return self.outbox.online

    @property
    def refusal(self) -> str:
        """Why the broker and this box do not come together, where trying again does not help; else empty."""
        return self._link.refusal

    @property
    def trouble(self) -> str:
        """Why it is not online; empty while it is connected to the broker."""
        return self._link.status().detail

    async def _close(self, closed: Record) -> None:
        await asyncio.sleep(_GATE_S)
        await self.outbox.append(closed)

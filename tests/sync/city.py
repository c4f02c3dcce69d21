"""Shared by the tests of the platform link: a real broker, a platform, boxes and records with fixed content."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sync.contract.health import Colour, Freshness, HealthStatus, LookupOutcome, TestResult
from sync.contract.identity import person_key
from sync.contract.orders import OrderBody
from sync.contract.records import (
    AlarmRaised,
    Clock,
    Health,
    Mask,
    PassageClosed,
    PassageDecided,
    Record,
    Temperature,
)
from sync.contract.signed import Signed, sign
from sync.contract.topics import Topic
from sync.edge.directory.directory import Directory
from sync.edge.ledger.ledger import Ledger
from sync.edge.ledger.system_clock import system_clock
from sync.edge.link.link import LinkSettings, PlatformLink
from sync.edge.link.sender import SenderSettings
from sync.edge.orders.receiver import OrderHandlers, OrderReceiver
from sync.edge.orders.replay_guard import ReplayGuard
from sync.id_number import check_digit
from sync.mqtt.reconnect import Retry
from sync.platform.service import PlatformService, ServiceSettings
from tests.limits import HANG_S
from tests.ports import free_port

SIGNING_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
WHEN = datetime(2022, 4, 1, 8, 0, tzinfo=UTC)
COMMUNITY_KEY = bytes(range(32))
QUICK = Retry(cap_s=0.2, stable_s=60.0)
BUDGET_BYTES = 50_000_000


def number(index: int) -> str:
    """A valid document number with an unassigned area code."""
    born = date(1990, 1, 1) + timedelta(days=index // 999)
    digits = f"999999{born:%Y%m%d}{index % 999 + 1:03d}"
    return digits + check_digit(digits)


def status_of(index: int, **changes: Any) -> HealthStatus:
    return HealthStatus(
        person_key=person_key(COMMUNITY_KEY, number(index)),
        colour=changes.pop("colour", Colour.GREEN),
        as_of=WHEN + timedelta(seconds=index),
        sampled_at=WHEN,
        reported_at=WHEN,
        result=TestResult.NEGATIVE,
        **changes,
    )


def clock(at_s: int = 0) -> Clock:
    return Clock(wall=WHEN + timedelta(seconds=at_s), boot_id="boot", monotonic_ms=at_s * 1000, in_sync=True)


def passage(index: int, *, verdict: str = "admit") -> PassageDecided:
    return PassageDecided(
        passage_id=f"passage-{index}",
        follows=None,
        decided=clock(index),
        checkpoint="east-gate",
        lane="1",
        direction="in",
        verdict=verdict,
        reasons=("green_code",),
        credential="code",
        person_key=person_key(COMMUNITY_KEY, number(index)),
        temperature=Temperature(36.4, 0.2, 33.1, 22.0, 8, "forehead-1"),
        mask=Mask("correct", 0.98, 5),
        health=Health(LookupOutcome.FOUND, "replica", Freshness.FRESH, 3.0, Colour.GREEN, WHEN, WHEN),
        policy_version=1,
        arrival_to_decision_ms=240,
    )


def closing(index: int) -> PassageClosed:
    return PassageClosed(
        passage_id=f"passage-{index}", closed=clock(index), outcome="passed", arrival_to_prompt_ms=250, gate_opened=True
    )


def alarm(index: int) -> AlarmRaised:
    return AlarmRaised(
        alarm_id=f"alarm-{index}", raised=clock(index), kind="fever", subject=f"passage-{index}", detail=""
    )


def mixed(count: int, first: int = 0) -> list[Record]:
    """`count` records: passages, their closings and some alarms."""
    makers: list[Callable[[int], Record]] = [passage, closing, passage, closing, alarm]
    return [makers[index % 5](index) for index in range(first, first + count)]


def signed(
    body: OrderBody,
    topic: Topic,
    *,
    version: int = 1,
    begins_s: float = 0.0,
    lasts_s: float = 30.0,
    key: Ed25519PrivateKey = SIGNING_KEY,
) -> Signed:
    """A signed order for `topic`, valid from `begins_s` seconds from now."""
    begins = datetime.now(UTC) + timedelta(seconds=begins_s)
    expires = begins + timedelta(seconds=lasts_s)
    return sign(body, key, to=str(topic), version=version, not_before=begins, expires=expires)


class Mosquitto:
    """A broker on loopback with its own data directory; it can be stopped and started again."""

    def __init__(self, home: Path, *, extra: str = "") -> None:
        self.port = free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self._home = home
        self._extra = extra
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._home.mkdir(parents=True, exist_ok=True)
        config = self._home / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\nuser root\n"
            f"persistence true\npersistence_location {self._home}/\n{self._extra}"
        )
        with (self._home / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(["/usr/sbin/mosquitto", "-c", config], stdout=log, stderr=log)
        deadline = time.monotonic() + HANG_S
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.01)
        raise TimeoutError((self._home / "mosquitto.log").read_text())

    def stop(self, *, kill: bool = False) -> None:
        if self._process is not None:
            (self._process.kill if kill else self._process.terminate)()
            self._process.wait(HANG_S)
            self._process = None


@contextmanager
def mosquitto(home: Path, *, extra: str = "") -> Iterator[Mosquitto]:
    broker = Mosquitto(home, extra=extra)
    try:
        broker.start()
        yield broker
    finally:
        broker.stop(kill=True)


@asynccontextmanager
async def running(work: Awaitable[Any]) -> AsyncIterator[asyncio.Task[Any]]:
    """Run `work` as a task within the block; its failure fails the block."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(_awaited(work))
        yield task
        task.cancel()


async def _awaited(work: Awaitable[Any]) -> Any:
    return await work


async def eventually(check: Callable[[], Awaitable[bool]]) -> None:
    """Poll `check` every 10 ms until it is true: for states without an event to wait for."""
    async with asyncio.timeout(HANG_S):
        while not await check():
            await asyncio.sleep(0.01)


def link_settings(url: str, box: str = "box-1", **changes: Any) -> LinkSettings:
    settings = LinkSettings(url=url, district="demo", box=box, sender=SenderSettings(resend_s=1.0), retry=QUICK)
    return replace(settings, **changes)


class Box:
    """One running box with its stores and its link."""

    def __init__(self, ledger: Ledger, directory: Directory, link: PlatformLink) -> None:
        self.ledger = ledger
        self.directory = directory
        self.link = link

    async def all_acknowledged(self) -> bool:
        return (await self.ledger.status()).unacknowledged == 0


@asynccontextmanager
async def a_box(
    home: Path,
    settings: LinkSettings,
    *,
    handlers: OrderHandlers | None = None,
    boot_id: str = "boot",
    order_clock: Callable[[], Clock] = system_clock,
    on_platform_time: Callable[[datetime], None] = lambda _: None,
) -> AsyncIterator[Box]:
    """A box; with `handlers` it accepts orders signed with SIGNING_KEY."""
    async with (
        AsyncExitStack() as stack,
        Ledger.opened(home / "ledger.db", box=settings.box, budget_bytes=BUDGET_BYTES) as ledger,
        Directory.opened(home / "directory.db") as directory,
    ):
        orders = None
        if handlers is not None:
            memory = await stack.enter_async_context(ReplayGuard.opened(home / "orders.db"))
            orders = OrderReceiver(memory, SIGNING_KEY.public_key(), handlers, order_clock)
        link = PlatformLink(
            settings,
            ledger,
            directory,
            versions={"agent": "0"},
            boot_id=boot_id,
            orders=orders,
            on_platform_time=on_platform_time,
        )
        async with running(link.run()):
            yield Box(ledger, directory, link)


@asynccontextmanager
async def a_platform(home: Path, url: str, **changes: Any) -> AsyncIterator[PlatformService]:
    settings = ServiceSettings(broker=url, district="demo", data=home, http_port=0, retry=QUICK)
    platform = PlatformService(replace(settings, **changes))
    async with running(platform.run()):
        await platform.ready.wait()
        yield platform

"""An authority for tests: registry, enroller and EST on loopback, with a clock that can be set."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from sync.contract.enrolment import Invitation
from sync.platform.authority.certificates import Authority, CaFiles, utc_now
from sync.platform.authority.enroller import Enroller, Rules
from sync.platform.authority.est import EstServer
from sync.platform.authority.registry import TOKEN_LIMIT, Registry
from sync.platform.brokers.revocation_lists import RevocationLists
from sync.platform.http_server.limited_server import DEFAULT_LIMITS, ServerLimits

HOST = "localhost"
ANY = Rules()


@dataclass
class SetClock:
    """The real time, moved by `ahead`."""

    ahead: timedelta = field(default_factory=timedelta)

    def __call__(self) -> datetime:
        return utc_now() + self.ahead


@dataclass
class Town:
    """The parts of the authority that a test uses."""

    home: Path
    files: CaFiles
    authority: Authority
    registry: Registry
    clock: SetClock
    url: str

    async def invite(
        self, serial: str = "SN-1", name: str = "box-1", *, accept: bool = True, lasts: timedelta = TOKEN_LIMIT
    ) -> Invitation:
        token, _ = await self.registry.invite(serial, name, accept=accept, lasts=lasts)
        return Invitation(self.url, serial, token, self.authority.sha256)


@asynccontextmanager
async def town(
    home: Path,
    rules: Rules = ANY,
    *,
    retry_after_s: int = 1,
    now_s: Callable[[], float] = time.monotonic,
    limits: ServerLimits = DEFAULT_LIMITS,
) -> AsyncIterator[Town]:
    """An authority that serves within the block."""
    clock, files = SetClock(), CaFiles.below(home / "ca")
    files.create("demo")
    authority = files.load(clock)
    async with Registry.opened(home / "boxes.db", clock) as registry:
        lists = RevocationLists(authority, files, registry, home / "mosquitto.pid")
        enroller = Enroller(authority, registry, rules, lists.update)
        server = EstServer(authority, enroller, home / "ca", [HOST], retry_after_s, now_s, limits)
        async with server.served("127.0.0.1", 0) as port:
            yield Town(home, files, authority, registry, clock, f"https://{HOST}:{port}")

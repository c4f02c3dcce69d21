"""The platform of the simulated boxes: broker, platform processes, connection limiter."""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from sync.contract.health import Colour
from sync.contract.signed import read_private_key, read_public_key
from sync.edge.link.link import LinkSettings
from sync.errors import LinkLost
from sync.mqtt.broker_address import BrokerAddress, parse_broker_url
from sync.mqtt.connection import Connection
from sync.mqtt.packets import Options
from sync.mqtt.tls_files import TlsFiles
from sync.platform.authority.certificates import PLATFORM
from sync.platform.directory.store import DirectoryStore
from sync.platform.orders.issuer import OrderIssuer
from sync.platform.orders.keys import KeyFiles
from sync.platform.orders.order_log import OrderLog
from sync.platform.simulation.box import CountedRetry
from sync.platform.simulation.broker import HOST, PrivateBroker, SimulatedAuthority, end, free_port, last_line
from sync.platform.simulation.gate import AcceptGate
from sync.platform.simulation.timeline import Simulation, SimulationTimeline

_RETRY_S = 1.0
_ORDER_LIMIT_S = 120.0  # time limit for repeating an order, in addition to the outage


class SimulatedPlatform:
    """Broker, platform processes and connection limiter, unless the settings name an existing broker."""

    def __init__(self, settings: Simulation, timeline: SimulationTimeline) -> None:
        self._settings = settings
        self._timeline = timeline
        self._authority = (
            SimulatedAuthority(settings.folder / "tls", settings.district)
            if settings.tls and settings.broker is None
            else None
        )
        self._broker = PrivateBroker(settings.folder / "broker", self._authority) if settings.broker is None else None
        self.gate: AcceptGate | None = None
        self._url = settings.broker or ""
        self._children: dict[str, asyncio.subprocess.Process] = {}
        self._keys = KeyFiles.below(settings.folder / "keys")
        self._keys.create()
        self.public_key = read_public_key(self._keys.orders_public)

    @property
    def records(self) -> str:
        """Address of the record store."""
        return self._settings.store or str(self._settings.folder / "platform" / "records.db")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[SimulatedPlatform]:
        """Run everything while the block lasts. Raises LinkLost."""
        async with AsyncExitStack() as stack:
            if self._broker is not None:
                await self._broker.start()
                stack.push_async_callback(self._broker.stop)
                stack.push_async_callback(self._end_children)
                await self._start_platform(self._broker)
                self._url = self._url_at(self._broker.port)
            if self._settings.admit_per_s:
                port = parse_broker_url(self._url).at.port
                self.gate = AcceptGate(port, self._settings.admit_per_s)
                self._url = self._url_at(await stack.enter_async_context(self.gate.opened()))
            yield self

    @property
    def last_log_line(self) -> str:
        """The last line of the log of the private platform."""
        return last_line(self._log("platform")) if self._children else "the platform is not part of the simulation"

    def check_children(self) -> None:
        """Raise LinkLost if a process of the platform has ended."""
        for name, child in self._children.items():
            if child.returncode is not None:
                raise LinkLost(f"{name} ended with {child.returncode}: {last_line(self._log(name))}")

    def link(self, box: str, retry: CountedRetry) -> LinkSettings:
        """Link settings of `box`."""
        files = self._authority.issue(box) if self._authority else self._settings.files
        return LinkSettings(self._url, self._settings.district, box, tls=files, retry=retry)

    async def revoke(self, count: int, each_s: float) -> None:
        """Revoke the green code of `count` persons, one every `each_s`. Raises LinkError."""
        if self._broker is None:
            return
        data = self._settings.folder / "platform"
        files = self._authority.issue(PLATFORM) if self._authority else TlsFiles()
        options = Options(BrokerAddress.from_url(self._url_at(self._broker.port), files), "orders")
        async with (
            DirectoryStore.opened(data / "directory.db") as directory,
            OrderLog.opened(data / "orders.db", read_private_key(self._keys.orders)) as order_log,
        ):
            for _ in range(count):
                key = secrets.token_hex(32)
                until_s = time.monotonic() + self._settings.outage_s + _ORDER_LIMIT_S
                while True:
                    try:
                        async with Connection.open(options) as connection:
                            self._timeline.revocations_s[key] = time.monotonic()
                            await OrderIssuer(connection, order_log, self._settings.district).revoke(
                                directory, [key], Colour.RED
                            )
                        break
                    except LinkLost:  # the broker is stopped: repeat the order
                        if time.monotonic() > until_s:
                            raise
                        await asyncio.sleep(_RETRY_S)
                await asyncio.sleep(each_s)

    async def interrupt_broker(self) -> None:
        """Stop the broker for `outage_s` of the settings."""
        if self._broker is None:
            return
        self._timeline.broker_gone_s = time.monotonic()
        await self._broker.stop()
        await asyncio.sleep(self._settings.outage_s)
        await self._broker.start()
        self._timeline.broker_back_s = time.monotonic()
        self._timeline.processes["broker"] = self._broker.pid

    def _url_at(self, port: int) -> str:
        return f"{'mqtts' if self._settings.tls else 'mqtt'}://{HOST}:{port}"

    async def _start_platform(self, broker: PrivateBroker) -> None:
        settings = self._settings
        files = self._authority.issue(PLATFORM) if self._authority else TlsFiles()
        common = ["--broker", self._url_at(broker.port), "--district", settings.district, "--store", self.records]
        common += ["--data", str(settings.folder / "platform"), "--backlog-per-s", str(settings.backlog_per_s)]
        for option, path in (("--ca", files.ca), ("--certificate", files.certificate), ("--key", files.key)):
            common += [option, str(path)] if path else []
        await self._child("platform", "serve", "--http", f"127.0.0.1:{free_port()}", *common)
        for number in range(settings.ingest):
            await self._child(f"ingest-{number + 1}", "ingest", *common)
        self._timeline.processes["broker"] = broker.pid

    async def _child(self, name: str, *arguments: str) -> None:
        command = [sys.executable, "-m", "sync.platform.commands.cli", *arguments]
        with self._log(name).open("ab") as log:
            child = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
        self._children[name] = child
        self._timeline.processes[name] = child.pid

    async def _end_children(self) -> None:
        for child in self._children.values():
            await end(child)

    def _log(self, name: str) -> Path:
        return self._settings.folder / f"{name}.log"

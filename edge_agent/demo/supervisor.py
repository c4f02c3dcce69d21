"""The demo: broker, platform, one sentinel and simulated people, all on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import aiohttp

from drivers.simulated.devices.gate import SimulatedRelay
from drivers.simulated.devices.wire import PtyWire
from drivers.simulated.people.residents import people
from drivers.simulated.people.scenes import Scene, scenes
from drivers.simulated.street import Street
from edge_agent.demo.broker import DemoBroker
from edge_agent.demo.errors import DemoError
from edge_agent.demo.processes import Child, answers, free_port

_START_LIMIT_S = 20.0
_DRAIN_LIMIT_S = 120.0
_POLL_S = 0.25
_PATIENCE_S = 20.0
_STALL_LIMIT_S = 300.0  # without a new passage at the platform; a scene takes seconds, a restart of the agent one


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """`passages` None runs until interrupted; port 0 uses any free port."""

    folder: Path
    passages: int | None
    quiet: bool
    kiosk_port: int = 8080
    fleet_port: int = 8090
    detector: str = "sentinel"
    seed: int = 1
    stall_limit_s: float = _STALL_LIMIT_S


class Demo:
    """Starts all processes, plays the scenes, and returns a report."""

    def __init__(self, options: DemoOptions, say: Callable[[str], None]) -> None:
        self._options = options
        self._say = say
        self._folder = options.folder
        self._kiosk_port = free_port(options.kiosk_port)
        self._fleet_port = free_port(options.fleet_port)
        self._http: aiohttp.ClientSession
        self._served = asyncio.Event()
        self._seen_passages = 0
        self._played: dict[str, int] = {}

    async def run(self) -> dict[str, Any]:
        """Run the demo; returns its report once `passages` are committed and acknowledged. Raises DemoError."""
        async with AsyncExitStack() as stack:
            self._http = await stack.enter_async_context(
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5, sock_read=None))
            )
            broker = await self._start_broker(stack)
            platform = await self._start_platform(stack, broker)
            street = await stack.enter_async_context(Street(self._folder / "wires", self._options.seed))
            relay = SimulatedRelay(PtyWire(self._folder / "wires" / "gate"))
            relay.plug()
            stack.callback(relay.unplug)
            agent = await self._start_agent(stack, street, broker)
            self._show_addresses(broker, agent)
            return await self._serve_people(street, relay, broker, platform, agent)

    async def _serve_people(
        self, street: Street, relay: SimulatedRelay, broker: DemoBroker, platform: Child, agent: Child
    ) -> dict[str, Any]:
        """Keep all processes and devices running while the scenes are played."""
        async with asyncio.TaskGroup() as tasks:
            background = [
                tasks.create_task(street.run(), name="street"),
                tasks.create_task(relay.run(), name="relay"),
                tasks.create_task(agent.keep_running(), name="agent"),
                tasks.create_task(platform.keep_running(), name="platform"),
                tasks.create_task(self._watch_broker(broker), name="broker"),
                tasks.create_task(self._watch_screen(), name="screen"),
            ]
            try:
                await self._play_scenes(street, broker)
                report = await self._report(relay)
            finally:
                for task in background:
                    task.cancel()
        return report

    async def _play_scenes(self, street: Street, broker: DemoBroker) -> None:
        """Play scenes until `passages` are at the platform. Raises DemoError if no more arrive there."""
        most, risen_s = 0, time.monotonic()
        for scene in scenes(self._options.seed):
            if self._options.passages is not None:
                passages = await self._passages()
                if passages >= self._options.passages:
                    return
                if passages > most:
                    most, risen_s = passages, time.monotonic()
                elif time.monotonic() - risen_s > self._options.stall_limit_s:
                    raise DemoError(await self._why_stalled(most))
            await self._play(scene, street, broker)

    async def _play(self, scene: Scene, street: Street, broker: DemoBroker) -> None:
        cut = scene.needs == "platform_down" and broker.child.pid is not None
        if cut:
            self._say("-- connection to the platform cut")
            await broker.stop()
        self._served.clear()
        try:
            await street.play(scene, self._served, patience_s=_PATIENCE_S)
        finally:
            if cut:
                await broker.start()
                self._say("-- connection to the platform restored")
        self._played[scene.kind.value] = self._played.get(scene.kind.value, 0) + 1

    async def _watch_screen(self) -> None:
        """Follow the kiosk's event stream: a verdict other than recheck ends the scene."""
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with self._http.get(
                    self._kiosk("/events"), timeout=aiohttp.ClientTimeout(total=None, sock_read=10)
                ) as stream:
                    async for line in stream.content:
                        self._on_event(line)
            await asyncio.sleep(_POLL_S)

    def _on_event(self, line: bytes) -> None:
        if not line.startswith(b"data: {"):
            return
        view = json.loads(line.removeprefix(b"data: "))
        is_new, self._seen_passages = view["passages"] != self._seen_passages, view["passages"]
        if is_new and view["stage"] == "result" and view["verdict"] != "recheck":
            self._served.set()

    async def _watch_broker(self, broker: DemoBroker) -> None:
        """Report once that the broker was stopped from outside, and how to start it."""
        was_gone = False
        while True:
            await asyncio.sleep(_POLL_S)
            gone = not await answers(broker.port, 0.2)
            if gone and broker.child.crashed and not was_gone:
                self._say(f"-- the broker was stopped; start it again with: mosquitto -c {broker.config}")
            was_gone = gone

    async def _start_broker(self, stack: AsyncExitStack) -> DemoBroker:
        broker = DemoBroker(self._folder / "broker", free_port(), self._folder / "broker.log", self._say)
        stack.push_async_callback(broker.stop)
        await broker.start()
        return broker

    async def _start_platform(self, stack: AsyncExitStack, broker: DemoBroker) -> Child:
        key_file, rows_file = self._folder / "community.key", self._folder / "people.jsonl"
        key_file.touch(mode=0o600)
        key_file.write_text(secrets.token_hex(32), encoding="ascii")
        rows = people(datetime.now(UTC))
        rows_file.touch(mode=0o600)
        rows_file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        command = [sys.executable, "-m", "sync.platform.commands.cli", "serve"]
        command += ["--broker", f"mqtt://127.0.0.1:{broker.port}", "--district", "demo"]
        command += ["--data", str(self._folder / "platform"), "--http", f"127.0.0.1:{self._fleet_port}"]
        command += ["--directory", str(rows_file), "--community-key-file", str(key_file)]
        platform = Child("platform", command, self._folder / "platform.log", self._say)
        stack.push_async_callback(platform.stop)
        await platform.start()
        await self._ready(platform, self._fleet("/api/stats"))
        return platform

    async def _start_agent(self, stack: AsyncExitStack, street: Street, broker: DemoBroker) -> Child:
        profile = resources.files("config") / "profiles" / "demo.toml"
        settings = Template(profile.read_text(encoding="utf-8")).substitute(
            data=self._folder,
            wires=self._folder / "wires",
            camera_url=street.camera.url,
            detector=self._options.detector,
            speaker=f"{'wav' if self._options.quiet else 'auto'}:{self._folder / 'spoken.wav'}",
            broker_port=broker.port,
            kiosk_port=self._kiosk_port,
        )
        config = self._folder / "sentinel.toml"
        config.write_text(settings, encoding="utf-8")
        command = [sys.executable, "-m", "edge_agent.commands.cli", "run", "--config", str(config)]
        agent = Child("agent", command, self._folder / "agent.log" if self._options.quiet else None, self._say)
        stack.push_async_callback(agent.stop)
        await agent.start()
        await self._ready(agent, self._kiosk("/api/status"))
        return agent

    async def _ready(self, child: Child, url: str) -> None:
        """Wait until `child` answers at `url`. Raises DemoError with its last output if it ends or stays silent."""
        until_s = time.monotonic() + _START_LIMIT_S
        while time.monotonic() < until_s:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                await self._json(url)
                return
            if child.pid is None:
                raise DemoError(f"the {child.name} ended at startup with {await child.wait()}: {child.last_output()}")
            await asyncio.sleep(0.05)
        raise DemoError(f"the {child.name} does not answer: {child.last_output()}")

    def _show_addresses(self, broker: DemoBroker, agent: Child) -> None:
        self._say(f"kiosk    http://127.0.0.1:{self._kiosk_port}")
        self._say(f"fleet    http://127.0.0.1:{self._fleet_port}")
        self._say(f"broker   mosquitto -c {broker.config} (pid {broker.child.pid})")
        self._say(f"agent    pid {agent.pid}, data in {self._folder}")
        if self._options.passages is None:
            self._say("People keep coming; Ctrl-C stops everything.")

    async def _passages(self) -> int:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            return int((await self._json(self._fleet("/api/stats")))["passages"])
        return 0

    async def _why_stalled(self, passages: int) -> str:
        try:
            link = (await self._json(self._kiosk("/api/status")))["link"]["detail"] or "connected"
        except (aiohttp.ClientError, TimeoutError) as exc:
            link = f"the agent does not answer ({exc})"
        return (
            f"{passages} passages reached the platform, and no more within {self._options.stall_limit_s:g} s."
            f" The agent's link: {link}. --data FOLDER keeps the logs"
        )

    async def _report(self, relay: SimulatedRelay) -> dict[str, Any]:
        """Wait until every record is acknowledged; returns the report. Raises DemoError."""
        until_s = time.monotonic() + _DRAIN_LIMIT_S
        left = "the agent or the platform does not answer"
        while time.monotonic() < until_s:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                status = await self._json(self._kiosk("/api/status"))
                stats = await self._json(self._fleet("/api/stats"))
                drained = status["outbox"]["unacknowledged"] == 0
                if drained and status["view"]["stage"] == "idle" and stats["passages"] == stats["closed"]:
                    return self._summary(status, stats, relay)
                left = f"{status['outbox']['unacknowledged']} records are not acknowledged"
            await asyncio.sleep(_POLL_S)
        raise DemoError(f"{left} after {_DRAIN_LIMIT_S:g} s. --data FOLDER keeps the logs")

    def _summary(self, status: dict[str, Any], stats: dict[str, Any], relay: SimulatedRelay) -> dict[str, Any]:
        return {
            "passages": stats["passages"],
            "verdicts": stats["verdicts"],
            "scenes": self._played,
            "committed_at_platform": stats["records"],
            "acknowledged": status["outbox"]["last_seq"] - status["outbox"]["unacknowledged"],
            "outbox_left": status["outbox"]["unacknowledged"],
            "duplicates_at_platform": stats["duplicates"],
            "redelivered": stats["redelivered"],
            "gate_pulses": relay.pulses,
            "arrival_to_prompt_ms": status["arrival_to_prompt_ms"],
            "commit_to_prompt_ms": status["commit_to_prompt_ms"],
            "vision_ms": status["vision_ms"],
            "lookup_ms": status["lookup_ms"],
            "rss_mb": status["rss_mb"],
            "cpu_s": status["cpu_s"],
            "up_s": status["up_s"],
            "cold_start_s": status["cold_start_s"],
        }

    async def _json(self, url: str) -> dict[str, Any]:
        async with self._http.get(url) as response:
            response.raise_for_status()
            body: dict[str, Any] = await response.json()
            return body

    def _kiosk(self, path: str) -> str:
        return f"http://127.0.0.1:{self._kiosk_port}{path}"

    def _fleet(self, path: str) -> str:
        return f"http://127.0.0.1:{self._fleet_port}{path}"

"""A street with one real sentinel in it, in this process: every device at the wire, no platform."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template

from config.settings import Settings, parse_settings
from drivers.simulated.devices.gate import SimulatedRelay
from drivers.simulated.devices.wire import PtyWire
from drivers.simulated.people.scenes import Scene, SceneKind, scenes
from drivers.simulated.street import Street
from edge_agent.app import Sentinel, opened
from edge_agent.screen.view_state import ScreenView
from sync.contract.records import PassageClosed, PassageDecided, Record
from sync.edge.ledger.ledger import Ledger
from tests.edge_agent.clocks import ClockInSync
from tests.limits import HANG_S
from tests.ports import free_port


def settings_text(folder: Path, camera_url: str) -> str:
    """The demo's settings in `folder`; nothing listens at the platform's address."""
    key = folder / "community.key"
    key.write_text(secrets.token_hex(32), encoding="ascii")
    profile = (resources.files("config") / "profiles" / "demo.toml").read_text(encoding="utf-8")
    return Template(profile).substitute(
        data=folder,
        wires=folder / "wires",
        camera_url=camera_url,
        detector="sentinel",
        speaker=f"wav:{folder / 'spoken.wav'}",
        broker_port=free_port(),
        kiosk_port=free_port(),
    )


def scene_of(kind: SceneKind) -> Scene:
    """The first scene of a kind."""
    return next(scene for scene in scenes(seed=3) if scene.kind is kind)


@dataclass(slots=True)
class Town:
    """The street, the sentinel and its gate."""

    street: Street
    sentinel: Sentinel
    outbox: Ledger
    relay: SimulatedRelay
    settings: Settings

    async def seen(self, wanted: Callable[[ScreenView], bool]) -> ScreenView:
        """The first view from now on that is as wanted."""
        sequence = 0
        async with asyncio.timeout(HANG_S):
            while True:
                sequence, view = await self.sentinel.view_state.views.after(sequence)
                if wanted(view):
                    return view

    async def visit(self, scene: Scene) -> ScreenView:
        """Let one visitor come and go; returns the view that sent them away."""
        before = self.sentinel.view_state.view.passages
        over = asyncio.Event()
        visit = asyncio.create_task(self.street.play(scene, over, patience_s=HANG_S))
        try:
            return await self.seen(lambda view: view.passages > before and view.verdict not in (None, "recheck"))
        finally:
            over.set()
            await visit

    async def at_rest(self) -> None:
        """Wait until nobody is there and every part is well."""
        await self.seen(lambda view: view.stage == "idle" and all(part.state == "ok" for part in view.parts))

    async def records(self) -> list[Record]:
        """The ledger, oldest first, as it is on the disk."""
        return [row.record() for row in reversed(await self.outbox.recent(1000))]

    async def passages(self) -> list[PassageDecided]:
        return [record for record in await self.records() if isinstance(record, PassageDecided)]

    async def closings(self) -> list[PassageClosed]:
        return [record for record in await self.records() if isinstance(record, PassageClosed)]


@asynccontextmanager
async def town(folder: Path, more_settings: str = "") -> AsyncIterator[Town]:
    """Everything running, with `more_settings` (TOML) besides the demo's; ends cleanly."""
    async with Street(folder / "wires", seed=5) as street:
        relay = SimulatedRelay(PtyWire(folder / "wires" / "gate"))
        relay.plug()
        text = settings_text(folder, street.camera.url) + more_settings
        (folder / "sentinel.toml").write_text(text, encoding="utf-8")
        settings = parse_settings(text)
        async with opened(settings, ClockInSync()) as sentinel:
            running = [asyncio.create_task(work) for work in (street.run(), relay.run(), sentinel.run())]
            try:
                place = Town(street, sentinel, sentinel.stores.ledger, relay, settings)
                await place.at_rest()
                yield place
            finally:
                for task in running:
                    task.cancel()
                ends = await asyncio.gather(*running, return_exceptions=True)
                relay.unplug()
        for end in ends:
            if not isinstance(end, asyncio.CancelledError):
                raise end if isinstance(end, BaseException) else AssertionError(f"ended early: {end}")

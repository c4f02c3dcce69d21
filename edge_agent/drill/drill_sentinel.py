"""A private sentinel for a drill: the real agent with this box's policy and settings, on simulated wires.

It lives in a folder of its own, speaks to nobody and shares nothing with the agent in service: not its data, not its
ports, not its gate. The platform's answers are given here, in this process.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path

import msgspec

from config.settings import (
    CardReaderSettings,
    GateSettings,
    RangerSettings,
    ReaderSettings,
    Settings,
    SpeakerSettings,
    ThermometerSettings,
)
from drivers.simulated.devices.gate import SimulatedRelay
from drivers.simulated.devices.wire import PtyWire
from drivers.simulated.people import people
from drivers.simulated.people.scenes import CODE_LIFE_S, Scene, SceneKind, health_code, scenes
from drivers.simulated.street import Street
from edge_agent.app import Sentinel
from edge_agent.box.key_files import read_community_key
from edge_agent.box.wall_clock import WallClock
from edge_agent.domain.passage import Moment
from edge_agent.policy.rules import Policy
from edge_agent.screen.view_state import ScreenStage, ScreenView
from edge_agent.stores import Stores
from sync.contract.checksum import EMPTY, changed
from sync.contract.health import Colour, HealthStatus, LookupOutcome, TestResult
from sync.contract.identity import person_key
from sync.contract.messages import DirectoryCheckpoint, DirectoryOp, DirectoryPage, QueryAnswer
from sync.contract.records import AlarmRaised, PassageClosed, PassageDecided
from sync.edge.directory.directory import Directory
from sync.edge.ledger.ledger import Ledger
from sync.edge.orders.replay_guard import ReplayGuard
from sync.errors import LinkLost

VISIT_LIMIT_S = 15.0
PART_LIMIT_S = 8.0
_SEED = 3
_RESULT_HOLD_S = 1.0
_PAST = 300
_TESTED = timedelta(hours=1)
_NOBODY = "mqtt://127.0.0.1:9"  # the discard port: no broker of the box's is ever asked
KNOWN = people.HEALTHY[0].number  # in the replica
_STRANGERS = tuple(resident.number for resident in people.HEALTHY[1:])  # known to the platform alone


class DrillClock(WallClock):
    """This machine's clock, confirmed, until it is made to jump."""

    def __init__(self) -> None:
        super().__init__()
        self.off = timedelta()
        self.in_sync = True
        self.slept_s = 0.0

    def monotonic_s(self) -> float:
        """The clock that the age of the replica goes by."""
        return time.monotonic() + self.slept_s

    def now(self) -> Moment:
        """This instant, as the drill has it."""
        now = super().now()
        return replace(now, wall=now.wall + self.off, in_sync=self.in_sync, error_s=0.01 if self.in_sync else None)


@dataclass(slots=True)
class DrillSentinel:
    """What a drill plays on."""

    street: Street
    sentinel: Sentinel
    outbox: Ledger
    clock: DrillClock
    policy: Policy
    data_dir: Path
    platform_answers: bool = True
    strangers: Iterator[str] = field(default_factory=lambda: cycle(_STRANGERS))

    async def seen(self, wanted: Callable[[ScreenView], bool], limit_s: float) -> ScreenView:
        """The first view from now on that is as wanted. Raises TimeoutError."""
        sequence = 0
        async with asyncio.timeout(limit_s):
            while True:
                sequence, view = await self.sentinel.view_state.views.after(sequence)
                if wanted(view):
                    return view

    async def at_rest(self) -> ScreenView:
        """Wait until nobody is there and every part is well. Raises TimeoutError."""
        return await self.seen(
            lambda view: view.stage is ScreenStage.IDLE and all(part.state == "ok" for part in view.parts),
            VISIT_LIMIT_S,
        )

    async def part_is(self, name: str, state: str) -> float:
        """Wait until the screen shows the part so; returns how long that took. Raises TimeoutError."""
        started_s = time.monotonic()
        await self.seen(lambda view: (name, state) in {(part.name, part.state) for part in view.parts}, PART_LIMIT_S)
        return time.monotonic() - started_s

    async def visit(self, number: str = "", reason: str = "") -> ScreenView:
        """Let a healthy, masked, tested resident come with a code and go with the verdict; returns the view of it.

        Without a `number` it is somebody whom only the platform knows, another one each time. Whoever is asked to put
        something right stays for the next verdict, unless it is for `reason`. Raises TimeoutError.
        """
        before, over = self.sentinel.view_state.view.passages, asyncio.Event()

        def told(view: ScreenView) -> bool:
            said = view.passages > before and view.verdict is not None
            return said and (view.verdict != "recheck" or reason in view.reasons)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.street.play(_resident(number or next(self.strangers)), over, VISIT_LIMIT_S))
            try:
                view = await self.seen(told, VISIT_LIMIT_S)
            finally:
                over.set()
        await self.seen(lambda view: view.stage is ScreenStage.IDLE, VISIT_LIMIT_S)
        return view

    async def have_a_past(self) -> None:
        """Let the ledger hold what one in service holds: the newest passage, as if it had happened many times."""
        records = [row.record() for row in reversed(await self.outbox.recent(1000))]
        decided = next(record for record in records if isinstance(record, PassageDecided))
        closed = next(record for record in records if isinstance(record, PassageClosed))
        for index in range(_PAST):
            name = f"{decided.passage_id}-{index}"
            past = msgspec.structs.replace(decided, passage_id=name), msgspec.structs.replace(closed, passage_id=name)
            await self.outbox.append_all(past)

    async def alarms(self) -> set[tuple[str, str]]:
        """Kind and subject of every alarm in the ledger."""
        records = [row.record() for row in await self.outbox.recent(1000)]
        return {(record.kind, record.subject) for record in records if isinstance(record, AlarmRaised)}

    async def answer(self, person_key: str, _budget_s: float) -> QueryAnswer:
        """The platform, to which everybody is green and tested an hour ago."""
        if not self.platform_answers:
            raise LinkLost("the platform is away, for the drill")
        return QueryAnswer(LookupOutcome.FOUND, _green(person_key))


@asynccontextmanager
async def staged(settings: Settings, folder: Path) -> AsyncIterator[DrillSentinel]:
    """The private sentinel in `folder`, at rest, while the block lasts."""
    wires, data_dir = folder / "wires", folder / "data"
    data_dir.mkdir(exist_ok=True)
    async with AsyncExitStack() as stack:
        street = await stack.enter_async_context(Street(wires, _SEED))
        relay = SimulatedRelay(stack.enter_context(PtyWire(wires / "gate")))
        private = _private(settings, folder, data_dir, street.camera.url)
        clock = DrillClock()
        outbox = await stack.enter_async_context(
            Ledger.opened(data_dir / "ledger.db", box=private.box.name, budget_bytes=10_000_000)
        )
        directory = await stack.enter_async_context(
            Directory.opened(data_dir / "directory.db", now_s=clock.monotonic_s)
        )
        memory = await stack.enter_async_context(ReplayGuard.opened(data_dir / "orders.db"))
        sentinel = Sentinel(private, Stores(outbox, directory, memory), clock)
        policy = sentinel.policy.at(clock.now().wall)
        place = DrillSentinel(street, sentinel, outbox, clock, policy, data_dir)
        directory.ask = place.answer
        await directory.take(_page(person_key(read_community_key(Path(private.directory.community_key_file)), KNOWN)))
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        running = [tasks.create_task(each.run()) for each in (street, relay, sentinel)]
        try:
            await place.at_rest()
            yield place
        finally:
            for task in running:
                task.cancel()


def _private(settings: Settings, folder: Path, data_dir: Path, camera_url: str) -> Settings:
    """The box's settings on other wires, other data and another port, and without a way out."""
    key = folder / "community.key"
    key.write_text(secrets.token_hex(32), encoding="ascii")
    own = Path(settings.box.data_dir)
    if (own / "policy.json").is_file():
        shutil.copyfile(own / "policy.json", data_dir / "policy.json")
    if (own / "models").is_dir():
        (data_dir / "models").symlink_to((own / "models").resolve())
    put = msgspec.structs.replace
    wires = folder / "wires"
    return put(
        settings,
        box=put(settings.box, data_dir=str(data_dir)),
        camera=put(settings.camera, source=camera_url, fps=15.0),
        thermometer=ThermometerSettings(port=str(wires / "thermometer")),
        ranger=RangerSettings(),
        reader=ReaderSettings(port=str(wires / "qr"), providers=("simulated",), camera=False),
        card_reader=CardReaderSettings(),
        gate=GateSettings(driver="lcus", port=str(wires / "gate")),
        speaker=SpeakerSettings(output="null", language=settings.speaker.language),
        arrival=put(settings.arrival, result_hold_s=_RESULT_HOLD_S),
        directory=put(settings.directory, community_key_file=str(key)),
        platform=put(settings.platform, url=_NOBODY, signing_key_file=""),
        kiosk=put(settings.kiosk, host="127.0.0.1", port=0),
        staff=put(settings.staff, pin_hash_file=str(folder / "staff.pin")),
    )


def _resident(number: str) -> Scene:
    scene = next(scene for scene in scenes(_SEED) if scene.kind is SceneKind.HEALTHY)
    return replace(scene, code=health_code(number, int(time.time()) + CODE_LIFE_S), code_shown_at_s=(0.3,))


def _green(key: str) -> HealthStatus:
    now = datetime.now(UTC)
    return HealthStatus(
        person_key=key,
        colour=Colour.GREEN,
        as_of=now,
        sampled_at=now - _TESTED,
        reported_at=now - _TESTED / 2,
        result=TestResult.NEGATIVE,
    )


def _page(key: str) -> DirectoryPage:
    """A whole replica of one person."""
    body = msgspec.json.encode(_green(key))
    checkpoint = DirectoryCheckpoint(op=1, rows=1, checksum=changed(EMPTY, None, body))
    return DirectoryPage("drill", 0, (DirectoryOp(1, key, msgspec.Raw(body)),), checkpoint)

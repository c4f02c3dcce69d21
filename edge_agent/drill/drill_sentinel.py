"""An isolated sentinel for a drill: the real agent with this box's policy and settings, on simulated devices.

It has its own data folder, ports and gate and connects to no broker, so it does not affect the running agent. This
process answers the queries to the platform.
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
from drivers.simulated.people import residents
from drivers.simulated.people.scenes import CODE_LIFE_S, Scene, SceneKind, health_code, scenes
from drivers.simulated.street import Street
from edge_agent.app import Sentinel
from edge_agent.box.key_files import read_community_key
from edge_agent.box.wall_clock import WallClock
from edge_agent.domain.passage import Moment
from edge_agent.policy.rules import Policy
from edge_agent.screen.view_state import ScreenStage, ScreenView
from edge_agent.stores import Stores
from sync.contract.checksum import EMPTY, update_checksum
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
_HISTORY_PASSAGES = 300
_TEST_AGE = timedelta(hours=1)
_NO_BROKER = "mqtt://127.0.0.1:9"  # the discard port: the drill never connects to a broker
KNOWN = residents.HEALTHY[0].number  # in the replica
_NOT_IN_REPLICA = tuple(resident.number for resident in residents.HEALTHY[1:])  # known to the platform only


class DrillClock(WallClock):
    """This machine's clock, reported as synchronised, with an adjustable offset."""

    def __init__(self) -> None:
        super().__init__()
        self.offset = timedelta()
        self.in_sync = True
        self.slept_s = 0.0

    def monotonic_s(self) -> float:
        """The clock for the age of the replica, in seconds."""
        return time.monotonic() + self.slept_s

    def now(self) -> Moment:
        """The current time of the drill."""
        now = super().now()
        return replace(now, wall=now.wall + self.offset, in_sync=self.in_sync, error_s=0.01 if self.in_sync else None)


@dataclass(slots=True)
class DrillSentinel:
    """The isolated sentinel with its simulated street, for one drill."""

    street: Street
    sentinel: Sentinel
    outbox: Ledger
    clock: DrillClock
    policy: Policy
    data_dir: Path
    platform_answers: bool = True
    not_in_replica: Iterator[str] = field(default_factory=lambda: cycle(_NOT_IN_REPLICA))

    async def view_where(self, condition: Callable[[ScreenView], bool], limit_s: float) -> ScreenView:
        """Wait for the next view that meets `condition`. Raises TimeoutError."""
        sequence = 0
        async with asyncio.timeout(limit_s):
            while True:
                sequence, view = await self.sentinel.view_state.views.after(sequence)
                if condition(view):
                    return view

    async def idle(self) -> ScreenView:
        """Wait until no person is present and every device works. Raises TimeoutError."""
        return await self.view_where(
            lambda view: view.stage is ScreenStage.IDLE and all(part.state == "ok" for part in view.parts),
            VISIT_LIMIT_S,
        )

    async def part_is(self, name: str, state: str) -> float:
        """Wait until the screen shows `state` for the device; returns the seconds it took. Raises TimeoutError."""
        started_s = time.monotonic()
        await self.view_where(
            lambda view: (name, state) in {(part.name, part.state) for part in view.parts}, PART_LIMIT_S
        )
        return time.monotonic() - started_s

    async def visit(self, number: str = "", reason: str = "") -> ScreenView:
        """Let a healthy, masked, tested resident show a code and leave after the verdict; returns the view with it.

        Without `number` a new resident comes each time who is not in the replica. After a recheck the resident stays
        for the next verdict, except when the recheck is for `reason`. Raises TimeoutError.
        """
        before, leave = self.sentinel.view_state.view.passages, asyncio.Event()

        def is_final(view: ScreenView) -> bool:
            decided = view.passages > before and view.verdict is not None
            return decided and (view.verdict != "recheck" or reason in view.reasons)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.street.play(_resident(number or next(self.not_in_replica)), leave, VISIT_LIMIT_S))
            try:
                view = await self.view_where(is_final, VISIT_LIMIT_S)
            finally:
                leave.set()
        await self.view_where(lambda view: view.stage is ScreenStage.IDLE, VISIT_LIMIT_S)
        return view

    async def add_history(self) -> None:
        """Append _HISTORY_PASSAGES copies of the newest passage to the ledger."""
        records = [row.record() for row in reversed(await self.outbox.recent(1000))]
        decided = next(record for record in records if isinstance(record, PassageDecided))
        closed = next(record for record in records if isinstance(record, PassageClosed))
        for index in range(_HISTORY_PASSAGES):
            name = f"{decided.passage_id}-{index}"
            copy = msgspec.structs.replace(decided, passage_id=name), msgspec.structs.replace(closed, passage_id=name)
            await self.outbox.append_all(copy)

    async def alarms(self) -> set[tuple[str, str]]:
        """Kind and subject of every alarm in the ledger."""
        records = [row.record() for row in await self.outbox.recent(1000)]
        return {(record.kind, record.subject) for record in records if isinstance(record, AlarmRaised)}

    async def answer_query(self, person_key: str, _budget_s: float) -> QueryAnswer:
        """Answer as the platform: each person is green and tested an hour ago. Raises LinkLost while it is offline."""
        if not self.platform_answers:
            raise LinkLost("the platform is offline (drill)")
        return QueryAnswer(LookupOutcome.FOUND, _green(person_key))


@asynccontextmanager
async def drill_sentinel(settings: Settings, folder: Path) -> AsyncIterator[DrillSentinel]:
    """The isolated sentinel in `folder`, idle, during the block."""
    wires, data_dir = folder / "wires", folder / "data"
    data_dir.mkdir(exist_ok=True)
    async with AsyncExitStack() as stack:
        street = await stack.enter_async_context(Street(wires, _SEED))
        relay = SimulatedRelay(stack.enter_context(PtyWire(wires / "gate")))
        isolated = _isolated_settings(settings, folder, data_dir, street.camera.url)
        clock = DrillClock()
        outbox = await stack.enter_async_context(
            Ledger.opened(data_dir / "ledger.db", box=isolated.box.name, budget_bytes=10_000_000)
        )
        directory = await stack.enter_async_context(
            Directory.opened(data_dir / "directory.db", now_s=clock.monotonic_s)
        )
        memory = await stack.enter_async_context(ReplayGuard.opened(data_dir / "orders.db"))
        sentinel = Sentinel(isolated, Stores(outbox, directory, memory), clock)
        policy = sentinel.policy.at(clock.now())
        drill = DrillSentinel(street, sentinel, outbox, clock, policy, data_dir)
        directory.ask = drill.answer_query
        community_key = read_community_key(Path(isolated.directory.community_key_file))
        await directory.take(_page(person_key(community_key, KNOWN)))
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        running = [tasks.create_task(each.run()) for each in (street, relay, sentinel)]
        try:
            await drill.idle()
            yield drill
        finally:
            for task in running:
                task.cancel()


def _isolated_settings(settings: Settings, folder: Path, data_dir: Path, camera_url: str) -> Settings:
    """The box's settings with simulated devices, another data folder and port, and no platform."""
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
        platform=put(settings.platform, url=_NO_BROKER, signing_key_file=""),
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
        sampled_at=now - _TEST_AGE,
        reported_at=now - _TEST_AGE / 2,
        result=TestResult.NEGATIVE,
    )


def _page(key: str) -> DirectoryPage:
    """A complete replica with one person."""
    body = msgspec.json.encode(_green(key))
    checkpoint = DirectoryCheckpoint(op=1, rows=1, checksum=update_checksum(EMPTY, None, body))
    return DirectoryPage("drill", 0, (DirectoryOp(1, key, msgspec.Raw(body)),), checkpoint)

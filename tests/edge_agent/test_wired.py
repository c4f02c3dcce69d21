"""A gate with everything wired: card reader, distance sensor, camera that reads codes, passage sensor and lamp."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from config.settings import parse_settings
from drivers.simulated.devices.faults import FaultyWire
from drivers.simulated.devices.gate import SimulatedModbusBoard
from drivers.simulated.devices.sam_v import SimulatedSamV
from drivers.simulated.devices.table import SENSORS, SimulatedSensor
from drivers.simulated.devices.wire import PtyWire
from drivers.simulated.people import id_cards
from drivers.simulated.people.residents import HEALTHY
from drivers.simulated.people.scenes import Scene, SceneKind
from drivers.simulated.street import Street
from edge_agent.app import Sentinel
from edge_agent.box.key_files import read_community_key
from edge_agent.screen.view_state import ScreenStage, ScreenView
from edge_agent.stores import Stores
from sync.contract.health import Colour, HealthStatus, LookupOutcome, TestResult
from sync.contract.identity import person_key
from sync.contract.messages import QueryAnswer
from sync.contract.records import AlarmRaised, PassageClosed, PassageDecided
from sync.edge.directory.directory import Directory
from sync.edge.ledger.ledger import Ledger
from sync.edge.orders.replay_guard import ReplayGuard
from tests.drivers.driver_bench import eventually, walk_through
from tests.edge_agent.clocks import ClockInSync
from tests.edge_agent.town import scene_of, settings_text
from tests.limits import HANG_S

WIRED = """
[card_reader]
driver = "sam-v"
port = "{wires}/cards"
[ranger]
driver = "evo-mini"
port = "{wires}/distance/by-id"
"""
NUMBER = HEALTHY[0].number
CARD = id_cards.citizen(NUMBER)


async def everybody_is_well(person_key: str, _budget_s: float) -> QueryAnswer:
    """A platform to which everybody is green and tested an hour ago."""
    now = datetime.now(UTC)
    status = HealthStatus(
        person_key=person_key,
        colour=Colour.GREEN,
        as_of=now,
        sampled_at=now - timedelta(hours=1),
        result=TestResult.NEGATIVE,
        lists=("white:resident", "vip:gold", "vip:silver", "居民"),
    )
    return QueryAnswer(LookupOutcome.FOUND, status)


@dataclass(slots=True)
class Place:
    """The street, the sentinel and what is wired to it."""

    street: Street
    sentinel: Sentinel
    outbox: Ledger
    directory: Directory
    cards: SimulatedSamV
    board: SimulatedModbusBoard
    distance: FaultyWire
    key_file: Path

    async def seen(self, wanted: object) -> ScreenView:
        """The first view from now on that is as wanted."""
        sequence = 0
        async with asyncio.timeout(HANG_S):
            while True:
                sequence, view = await self.sentinel.view_state.views.after(sequence)
                if wanted(view):  # type: ignore[operator]
                    return view

    async def pictures(self, count: int) -> None:
        """Wait until `count` more pictures were judged."""
        slot = self.sentinel.face_detection.detections
        sequence = slot.sequence
        async with asyncio.timeout(HANG_S):
            for _ in range(count):
                sequence, _ = await slot.after(sequence)

    async def swap_card(self, text: bytes) -> None:
        """Take the card away for as long as the reader needs to see it, and lay down another."""
        self.cards.lift()
        asked = len(self.cards.queries)
        async with asyncio.timeout(HANG_S):
            while len(self.cards.queries) == asked:
                await asyncio.sleep(0.01)
        self.cards.present(text)

    async def records(self) -> tuple[PassageDecided, PassageClosed]:
        """The newest passage, decided and closed."""
        await self.seen(lambda view: view.stage is ScreenStage.IDLE)
        decided, closed = [row.record() for row in reversed(await self.outbox.recent(1000))][-2:]
        assert isinstance(decided, PassageDecided) and isinstance(closed, PassageClosed)
        return decided, closed


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with wired(tmp_path) as running:
        yield running


@asynccontextmanager
async def wired(folder: Path) -> AsyncIterator[Place]:
    wires = folder / "wires"
    async with AsyncExitStack() as stack:
        street = await stack.enter_async_context(Street(wires, seed=5))
        board = SimulatedModbusBoard(stack.enter_context(PtyWire(wires / "gate")))
        cards = SimulatedSamV(stack.enter_context(PtyWire(wires / "cards")))
        distance = stack.enter_context(FaultyWire(wires / "distance", seed=1))
        ranger = SimulatedSensor(distance, SENSORS["evo-mini"], street.distance_mm, rate_hz=20)
        text = settings_text(folder, street.camera.url) + WIRED.format(wires=wires)
        text = text.replace('driver = "lcus"', 'driver = "modbus-relay"\nlamp_channel = 2\npassage_input = 1')
        settings = parse_settings(text)
        outbox = await stack.enter_async_context(
            Ledger.opened(folder / "ledger.db", box="box-1", budget_bytes=10_000_000)
        )
        directory = await stack.enter_async_context(Directory.opened(folder / "directory.db"))
        memory = await stack.enter_async_context(ReplayGuard.opened(folder / "orders.db"))
        sentinel = Sentinel(settings, Stores(outbox, directory, memory), ClockInSync())
        directory.ask = everybody_is_well
        running = [asyncio.create_task(work.run()) for work in (street, board, cards, ranger, sentinel)]
        key_file = Path(settings.directory.community_key_file)
        place = Place(street, sentinel, outbox, directory, cards, board, distance, key_file)
        try:
            await place.seen(lambda view: view.stage == "idle" and all(part.state == "ok" for part in view.parts))
            yield place
        finally:
            for task in running:
                task.cancel()
            ends = await asyncio.gather(*running, return_exceptions=True)
    for end in ends:
        if not isinstance(end, asyncio.CancelledError):
            raise end if isinstance(end, BaseException) else AssertionError(f"ended early: {end}")


def without_code() -> Scene:
    """A healthy masked resident with nothing on the phone."""
    return replace(scene_of(SceneKind.HEALTHY), code=None)


async def test_a_card_opens_the_gate_and_whoever_walks_through_has_passed(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    over = asyncio.Event()
    visit = asyncio.create_task(place.street.play(without_code(), over, patience_s=HANG_S))
    await place.seen(lambda view: view.hint == "show_code")
    place.cards.present(CARD)
    view = await place.seen(lambda view: view.verdict is not None)
    assert view.verdict == "admit"
    over.set()
    place.cards.lift()
    await eventually(lambda: place.board.pulses == 1)
    await asyncio.gather(visit, walk_through(place.board))
    decided, closed = await place.records()
    assert (decided.credential, decided.person_key) == ("card", person_key(read_community_key(place.key_file), NUMBER))
    assert (closed.outcome, closed.gate_opened) == ("passed", True)
    assert place.board.pulses == 1
    assert NUMBER not in caplog.text
    assert place.sentinel.metrics.counts()["unknown_lists"] == {"vip": 1, "other": 1}


async def test_a_code_before_the_camera_opens_the_gate_once_and_nobody_walks_through(place: Place) -> None:
    over = asyncio.Event()
    visit = asyncio.create_task(place.street.play(without_code(), over, patience_s=HANG_S))
    await place.seen(lambda view: view.hint == "show_code")
    place.street.show_to_camera(f"SHC1:{NUMBER}:{int(datetime.now(UTC).timestamp()) + 600}")
    await place.seen(lambda view: view.verdict == "admit")
    await asyncio.sleep(4.0)  # the phone stays up for longer than a scanner's repeat takes
    over.set()
    await visit
    decided, closed = await place.records()
    assert decided.credential == "code"
    assert (closed.outcome, closed.gate_opened) == ("opened", True)
    assert place.sentinel.view_state.view.passages == place.board.pulses == 1


async def test_an_expired_card_is_said_to_be_one_and_the_lamp_calls_staff_while_they_are_wanted(place: Place) -> None:
    over = asyncio.Event()
    visit = asyncio.create_task(place.street.play(without_code(), over, patience_s=HANG_S))
    await place.seen(lambda view: view.hint == "show_code")
    place.cards.present(id_cards.citizen(NUMBER, until="20200102"))
    view = await place.seen(lambda view: view.verdict is not None)
    assert (view.verdict, view.reasons) == ("recheck", ("card_expired",))
    place.directory.ask = nobody_answers
    await place.swap_card(id_cards.citizen(HEALTHY[1].number))
    await place.seen(lambda view: view.verdict == "assist")
    async with asyncio.timeout(HANG_S):
        while not place.board.relays[1]:
            await asyncio.sleep(0.01)
    over.set()
    await visit
    await place.seen(lambda view: view.stage is ScreenStage.IDLE)
    async with asyncio.timeout(HANG_S):
        while place.board.relays[1]:
            await asyncio.sleep(0.01)


async def nobody_answers(_person_key: str, _budget_s: float) -> QueryAnswer:
    """A platform that knows nobody."""
    return QueryAnswer(LookupOutcome.NOT_FOUND, None)


async def test_a_visitor_too_far_for_the_fit_comes_closer_and_the_record_says_how_near(place: Place) -> None:
    over = asyncio.Event()
    place.street.standing_mm = 1300.0
    visit = asyncio.create_task(place.street.play(scene_of(SceneKind.HEALTHY), over, patience_s=HANG_S))
    await place.seen(lambda view: view.hint == "come_closer")
    await eventually(lambda: place.street.distance_mm() == place.street.standing_mm)
    await place.pictures(10)
    assert place.sentinel.view_state.view.hint == "come_closer"
    place.street.standing_mm = 700.0
    await place.seen(lambda view: view.verdict == "admit")
    over.set()
    await visit
    decided, _ = await place.records()
    assert decided.temperature.distance_m == pytest.approx(0.7, abs=0.05)
    assert decided.temperature.outside == ()


async def test_without_its_distance_sensor_the_gate_goes_by_the_camera(place: Place) -> None:
    place.street.standing_mm = 1300.0
    place.distance.unplug()
    await place.seen(lambda view: ("ranger", "lost") in {(part.name, part.state) for part in view.parts})
    over = asyncio.Event()
    visit = asyncio.create_task(place.street.play(scene_of(SceneKind.HEALTHY), over, patience_s=HANG_S))
    await place.seen(lambda view: view.verdict == "admit")
    over.set()
    await visit
    decided, _ = await place.records()
    place.distance.plug()
    await place.seen(lambda view: ("ranger", "ok") in {(part.name, part.state) for part in view.parts})
    assert decided.temperature.distance_m is None
    records = [row.record() for row in await place.outbox.recent(1000)]
    alarms = [record.kind for record in records if isinstance(record, AlarmRaised) and record.subject == "ranger"]
    assert sorted(alarms) == ["part_back", "part_lost"]

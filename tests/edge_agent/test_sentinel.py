"""One real sentinel against the street: what it decides, records and survives, without any platform."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from drivers.simulated.devices.camera import CameraMode
from drivers.simulated.people import residents
from drivers.simulated.people.scenes import SceneKind
from edge_agent.box import loss_damper
from edge_agent.screen.view_state import ScreenStage, ScreenView
from sync.contract.records import AlarmRaised
from tests.edge_agent.town import Town, scene_of, town
from tests.limits import HANG_S
from tests.sync.city import eventually


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Town]:
    async with town(tmp_path) as running:
        yield running


def part(view: ScreenView, name: str) -> str:
    return next(part.state for part in view.parts if part.name == name)


async def test_without_platform_and_replica_staff_are_called_and_everything_is_written_down(place: Town) -> None:
    view = await place.visit(scene_of(SceneKind.HEALTHY))
    assert (view.verdict, view.reasons[0]) == ("assist", "lookup_failed")
    await place.seen(lambda view: view.stage is ScreenStage.IDLE)
    [passage], [closing] = await place.passages(), await place.closings()
    assert passage.passage_id == closing.passage_id
    assert passage.person_key is not None
    assert passage.temperature.samples > 0
    assert passage.mask.state == "correct"
    assert closing.arrival_to_prompt_ms is not None
    assert place.relay.pulses == 0


async def test_a_lost_thermometer_is_shown_people_go_to_staff_and_it_heals(place: Town) -> None:
    place.street.thermometer.unplug()
    await place.seen(lambda view: part(view, "thermometer") == "lost")
    view = await place.visit(scene_of(SceneKind.FEVER))
    assert view.verdict == "assist"
    assert "thermometer_lost" in view.reasons
    assert view.temperature_c is None
    place.street.thermometer.plug()
    await place.seen(lambda view: part(view, "thermometer") == "ok")
    alarms = [record for record in await place.records() if isinstance(record, AlarmRaised)]
    assert [(alarm.kind, alarm.subject) for alarm in alarms][:1] == [("part_lost", "thermometer")]


async def test_a_thermometer_that_comes_and_goes_raises_few_alarms(
    place: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss_damper, "HOLD_S", 1.0)
    for _ in range(5):
        place.street.thermometer.unplug()
        await place.seen(lambda view: part(view, "thermometer") == "lost")
        place.street.thermometer.plug()
        await place.seen(lambda view: part(view, "thermometer") == "ok")

    raised: list[str] = []

    async def is_over() -> bool:
        raised[:] = [record.kind for record in await place.records() if isinstance(record, AlarmRaised)]
        return raised[-1] == "part_back" and len(raised) > 2

    shown = [each.detail for each in place.sentinel.view_state.view.parts if each.name == "thermometer"]
    assert "unstable, lost 5 times" in shown[0]
    await eventually(is_over)
    assert raised == ["part_lost", "part_back", "part_unstable", "part_back"]


async def test_a_black_camera_is_shown_and_a_code_alone_calls_staff(place: Town) -> None:
    await place.street.camera.set_mode(CameraMode.BLACK)
    await place.seen(lambda view: part(view, "camera") == "broken")
    view = await place.visit(scene_of(SceneKind.HEALTHY))
    assert view.verdict == "assist"
    assert "camera_lost" in view.reasons
    await place.street.camera.set_mode(CameraMode.LIVE)
    await place.seen(lambda view: part(view, "camera") == "ok")


async def test_an_unreadable_code_is_asked_for_again_and_the_next_passage_follows_the_first(place: Town) -> None:
    scene = replace(scene_of(SceneKind.HEALTHY), code="a poster on the wall", code_shown_at_s=(0.3,))
    over = asyncio.Event()
    visit = asyncio.create_task(place.street.play(scene, over, patience_s=HANG_S))
    view = await place.seen(lambda view: view.verdict is not None)
    assert (view.verdict, view.reasons) == ("recheck", ("code_unreadable",))
    place.street.reader.show(residents.HEALTHY[0].number)
    await place.seen(lambda view: view.verdict == "assist")
    over.set()
    await visit
    await place.seen(lambda view: view.stage is ScreenStage.IDLE)
    first, second = await place.passages()
    assert (first.follows, second.follows) == (None, first.passage_id)
    assert [closing.outcome for closing in await place.closings()] == ["retried", "left"]


async def test_no_view_and_no_record_tells_who_somebody_is(place: Town, caplog: pytest.LogCaptureFixture) -> None:
    scene = scene_of(SceneKind.HEALTHY)
    view = await place.visit(scene)
    assert scene.code is not None
    number = scene.code.split(":")[1] if ":" in scene.code else scene.code
    written = b"".join(msgspec.json.encode(record) for record in await place.records())
    for text in (written, msgspec.json.encode(view), caplog.text.encode()):
        assert number.encode() not in text

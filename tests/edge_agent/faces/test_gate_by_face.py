"""One real sentinel on the street, real weights: a resident without a phone is known, and nobody reads who."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import msgspec
import pytest

from config.settings import parse_settings
from drivers.simulated.people.masks import MaskWear
from drivers.simulated.people.residents import HEALTHY
from drivers.simulated.people.scenes import MaskStep, SceneKind
from edge_agent.box.key_files import read_community_key
from edge_agent.faces.consent import Consent, Giver
from edge_agent.faces.document import read_document
from edge_agent.faces.registration import FaceRegistration, withdraw
from edge_agent.screen.view_state import ScreenStage
from sync.contract.identity import person_key
from sync.contract.records import AlarmRaised
from tests.edge_agent.town import scene_of, town
from tests.limits import HANG_S
from tests.photos import PEOPLE, photograph

# The resident is cut out of a photograph, for drawn people look alike to the network; liveness networks may doubt it.
RECOGNITION = "\n[recognition]\nenabled = true\nlive = 0.0\n"
NUMBER = HEALTHY[0].number
RESIDENT = PEOPLE[1]


@pytest.mark.parametrize("wear", [MaskWear.NONE, MaskWear.CORRECT])
async def test_a_registered_resident_is_known_bare_or_masked_and_not_after_withdrawing(
    wear: MaskWear, tmp_path: Path, weights: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / "models").symlink_to(weights)
    seen = replace(scene_of(SceneKind.HEALTHY), person=RESIDENT, masks=(MaskStep(0.0, wear),), code=None)
    async with town(tmp_path, RECOGNITION) as place:
        settings, document, now = place.settings, read_document(NUMBER), datetime.now(UTC)
        desk = FaceRegistration(settings)
        vectors = desk.vectors_from_photo(_photo_of_the_resident(tmp_path))
        await desk.register(document, vectors, Consent(Giver.SELF, now, now + timedelta(days=1)))

        over = asyncio.Event()
        visit = asyncio.create_task(place.street.play(seen, over, patience_s=HANG_S))
        view = await place.seen(lambda view: view.verdict is not None)
        assert (view.verdict, view.reasons[0]) == ("assist", "lookup_failed")
        over.set()
        await visit
        await place.seen(lambda view: view.stage is ScreenStage.IDLE)
        [passage] = await place.passages()
        key = person_key(read_community_key(Path(place.settings.directory.community_key_file)), NUMBER)
        assert (passage.credential, passage.person_key) == ("face", key)
        for text in (msgspec.json.encode(view), caplog.text.encode()):
            assert NUMBER.encode() not in text
            assert key.encode() not in text

        assert await withdraw(settings, document)
        over = asyncio.Event()
        visit = asyncio.create_task(place.street.play(seen, over, patience_s=HANG_S))
        await place.seen(lambda view: view.hint == "look_or_show")
        detections = place.sentinel.face_detection.detections
        for _ in range(30):  # pictures: twice as many as it took before
            await detections.after(detections.sequence)
        over.set()
        await visit
        assert place.sentinel.tracker.credential is None
        assert len(await place.passages()) == 1
        alarms = [record.kind for record in await place.records() if isinstance(record, AlarmRaised)]
        assert [kind for kind in alarms if kind.startswith("face_")] == ["face_registered", "face_withdrawn"]


def test_a_box_without_the_setting_has_no_register() -> None:
    assert not parse_settings("").recognition.enabled


def _photo_of_the_resident(folder: Path) -> Path:
    x, y, width, height = (round(each) for each in RESIDENT.box)
    cut = photograph(RESIDENT.photo)[y - height // 2 : y + height * 3 // 2, x - width // 2 : x + width * 3 // 2]
    path = folder / "photo.png"
    cv2.imwrite(str(path), cut)
    return path

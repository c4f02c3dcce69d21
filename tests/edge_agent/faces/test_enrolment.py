"""Registering: whose number, whose consent, which picture is good enough, and why one is not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from pathlib import Path

import numpy as np
import pytest

from drivers.contract import CameraFrame, PartHealth, PartState
from drivers.errors import DeviceLost
from drivers.latest import Latest
from edge_agent.faces import enrolment
from edge_agent.faces.consent import Giver, check_age
from edge_agent.faces.document import read_document
from edge_agent.faces.enrolment import Enrolment, EnrolmentSession, capture
from edge_agent.faces.errors import ConsentMissing, FaceUnfit, NumberUnread
from edge_agent.faces.quality import GATE_EYES_PX, Flaw, find_flaw
from models.detections import Face
from tests.edge_agent.clocks import moment
from tests.edge_agent.faces.stand import BLUE, MASKED, RED, Image, colour_embedders, drawn, liveness

NUMBER = "999999199001010016"


class Finds:
    """A detector that finds what it is told to."""

    name = "told"

    def __init__(self, *faces: Face) -> None:
        self.faces = list(faces)

    def detect(self, _image: Image) -> list[Face]:
        return self.faces


def moved(face: Face, *changes: tuple[int, float, float]) -> Face:
    """The face with some landmarks moved by pixels."""
    assert face.landmarks is not None
    points = face.landmarks.copy()
    for landmark, x, y in changes:
        points[landmark] += (x, y)
    return Face(face.box, face.score, points, face.mask)


def flaws() -> Iterator[tuple[Flaw, Image, list[Face]]]:
    image, face = drawn(RED)
    yield Flaw.NO_FACE, image, []
    yield Flaw.NO_FACE, image, [Face(face.box, 0.9, None, face.mask)]
    yield Flaw.SEVERAL, image, [face, face]
    yield Flaw.MASKED, image, [drawn(RED, mask=MASKED)[1]]
    small, small_face = drawn(RED, size=70.0)
    yield Flaw.SMALL, small, [small_face]
    yield Flaw.TURNED, image, [moved(face, (2, 14, 0))]  # the nose to the side
    yield Flaw.TURNED, image, [moved(face, (2, 0, -12))]  # the nose up
    yield Flaw.TURNED, image, [moved(face, (1, -5, 35))]  # the head on the shoulder
    yield Flaw.DARK, image // 4, [face]
    yield Flaw.BRIGHT, 255 - image // 8, [face]
    yield Flaw.FLAT, (image // 8 + 100).astype(np.uint8), [face]
    smooth = np.repeat(np.repeat(np.linspace(0, 255, 320)[None], 240, axis=0)[..., None], 3, axis=2)
    yield Flaw.SOFT, smooth.astype(np.uint8), [face]


@pytest.mark.parametrize(("flaw", "image", "faces"), list(flaws()))
def test_every_flaw_is_named_in_both_languages(flaw: Flaw, image: Image, faces: list[Face], tmp_path: Path) -> None:
    with pytest.raises(FaceUnfit) as told:
        Enrolment(Finds(*faces), colour_embedders(tmp_path)).vectors_from_photo(image)
    assert str(told.value) == flaw.sentence
    assert all(part.lower() in flaw.sentence.lower() for part in flaw.value)


def test_a_good_picture_has_no_flaw() -> None:
    image, face = drawn(RED)
    assert find_flaw(face, image, least_eyes_px=GATE_EYES_PX) is None


def sitting(folder: Path, detector: Finds, live: float = 0.9) -> EnrolmentSession:
    return EnrolmentSession(Enrolment(detector, colour_embedders(folder)), liveness(folder, live), live=0.7, alike=0.9)


def test_a_sitting_wants_five_good_pictures_of_one_person(tmp_path: Path) -> None:
    (red, face), (blue, _) = drawn(RED), drawn(BLUE)
    seat = sitting(tmp_path, Finds(face))
    for image in (red, red, red, blue):  # somebody else took the seat
        assert seat.add_picture(image) is None
    for _ in range(4):
        assert seat.vectors is None
        assert seat.add_picture(blue) is None
    assert seat.vectors is not None
    assert seat.vectors.upper is not None
    assert np.linalg.norm(seat.vectors.whole) == pytest.approx(1.0)
    assert np.linalg.norm(seat.vectors.upper) == pytest.approx(1.0)


def test_a_print_is_not_registered_by_the_camera(tmp_path: Path) -> None:
    image, face = drawn(RED)
    assert sitting(tmp_path, Finds(face), live=0.4).add_picture(image) is Flaw.NOT_LIVE


class Pictures:
    """A camera that gives one picture over and over."""

    name = "camera"
    counters: dict[str, int]

    def __init__(self, image: Image | None) -> None:
        self.frames: Latest[CameraFrame] = Latest()
        self.health = PartHealth(PartState.LOST, 0.0, "no such device")
        self._image = image

    def limit_rate(self, fps: float) -> None:
        pass

    async def run(self) -> None:
        number = 0
        while self._image is not None:
            number += 1
            self.frames.put(CameraFrame(self._image, number / 10, number))
            await asyncio.sleep(0)
        await asyncio.Event().wait()


async def test_the_camera_registers_and_says_what_is_wrong_once(tmp_path: Path) -> None:
    image, face = drawn(RED)
    detector, told = Finds(), list[Flaw]()

    def tell(flaw: Flaw) -> None:
        told.append(flaw)
        detector.faces = [face] if flaw is Flaw.SEVERAL else [face, face]

    vectors = await capture(Pictures(image), sitting(tmp_path, detector), tell)
    assert told == [Flaw.NO_FACE, Flaw.SEVERAL]
    assert vectors.whole.shape == (3,)


@pytest.mark.parametrize(("image", "error"), [(None, DeviceLost), (drawn(RED)[0], FaceUnfit)])
async def test_a_sitting_ends(
    image: Image | None, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enrolment, "_LIMIT_S", 0.3)
    with pytest.raises(error):
        await capture(Pictures(image), sitting(tmp_path, Finds()), lambda _flaw: None)


@pytest.mark.parametrize(
    ("typed", "number", "born"),
    [
        (f" {NUMBER}\n", NUMBER, date(1990, 1, 1)),
        ("999999 19900101 018x", "99999919900101018X", date(1990, 1, 1)),
        ("h12345678", "H12345678", None),
    ],
)
def test_numbers_are_read_as_people_type_them(typed: str, number: str, born: date | None) -> None:
    document = read_document(typed)
    assert (document.number, document.born) == (number, born)
    assert number not in repr(document)


@pytest.mark.parametrize("typed", ["", "1", "999999199001010017", "99999919900101001", "H1", "999999199002300014"])
def test_a_wrong_number_is_refused_and_not_repeated(typed: str) -> None:
    with pytest.raises(NumberUnread) as told:
        read_document(typed)
    assert not typed or typed not in str(told.value).replace("1990", "")


@pytest.mark.parametrize(("born", "alone"), [(date(2009, 3, 1), False), (date(2007, 3, 1), True)])
@pytest.mark.parametrize("year", [1970, 2024, 2039])
def test_a_clock_that_is_not_in_sync_makes_no_child_older(born: date, alone: bool, year: int) -> None:
    now = moment(datetime(year, 5, 1, tzinfo=UTC), in_sync=False, error_s=None)
    if alone:
        check_age(Giver.SELF, born, now)
    else:
        with pytest.raises(ConsentMissing, match="guardian"):
            check_age(Giver.SELF, born, now)


@pytest.mark.parametrize(("today", "alone"), [(date(2024, 2, 28), False), (date(2024, 2, 29), True)])
def test_a_child_needs_the_guardian(today: date, alone: bool) -> None:
    born = date(2010, 2, 28) if alone else date(2010, 3, 1)
    now = moment(datetime.combine(today, time(12)).astimezone())
    check_age(Giver.GUARDIAN, born, now)
    check_age(Giver.SELF, None, now)
    if alone:
        check_age(Giver.SELF, born, now)
    else:
        with pytest.raises(ConsentMissing, match="guardian"):
            check_age(Giver.SELF, born, now)

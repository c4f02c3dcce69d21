from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.simulated.people.drawn import PEOPLE
from drivers.simulated.people.masks import MaskWear
from drivers.simulated.people.person_image import Entrance, Pose, draw_portrait
from models.detections import Face, FaceDetector, MaskState
from models.detectors.face import make_detector
from models.detectors.upright import UprightProbe, make_upright_probe
from models.imaging.orientation import TURNS, turned


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return make_detector("sentinel", score=0.3)


@pytest.fixture(scope="module")
def probe() -> UprightProbe:
    return make_upright_probe()


def portrait(person: int, wear: MaskWear) -> NDArray[np.uint8]:
    return Entrance(seed=1).view(draw_portrait(PEOPLE[person], wear), Pose(0.5, 0.45, 0.42))


@pytest.mark.parametrize("wear", [MaskWear.NONE, MaskWear.CORRECT])
@pytest.mark.parametrize("person", range(4))
def test_an_upright_face_is_most_surely_a_face_as_it_is(
    detector: FaceDetector, probe: UprightProbe, person: int, wear: MaskWear
) -> None:
    picture = portrait(person, wear)
    look = probe.look(picture, detector.detect(picture)[0])
    assert look.lead < 0
    assert not look.denies_mask


@pytest.mark.parametrize("person", range(4))
def test_a_bare_face_on_its_head_is_more_surely_a_face_when_turned(
    detector: FaceDetector, probe: UprightProbe, person: int
) -> None:
    picture = turned(portrait(person, MaskWear.NONE), 180)
    look = probe.look(picture, detector.detect(picture)[0])
    assert look.lead > 0
    assert (look.clockwise_deg, look.mask) == (180, MaskState.NONE)
    assert look.denies_mask


@pytest.mark.parametrize("deg", [90, 270])
def test_a_face_on_its_side_needs_a_quarter_turn(detector: FaceDetector, probe: UprightProbe, deg: int) -> None:
    picture = portrait(3, MaskWear.NONE)
    x, y, width, height = detector.detect(picture)[0].box
    left, top = (480 - y - height, x) if deg == 90 else (y, 640 - x - width)
    on_its_side = Face((left, top, height, width), 0.5, None, None)
    look = probe.look(turned(picture, deg), on_its_side)
    assert look.lead > 0
    assert look.clockwise_deg == 360 - deg


def test_a_face_outside_the_picture_is_examined_as_far_as_it_is_seen(probe: UprightProbe) -> None:
    picture = portrait(0, MaskWear.NONE)
    outside = Face((-50.0, -50.0, 20.0, 20.0), 0.9, None, None)
    assert probe.look(picture, outside).lead <= 1


def test_four_turns_are_tried() -> None:
    assert sorted(TURNS) == [0, 90, 180, 270]

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_agent.measurement.upright_monitor import UprightMonitor, wanted_rotate
from models.detections import Face, MaskScores, MaskState
from models.detectors.upright import TurnLook
from models.imaging.orientation import Orientation, turned

PICTURE = np.zeros((480, 640, 3), np.uint8)
FACE = Face((200, 100, 150, 200), 0.9, None, MaskScores(0.9, 0.05, 0.05))
UPRIGHT = TurnLook(-0.2, 180, MaskState.NONE)
ON_HEAD = TurnLook(0.1, 180, MaskState.NONE)


class Looks:
    """A probe that finds what it is given."""

    def __init__(self, look: TurnLook) -> None:
        self.look_is = look
        self.count = 0

    def look(self, image: NDArray[np.uint8], face: Face) -> TurnLook:
        self.count += 1
        return self.look_is


class Box:
    """A monitor with its probe and what it said to the camera."""

    def __init__(self, look: TurnLook, rotate_deg: int = 0, flip: bool = False) -> None:
        self.probe, self.said = Looks(look), list[str]()
        self.monitor = UprightMonitor(self.probe, self.said.append, rotate_deg=rotate_deg, flip=flip)

    def masks(self, seconds: float, begin_s: float = 0.0, face: Face = FACE) -> list[MaskScores | None]:
        """The mask states of ten pictures a second."""
        times = [begin_s + step / 10 for step in range(round(seconds * 10))]
        return [self.monitor.checked([face], PICTURE, at_s)[0].mask for at_s in times]


def test_faces_that_stand_upright_keep_their_masks_and_cost_one_look_a_second() -> None:
    box = Box(UPRIGHT)
    assert box.masks(5) == [FACE.mask] * 50
    assert box.probe.count == 5
    assert set(box.said) == {""}


def test_no_mask_counts_on_a_face_on_its_head_and_the_camera_is_rejected() -> None:
    box = Box(ON_HEAD)
    assert box.masks(2) == [None] * 20
    assert box.said[2] == ""
    assert box.said[3] == "faces stand on their heads or sides: set [camera] rotate = 180"


def test_a_face_that_looks_the_same_on_its_head_is_not_judged() -> None:
    assert Box(TurnLook(0.0, 180, None)).masks(1) == [None] * 10


def test_a_camera_that_is_turned_while_running_is_noticed_and_back_when_it_is_upright() -> None:
    box = Box(UPRIGHT)
    box.masks(10)
    box.probe.look_is = ON_HEAD
    box.masks(8, begin_s=10)
    assert box.said[-1]
    assert box.masks(1, begin_s=18) == [None] * 10
    box.probe.look_is = UPRIGHT
    box.masks(2, begin_s=19)
    assert box.said[-1] == ""
    assert box.masks(1, begin_s=21) == [FACE.mask] * 10


def test_one_odd_face_among_many_changes_nothing() -> None:
    box = Box(UPRIGHT)
    box.masks(10)
    box.probe.look_is = TurnLook(0.05, 180, MaskState.CORRECT)
    assert box.masks(4, begin_s=10) == [FACE.mask] * 40


def test_a_far_face_decides_nothing() -> None:
    box = Box(UPRIGHT)
    far = Face((200, 100, 30, 40), 0.9, None, FACE.mask)
    assert box.masks(1, face=far) == [None] * 10
    assert box.probe.count == 0
    assert box.monitor.checked([], PICTURE, 0.0) == []


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("rotate_deg", [0, 90, 180, 270])
@pytest.mark.parametrize("clockwise_deg", [90, 180, 270])
def test_the_proposed_setting_turns_what_the_present_one_leaves(
    rotate_deg: int, clockwise_deg: int, flip: bool
) -> None:
    sent = np.random.default_rng(1).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    upright = turned(Orientation(rotate_deg, flip).apply(sent), clockwise_deg)
    proposed = wanted_rotate(clockwise_deg, rotate_deg=rotate_deg, flip=flip)
    assert np.array_equal(Orientation(proposed, flip).apply(sent), upright)

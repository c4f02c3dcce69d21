from __future__ import annotations

import cv2
import numpy as np
import pytest

from drivers.contract import CameraFrame
from drivers.latest import Latest
from edge_agent.screen.camera_jpeg import CameraJpeg


def frame(sequence: int, height: int, width: int) -> CameraFrame:
    image = np.full((height, width, 3), sequence, np.uint8)
    return CameraFrame(sequence=sequence, taken_at_s=float(sequence), image=image)


def test_before_the_first_frame_there_is_no_picture() -> None:
    assert CameraJpeg(Latest()).jpeg() is None


@pytest.mark.parametrize(
    ("size", "shown"), [((480, 640), (480, 640)), ((720, 1280), (360, 640)), ((1920, 1080), (640, 360))]
)
def test_a_picture_is_no_larger_than_people_need(size: tuple[int, int], shown: tuple[int, int]) -> None:
    frames: Latest[CameraFrame] = Latest()
    picture = CameraJpeg(frames)
    frames.put(frame(1, *size))
    jpeg = picture.jpeg()
    assert jpeg is not None
    assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape[:2] == shown
    assert picture.jpeg() is jpeg
    frames.put(frame(200, *size))
    assert picture.jpeg() != jpeg

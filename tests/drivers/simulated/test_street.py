"""A visit to the street, as received from the camera, the thermometer and the reader."""

from __future__ import annotations

import asyncio
import os
from itertools import islice, product
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.simulated.people.drawn import PEOPLE, DrawnPerson
from drivers.simulated.people.face_drawing import draw_bare
from drivers.simulated.people.masks import MaskWear
from drivers.simulated.people.person_image import Entrance, Pose, draw_portrait, face_box
from drivers.simulated.people.scenes import SceneKind, scenes
from drivers.simulated.street import Street
from models.detections import FaceDetector
from models.detectors.face import make_detector
from tests.limits import HANG_S

STANDING = Pose(centre_x=0.5, centre_y=0.45, face_height=0.42)


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return make_detector("sentinel")


def found_faces(weights: Path, image: NDArray[np.uint8]) -> list[tuple[float, ...]]:
    """Boxes of the faces that YuNet finds."""
    detector = cv2.FaceDetectorYN.create(str(weights / "face_detection_yunet_2023mar.onnx"), "", (640, 480), 0.6)
    _, faces = detector.detect(image)
    return [] if faces is None else [tuple(map(float, face[:4])) for face in faces]


def overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Intersection over union of two boxes (x, y, width, height)."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    common = max(width, 0) * max(height, 0)
    return common / (one[2] * one[3] + other[2] * other[3] - common)


@pytest.mark.parametrize("person", PEOPLE, ids=lambda person: person.name)
@pytest.mark.parametrize("wear", MaskWear)
def test_one_face_stands_where_it_is_said_to(person: DrawnPerson, wear: MaskWear) -> None:
    portrait = draw_portrait(person, wear)
    image = Entrance(seed=1).view(portrait, STANDING)
    box = face_box(portrait, STANDING)
    assert image.shape == (480, 640, 3)
    assert box[3] == pytest.approx(0.42 * 480)
    assert np.any(image != Entrance(seed=1).view(None, None))


@pytest.mark.parametrize("person", PEOPLE, ids=lambda person: person.name)
@pytest.mark.parametrize("wear", MaskWear)
def test_another_detector_finds_the_face_where_it_stands(
    shared_weights: Path, person: DrawnPerson, wear: MaskWear
) -> None:
    portrait = draw_portrait(person, wear)
    faces = found_faces(shared_weights, Entrance(seed=1).view(portrait, STANDING))
    assert len(faces) == 1
    assert overlap(faces[0], face_box(portrait, STANDING)) > 0.6


@pytest.mark.parametrize("person", PEOPLE, ids=lambda person: person.name)
@pytest.mark.parametrize("wear", MaskWear)
def test_our_own_detector_finds_the_face_and_judges_the_mask(
    detector: FaceDetector, person: DrawnPerson, wear: MaskWear
) -> None:
    portrait, entrance = draw_portrait(person, wear), Entrance(seed=1)
    for face_px, light in product((60, 100, 150, 220, 300), (0.6, 1.2)):
        pose = Pose(0.5 + face_px / 50_000, 0.45, face_px / 480, light)
        (face,) = detector.detect(entrance.view(portrait, pose))
        assert face.score > 0.6, pose
        assert overlap(face.box, face_box(portrait, pose)) > 0.6, pose
        assert face.mask is not None
        states = {"correct": face.mask.correct, "incorrect": face.mask.incorrect, "none": face.mask.none}
        assert states[wear] > 0.8, pose


def test_people_differ_and_each_is_drawn_the_same_every_time() -> None:
    drawn = {person.name: draw_portrait(person, MaskWear.NONE).image for person in PEOPLE}
    draw_bare.cache_clear()
    for person in PEOPLE:
        assert np.array_equal(draw_portrait(person, MaskWear.NONE).image, drawn[person.name])
        others = [image for name, image in drawn.items() if name != person.name]
        assert all(cv2.absdiff(drawn[person.name], other).mean() > 5 for other in others)


def test_a_mask_changes_the_lower_face_only() -> None:
    bare, masked = (draw_portrait(PEOPLE[0], wear) for wear in (MaskWear.NONE, MaskWear.CORRECT))
    x, y, width, height = (round(value) for value in bare.box)
    changed = np.any(bare.image != masked.image, axis=2)[y : y + height, x : x + width]
    assert changed[height // 2 :].mean() > 0.7
    assert changed[: height // 4].mean() < 0.05


async def test_a_visitor_comes_shows_the_code_is_warm_and_goes(tmp_path: Path) -> None:
    scene = next(scene for scene in scenes(seed=2) if scene.kind is SceneKind.HEALTHY)
    async with Street(tmp_path, seed=2) as street:
        host = os.open(street.reader.wire.link, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
        shown, over = asyncio.Event(), asyncio.Event()
        asyncio.get_running_loop().add_reader(host, shown.set)
        running, visit = (
            asyncio.create_task(street.run()),
            asyncio.create_task(street.play(scene, over, patience_s=HANG_S)),
        )
        try:
            async with asyncio.timeout(HANG_S):
                await shown.wait()
            assert os.read(host, 100).decode().strip() == scene.code
            box = street.face_box_px
            assert box is not None
            assert 0.35 * 480 < box[3] < 0.5 * 480
            image = await asyncio.to_thread(_first_picture, street.camera.url)
            assert image.shape == (480, 640, 3)
            [face] = make_detector("sentinel").detect(image)
            assert overlap(face.box, box) > 0.6
            over.set()
            assert await visit
            assert street.face_box_px is None
        finally:
            running.cancel()
            asyncio.get_running_loop().remove_reader(host)
            os.close(host)


async def test_an_unserved_visitor_loses_patience_and_only_one_comes_at_a_time(tmp_path: Path) -> None:
    first, second = islice(scenes(seed=3), 2)
    async with Street(tmp_path, seed=3) as street:
        visit = asyncio.create_task(street.play(first, asyncio.Event(), patience_s=0.1))
        await asyncio.sleep(0)  # the first visitor is on the way
        with pytest.raises(RuntimeError, match="already"):
            await street.play(second, asyncio.Event())
        assert not await visit
        assert street.face_box_px is None


def _first_picture(url: str) -> NDArray[np.uint8]:
    capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG)
    try:
        good, image = capture.read()
        assert good
        return np.asarray(image, np.uint8)
    finally:
        capture.release()

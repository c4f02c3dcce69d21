from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.contract import CameraFrame, CodeRead, PartState
from drivers.latest import Latest
from drivers.readers.qr_camera import ACTIVE_EVERY_S, IDLE_EVERY_S, QrCamera, decode_codes
from drivers.readers.qr_line import REPEAT_S
from drivers.readers.repeats import InView
from drivers.simulated.devices.qr import code_picture
from drivers.simulated.people.person_image import Entrance
from tests.drivers.driver_bench import eventually, running

LONGEST_BYTES = 600
CODE, POSTER = "SHC1:999999199001010016:1900000000", "https://example.org/poster"


def picture(*texts: str) -> NDArray[np.uint8]:
    """The entrance with codes side by side, and sensor noise."""
    scene, left = Entrance(seed=1).view(None, None).astype(np.int16), 10
    for text in texts:
        code = code_picture(text)
        scene[50 : 50 + len(code), left : left + len(code)] = code
        left += len(code) + 20
    return (scene + np.random.default_rng(1).normal(0, 3, scene.shape)).clip(0, 255).astype(np.uint8)


UNREADABLE = ""
EMPTY, SHOWN, BOTH = picture(), picture(CODE), picture(POSTER, CODE)


class Eye:
    """A QR camera that receives pictures with given times."""

    def __init__(self, person_present: bool = True) -> None:
        self.frames: Latest[CameraFrame] = Latest()
        self.person_present = person_present
        self.reader = QrCamera(self.frames, lambda: self.person_present, cap_bytes=LONGEST_BYTES)
        self.now_s = 100.0
        self.seen: list[str] = []

    async def show(self, image: NDArray[np.uint8], after_s: float = ACTIVE_EVERY_S) -> None:
        """Deliver the next picture and wait until it was processed, if it is due."""
        self.now_s += after_s
        self.frames.put(CameraFrame(image, self.now_s, self.frames.sequence))
        looks = self.reader.counters["looks"]
        period_s = ACTIVE_EVERY_S if self.person_present else IDLE_EVERY_S
        if after_s >= period_s:
            await eventually(lambda: self.reader.counters["looks"] > looks)
        await asyncio.sleep(0.02)

    async def listen(self) -> None:
        """Collect the codes."""
        sequence = 0
        while True:
            sequence, code = await self.reader.codes.after(sequence)
            self.seen.append(code.text if isinstance(code, CodeRead) else UNREADABLE)


@pytest.fixture
async def eye() -> AsyncIterator[Eye]:
    eye = Eye()
    async with running(eye.reader):
        listening = asyncio.create_task(eye.listen())
        yield eye
        listening.cancel()


def test_codes_are_read_upright_turned_dark_and_in_colour() -> None:
    for image in (SHOWN, np.rot90(SHOWN), 255 - SHOWN, (SHOWN * np.array([0.4, 0.9, 0.3])).astype(np.uint8)):
        assert decode_codes(np.ascontiguousarray(image)) == [CODE]
    assert decode_codes(EMPTY) == []
    assert sorted(decode_codes(BOTH)) == sorted([CODE, POSTER])


async def test_a_code_held_up_is_read_once_and_again_when_it_comes_back(eye: Eye) -> None:
    for _ in range(20):  # longer than the time after which a scanner's repeat passes
        await eye.show(SHOWN)
    assert eye.seen == [CODE]
    await eye.show(EMPTY, REPEAT_S)
    await eye.show(SHOWN)
    assert eye.seen == [CODE, CODE]
    assert eye.reader.counters["repeats"] == 19


async def test_two_codes_in_one_picture_are_both_read_and_neither_makes_the_other_new(eye: Eye) -> None:
    for _ in range(4):
        await eye.show(BOTH)
    assert sorted(eye.seen) == sorted([CODE, POSTER])


async def test_pictures_are_read_rarely_while_no_person_is_present(eye: Eye) -> None:
    for _ in range(10):
        await eye.show(EMPTY, ACTIVE_EVERY_S / 2)
    assert eye.reader.counters["looks"] in (4, 5, 6)
    eye.person_present = False
    looks = eye.reader.counters["looks"]
    for _ in range(11):
        await eye.show(EMPTY, 0.25)
    assert eye.reader.counters["looks"] - looks in (2, 3)


async def test_a_code_over_the_limit_is_unreadable_and_one_at_the_limit_is_read(eye: Eye) -> None:
    for _ in range(2):
        await eye.show(picture("x" * (LONGEST_BYTES + 1)))
    await eye.show(picture("y" * LONGEST_BYTES))
    assert eye.seen == [UNREADABLE, "y" * LONGEST_BYTES]
    assert (eye.reader.counters["too_long"], eye.reader.counters["repeats"]) == (1, 1)


async def test_a_mark_in_a_code_is_taken_off_and_a_short_one_is_ignored(eye: Eye) -> None:
    await eye.show(picture("\ufeff" + CODE + "\r\n"))
    await eye.show(picture("12"))
    assert eye.seen == [CODE]
    assert eye.reader.counters["ignored"] == 1


async def test_the_part_is_ok_while_pictures_arrive(eye: Eye) -> None:
    assert eye.reader.health.state is PartState.STARTING
    await eye.show(EMPTY)
    assert eye.reader.health.state is PartState.OK


def test_what_is_in_view_is_bounded_and_kept_as_a_hash() -> None:
    view = InView(gone_s=3, most=3)
    assert [view.passes(text, 0.0) for text in "abca"] == [True, True, True, False]
    assert view.passes("d", 0.1)
    assert not view.passes("a", 0.2) and view.passes("b", 0.3)  # the one not seen for longest was forgotten
    assert len(view._seen_s) == 3 and not set("abcd") & set(map(str, view._seen_s))

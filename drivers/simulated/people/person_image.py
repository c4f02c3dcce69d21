"""A person before the camera: perhaps masked, placed in a picture of the entrance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.simulated.people.masks import MaskFit, MaskWear, Outline, Point, draw_mask

Image = NDArray[np.uint8]

WIDTH, HEIGHT = 640, 480
FACE_PX = 240  # height of the face in a portrait: half of the camera's picture
ABOVE, BELOW, ASIDE = 1.0, 2.2, 1.5  # extent of a portrait around the centre of the face, in face heights
SIZE = (int(2 * ASIDE * FACE_PX), int((ABOVE + BELOW) * FACE_PX))  # of a portrait, in pixels
CENTRE = (ASIDE * FACE_PX, ABOVE * FACE_PX)  # of its face
MAX_CACHED = 32


@dataclass(frozen=True, slots=True)
class Pose:
    """Position of a face: centre and height as shares of the picture; `light` 0..1 is the brightness."""

    centre_x: float
    centre_y: float
    face_height: float
    light: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Bare:
    """A person without a mask, in a picture of `SIZE` with the face at `CENTRE`: `image` is BGR, do not write to it.

    `cover` (h, w) is the opacity of the person; `box` is the face (x, y, width, height), `outline` where a mask sits.
    """

    image: Image
    cover: Image
    box: tuple[float, float, float, float]
    outline: Outline


class PicturedPerson(Protocol):
    """A person who can be placed at the entrance."""

    @property
    def name(self) -> str: ...

    def bare(self) -> Bare:
        """The person without a mask."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Portrait:
    """A cut-out person: `image` is BGR, weighted by `cover`; `box` is the face in its pixels (x, y, width, height)."""

    image: Image
    cover: Image
    box: tuple[float, float, float, float]

    @property
    def centre(self) -> Point:
        """Centre of the face."""
        x, y, width, height = self.box
        return x + width / 2, y + height / 2


def draw_portrait(person: PicturedPerson, wear: MaskWear) -> Portrait:
    """`person` with a mask worn like that; some 300 ms of work."""
    bare = person.bare()
    masked = draw_mask(bare.image, MaskFit.make(bare.outline, _light(bare)), wear)
    weighted = cv2.multiply(masked, cv2.merge([bare.cover] * 3), scale=1 / 255)
    return Portrait(np.asarray(weighted, np.uint8), bare.cover, bare.box)


def _light(bare: Bare) -> float:
    """Brightness of the face, 0..1."""
    x, y, width, height = (round(value) for value in bare.box)
    return float(bare.image[y : y + height, x : x + width].mean() / 255)


class Entrance:
    """View of the camera: the entrance, optionally with a person. Pictures of a standing person are cached."""

    def __init__(self, seed: int) -> None:
        self._empty = _entrance(seed)
        self._portrait: Portrait | None = None
        self._cache: dict[Pose, Image] = {}

    def view(self, portrait: Portrait | None, pose: Pose | None) -> Image:
        """640x480 BGR; shared, do not write to it."""
        if portrait is None or pose is None:
            return self._empty
        if portrait is not self._portrait or len(self._cache) >= MAX_CACHED:
            self._portrait, self._cache = portrait, {}
        if pose not in self._cache:
            self._cache[pose] = _placed(self._empty, portrait, pose)
        return self._cache[pose]


def face_box(portrait: Portrait, pose: Pose) -> tuple[float, float, float, float]:
    """Box of the face in the picture, in pixels (x, y, width, height)."""
    height = pose.face_height * HEIGHT
    width = height * portrait.box[2] / portrait.box[3]
    return pose.centre_x * WIDTH - width / 2, pose.centre_y * HEIGHT - height / 2, width, height


def _placed(scene: Image, portrait: Portrait, pose: Pose) -> Image:
    scale = pose.face_height * HEIGHT / FACE_PX
    centre_x, centre_y = portrait.centre
    into = np.array(
        [
            [scale, 0.0, pose.centre_x * WIDTH - scale * centre_x],
            [0.0, scale, pose.centre_y * HEIGHT - scale * centre_y],
        ]
    )
    person = cv2.warpAffine(portrait.image, into, (WIDTH, HEIGHT))
    cover = cv2.warpAffine(portrait.cover, into, (WIDTH, HEIGHT))
    behind = cv2.multiply(scene, cv2.merge([cv2.bitwise_not(cover)] * 3), scale=1 / 255)
    whole = cv2.add(behind, person)
    return np.asarray(cv2.convertScaleAbs(whole, alpha=pose.light), np.uint8)


def _entrance(seed: int) -> Image:
    """A wall, a passage and a pavement, out of focus."""
    random = np.random.default_rng(seed)
    wall = np.full((HEIGHT, WIDTH, 3), (150, 158, 160), np.uint8)
    cv2.rectangle(wall, (0, 380), (WIDTH, HEIGHT), (105, 112, 118), -1)
    cv2.rectangle(wall, (70, 60), (250, 400), (176, 168, 150), -1)
    cv2.rectangle(wall, (430, 30), (600, 390), (92, 104, 98), -1)
    grain = random.normal(0, 3, (HEIGHT // 16, WIDTH // 16)).astype(np.float32)
    blotches = cv2.resize(grain, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    entrance: Image = (cv2.GaussianBlur(wall, (0, 0), 9) + blotches[..., None]).clip(0, 255).astype(np.uint8)
    return entrance

"""A drawn person, bare-faced: skin, eyes, brows, nose, mouth, then ears, neck, shirt and hair about them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.simulated.people.face_relief import SIDES, Floats, Grid, bump, draw_light, head_cover, inside, stroke
from drivers.simulated.people.looks import Colour, Look
from drivers.simulated.people.masks import Point

Image = NDArray[np.uint8]

KEPT = 8  # drawings, each some 2 MB


@dataclass(frozen=True, slots=True, eq=False)
class _Canvas:
    """A picture (h, w, 3) and what of it is covered (h, w), both 0..1; each layer goes over those before it."""

    grid: Grid
    picture: Floats
    cover: Floats

    def cut(self, half_width: float, top: float, bottom: float) -> _Canvas:
        """A part of it, to draw on: from `top` to `bottom`, and `half_width` to both sides."""
        grid, part = self.grid.cut(half_width, top, bottom)
        return _Canvas(grid, self.picture[part], self.cover[part])

    def put(self, colour: Floats | Colour, over: Floats) -> None:
        whole = over + self.cover * (1 - over)
        lay(self.picture, colour, np.asarray(over / np.maximum(whole, 1e-6), np.float32))
        self.cover[:] = whole


def lay(under: Floats, colour: Floats | Colour, over: Floats) -> None:
    """Blend `colour` into the picture `under`, in place, as far as `over` (0..1) says."""
    under += (np.asarray(colour, np.float32) - under) * np.asarray(over, np.float32)[..., None]


@lru_cache(maxsize=KEPT)
def draw_bare(look: Look, size: tuple[int, int], centre: Point, face_px: float) -> tuple[Image, Image]:
    """Picture (h, w, 3) BGR and cover (h, w) of `size` (w, h), neither to be written to; some 250 ms of work.

    `centre` and `face_px` say where the middle of the face is and how high it is, in pixels.
    """
    grid = Grid.make(size, centre, face_px)
    random = np.random.default_rng(look.seed)
    canvas = _Canvas(grid, np.zeros((*grid.x.shape, 3), np.float32), np.zeros(grid.x.shape, np.float32))
    if look.hair_end:
        _put_long_hair(look, canvas.cut(look.half_width + 0.2, -0.35, look.hair_end + 0.05))
    _put_neck(look, canvas.cut(0.4, 0.15, 1.0))
    _put_shirt(look, canvas.cut(1.5, 0.5, 2.2))
    _put_ears(look, canvas.cut(look.half_width + 0.1, -0.15, 0.15))
    near = canvas.cut(look.half_width + 0.06, -0.8, 0.6)
    head = head_cover(look, near.grid)
    near.put(_draw_face(look, near.grid, random), head)
    near.picture[:] *= 1 - 0.28 * (inside(_beside_hair(look, near.grid) - 0.05, 0.09) * head)[..., None]
    _put_hair(look, canvas.cut(look.half_width + 0.1, -0.85, 0.1), random)
    picture = np.rint(np.clip(canvas.picture, 0, 1) * 255).astype(np.uint8)
    return picture, np.rint(canvas.cover * 255).astype(np.uint8)


def _draw_face(look: Look, grid: Grid, random: np.random.Generator) -> Floats:
    face = _draw_skin(look, grid, random)
    _draw_mouth(look, grid, face)
    _draw_nostrils(look, grid, face)
    face *= draw_light(look, grid)[..., None]
    for side in SIDES:
        _draw_eye(look, grid, face, side)
        _draw_brow(look, grid, face, side, random)
    return face


def _draw_skin(look: Look, grid: Grid, random: np.random.Generator) -> Floats:
    """Skin with warmer cheeks and nose, uneven as skin is."""
    skin = np.empty((*grid.x.shape, 3), np.float32)
    skin[:] = look.skin
    flush = 0.8 * bump(grid, 0, look.nose_y, 0.07, 0.06)
    for side in SIDES:
        flush += bump(grid, side * 0.22, 0.11, 0.12, 0.10)
    skin *= 1 - flush[..., None] * np.array([0.12, 0.10, 0.0], np.float32)
    size = grid.x.shape[::-1]
    grain = cv2.GaussianBlur(random.normal(0, 1, grid.x.shape).astype(np.float32), (0, 0), 1.2)
    blotches = cv2.resize(random.normal(0, 0.02, (12, 12)).astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    skin *= (1 + 0.02 * grain + blotches)[..., None]
    return skin


def _draw_mouth(look: Look, grid: Grid, skin: Floats) -> None:
    share = grid.x / look.mouth_width
    below = grid.y - look.mouth_y + look.smile * np.clip(share, -1.2, 1.2) ** 2  # the line between the lips
    round_ = np.clip(1 - share**2, 0, 1)
    upper = 0.85 * look.lip * round_**0.8 * (1 - 0.28 * stroke(grid.x, 0.022))
    lower = 1.15 * look.lip * round_**0.7
    red = np.asarray(look.skin, np.float32) * np.array([0.62, 0.55, 0.86], np.float32)
    lay(skin, red, 0.55 * inside(-below - upper, 0.012) * inside(below - lower, 0.012) * (round_ > 0))
    lay(skin, red * np.float32(0.28), 0.85 * stroke(below, 0.0065) * np.clip(1 - (share / 1.02) ** 6, 0, 1))
    skin *= 1 - 0.14 * bump(grid, 0, look.mouth_y + 2.4 * look.lip, 0.08, 0.016)[..., None]


def _draw_nostrils(look: Look, grid: Grid, skin: Floats) -> None:
    dark = np.asarray(look.skin, np.float32) * np.float32(0.25)
    for side in SIDES:
        lay(skin, dark, 0.65 * bump(grid, side * look.nose_width * 0.55, look.nose_y + 0.040, 0.020, 0.010))
    skin *= 1 - 0.35 * bump(grid, 0, look.nose_y + 0.062, look.nose_width * 1.1, 0.022)[..., None]


def _draw_eye(look: Look, grid: Grid, face: Floats, side: float) -> None:
    x = grid.x - np.float32(side * look.eye_x)
    share = x / look.eye_width
    y = grid.y - look.eye_y + 0.008 * share * side
    arch = np.clip(1 - share**2, 0, 1)
    upper, lower = look.eye_open * arch**0.65, 0.62 * look.eye_open * arch**0.8
    rim, near = 3.2 * grid.pixel, np.abs(share) < 1.05
    face *= (1 - (0.30 * stroke(y + upper + 0.018, 0.006) + 0.12 * stroke(y - lower - 0.03, 0.014)) * near)[..., None]
    ball = (
        np.ones_like(face)
        * (0.88 * (0.78 + 0.22 * np.clip((y + upper) / 0.03, 0, 1)) * (1 - 0.25 * share**2))[..., None]
    )
    radius, away = 1.02 * look.eye_open, np.hypot(x, y + 0.004)
    lay(ball, look.iris, inside(away - radius, rim))
    lay(ball, (0.03, 0.05, 0.07), stroke(away - radius, 0.004))
    lay(ball, (0.02, 0.02, 0.02), inside(away - radius * 0.45, rim))
    lay(ball, (1.0, 1.0, 1.0), 0.9 * inside(np.hypot(x + 0.010, y + 0.013) - 0.006, rim))
    lay(face, ball, inside(-y - upper, rim) * inside(y - lower, rim) * (arch > 0))
    lashes = np.asarray(look.hair, np.float32) * np.float32(0.3)
    lay(face, lashes, 0.9 * stroke(y + upper, 0.0075) * near)
    lay(face, np.asarray(look.skin, np.float32) * np.float32(0.45), 0.5 * stroke(y - lower, 0.005) * near)


def _draw_brow(look: Look, grid: Grid, face: Floats, side: float, random: np.random.Generator) -> None:
    share = (grid.x * side - (look.eye_x - 0.075)) / 0.19  # 0 at the nose, 1 at the temple
    along = np.clip(share, 0, 1)
    line = look.brow_y - look.brow_arch * np.sin(np.pi * 0.85 * along) + 0.012 * share
    hairs = cv2.GaussianBlur(random.normal(0, 1, grid.x.shape).astype(np.float32), (0, 0), 1.2)
    brow = np.exp(-(((grid.y - line) / (look.brow_thick * (1.15 - 0.75 * along))) ** 2))
    ends = inside(-share, 0.12) * inside(share - 0.98, 0.15)
    lay(face, look.hair, 0.75 * brow * ends * (0.8 + 0.2 * np.clip(4 * hairs, -1, 1)))


def _put_neck(look: Look, canvas: _Canvas) -> None:
    grid, aside = canvas.grid, np.abs(canvas.grid.x)
    light = (0.62 + 0.25 * np.clip((grid.y - 0.5) / 0.3, 0, 1)) * (1 - 0.5 * np.clip(aside / 0.34, 0, 1) ** 2)
    neck = inside(np.maximum(aside - 0.22 - 0.15 * np.clip(grid.y - 0.55, 0, 1), 0.2 - grid.y), 0.02)
    canvas.put(_lit(look.skin, light), neck)


def _put_shirt(look: Look, canvas: _Canvas) -> None:
    """Shoulders with an open collar."""
    grid, aside = canvas.grid, np.abs(canvas.grid.x)
    shoulder = 0.70 + 0.34 * np.clip(aside - 0.16, 0, 2) ** 1.6
    collar = np.clip(0.22 - 0.75 * (grid.y - 0.66), 0, 0.21) - aside
    cloth = np.maximum(np.maximum(shoulder - grid.y, aside - 1.05 - 0.05 * grid.y), np.minimum(collar, 0.95 - grid.y))
    folds = 1.0 - 0.30 * (aside / 1.2) ** 2 + 0.04 * np.sin(9 * aside + 3 * grid.y)
    folds += 0.3 * stroke(collar + 0.02, 0.022) * inside(0.69 - grid.y, 0.02) * (grid.y < 0.97)
    canvas.put(_lit(look.shirt, folds), inside(cloth, 0.02))


def _put_ears(look: Look, canvas: _Canvas) -> None:
    for side in SIDES:
        away = np.hypot((canvas.grid.x - side * (look.half_width + 0.015)) / 0.055, canvas.grid.y / 0.115)
        light = 0.72 + 0.15 * np.clip(1 - 3 * np.abs(away - 0.75), 0, 1)
        canvas.put(_lit(look.skin, light), inside((away - 1) * 0.06, 3.2 * canvas.grid.pixel))


def _put_long_hair(look: Look, canvas: _Canvas) -> None:
    """What falls behind ears and shoulders."""
    grid = canvas.grid
    edge = np.abs(grid.x) - look.half_width - 0.09 - 0.02 * np.sin(7 * grid.y + 1)
    corner = 0.25 * np.clip(grid.y - look.hair_end + 0.2, 0, 1)
    fall = np.maximum(edge + corner, np.maximum(-0.3 - grid.y, grid.y - look.hair_end))
    canvas.put(_lit(look.hair, 0.75 + 0.15 * np.sin(60 * grid.x + 6 * np.sin(4 * grid.y))), inside(fall, 0.03))


def _beside_hair(look: Look, grid: Grid) -> Floats:
    """How far each place is from the hair on the head, which ends at the hairline and the temples; negative in it."""
    fringe = look.hairline + 0.6 * np.clip(grid.x - look.parting, -0.5, 0.5) ** 2 + 0.012 * np.sin(22 * grid.x + 3)
    cap = np.hypot(grid.x / (look.half_width + 0.065), (grid.y + 0.17) / 0.60) - 1
    temples = look.half_width - 0.02 - np.abs(grid.x) - 0.16 * np.clip(-grid.y - 0.25, 0, 1)
    ends = np.minimum(grid.y - np.minimum(fringe, -0.02), np.maximum(temples, grid.y + 0.02))
    return np.asarray(np.maximum(0.6 * cap, ends), np.float32)


def _put_hair(look: Look, canvas: _Canvas, random: np.random.Generator) -> None:
    grid = canvas.grid
    towards = np.arctan2(grid.y + 1.1, grid.x - look.parting)
    locks = cv2.GaussianBlur(random.normal(0, 1, (1, 1441)).astype(np.float32), (0, 0), 3.0)[0]
    strands = np.interp(towards, np.linspace(-np.pi, np.pi, locks.size), locks)
    shine = stroke(np.hypot(0.9 * grid.x, grid.y + 0.15) - 0.42, 0.08)
    light = np.clip(1 + 0.4 * strands + 0.6 * shine * (1 + strands), 0.55, 2.0)
    canvas.put(_lit(look.hair, light) + np.float32(0.012), inside(_beside_hair(look, grid), 0.022))


def _lit(colour: Colour, light: NDArray[np.floating]) -> Floats:
    """A colour at each place, brighter or darker."""
    return np.asarray(colour, np.float32) * np.asarray(light, np.float32)[..., None]

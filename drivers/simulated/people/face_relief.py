"""The relief of a drawn face and the light on it: a height field of smooth bumps, shaded by its slopes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.simulated.people.looks import Look
from drivers.simulated.people.masks import Point

Floats = NDArray[np.float32]

CHEEKBONES_Y, CHIN_Y = -0.05, 0.545
SIDES = (-1.0, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """The places of a picture's pixels, `x` and `y` (h, w), and the size of one."""

    x: Floats
    y: Floats
    pixel: float

    @classmethod
    def make(cls, size: tuple[int, int], centre: Point, face_px: float) -> Grid:
        """Of a picture of `size` (w, h) with the middle of a face of `face_px` height at `centre`, in pixels."""
        columns = (np.arange(size[0], dtype=np.float32) - np.float32(centre[0])) / np.float32(face_px)
        rows = (np.arange(size[1], dtype=np.float32) - np.float32(centre[1])) / np.float32(face_px)
        x, y = np.meshgrid(columns, rows)
        return cls(x, y, 1 / face_px)

    def cut(self, half_width: float, top: float, bottom: float) -> tuple[Grid, tuple[slice, slice]]:
        """The part between `top` and `bottom` and `half_width` to both sides, and where it lies in this one."""
        rows = np.searchsorted(self.y[:, 0], (top, bottom))
        columns = np.searchsorted(self.x[0], (-half_width, half_width))
        part = slice(*(int(row) for row in rows)), slice(*(int(column) for column in columns))
        return Grid(self.x[part], self.y[part], self.pixel), part


def bump(grid: Grid, x: float, y: float, wide: float, high: float) -> Floats:
    """1 at (`x`, `y`), falling to 1/e at `wide` and `high` from there."""
    return np.asarray(np.exp(-(((grid.x - x) / wide) ** 2) - ((grid.y - y) / high) ** 2), np.float32)


def stroke(distance: Floats, wide: float) -> Floats:
    """1 where `distance` is 0, falling to 1/e at `wide`."""
    return np.asarray(np.exp(-((distance / wide) ** 2)), np.float32)


def inside(distance: Floats, edge: float) -> Floats:
    """1 where `distance` is negative, 0 where it is positive, over a rim of `edge`."""
    return np.asarray(np.clip(0.5 - distance / edge, 0.0, 1.0), np.float32)


def head_cover(look: Look, grid: Grid) -> Floats:
    """Where the head is: half an ellipse above the cheekbones, a narrowing jaw below."""
    broad = look.half_width * 1.03
    up = np.clip((CHEEKBONES_Y - grid.y) / 0.66, 0, 1)
    down = np.clip((grid.y - CHEEKBONES_Y) / (CHIN_Y - CHEEKBONES_Y), 0, 1)
    jaw = np.sqrt(1 - down**2.6) * (1 - (1 - look.jaw) * down**1.5)
    rim = 3.2 * grid.pixel
    return inside(np.abs(grid.x) - broad * np.sqrt(1 - up**2) * jaw + rim / 2, rim)


def draw_light(look: Look, grid: Grid) -> Floats:
    """How bright each place of the face is, about 0.4..1."""
    height = _height(look, grid)
    down, across = np.gradient(height, grid.pixel)
    light = np.array([look.light_x, look.light_y, 1.0], np.float32)
    light /= np.linalg.norm(light)
    facing = (light[2] - across * light[0] - down * light[1]) / np.sqrt(1 + across**2 + down**2)
    facing = np.clip(facing, 0, 1)
    lit: Floats = look.ambient + (1.06 - look.ambient) * facing + 0.10 * facing**30
    return lit.astype(np.float32)


def _height(look: Look, grid: Grid) -> Floats:
    """How far each place stands out."""
    aside = np.clip(np.abs(grid.x) / (look.half_width * 1.08), 0, 1)
    along = np.clip((grid.y + 0.1) / 0.74, -1, 1)
    height = 0.42 * np.sqrt(np.clip(1 - 0.97 * aside**2 - 0.55 * along**2, 0.002, 1))
    for side in SIDES:
        height -= look.sockets * bump(grid, side * look.eye_x, look.eye_y - 0.01, 0.10, 0.06)
        height += 0.030 * bump(grid, side * (look.eye_x + 0.06), 0.07, 0.12, 0.09)  # cheekbone
        height += 0.022 * bump(grid, side * look.eye_x, look.brow_y + 0.01, 0.11, 0.035)
        height += 0.030 * bump(grid, side * look.nose_width, look.nose_y + 0.02, 0.028, 0.030)
        height -= 0.012 * bump(grid, side * (look.mouth_width + 0.02), look.mouth_y - 0.05, 0.03, 0.07)
    height += _nose(look, grid)
    height += 0.022 * bump(grid, 0, look.mouth_y - 0.6 * look.lip, look.mouth_width * 0.75, look.lip * 0.9)
    height += 0.030 * bump(grid, 0, look.mouth_y + 0.9 * look.lip, look.mouth_width * 0.65, look.lip)
    height -= 0.020 * bump(grid, 0, look.mouth_y + 2.6 * look.lip, 0.09, 0.022)
    height += 0.035 * bump(grid, 0, 0.44, 0.10, 0.07)  # chin
    return np.asarray(cv2.GaussianBlur(height.astype(np.float32), (0, 0), 0.007 / grid.pixel), np.float32)


def _nose(look: Look, grid: Grid) -> Floats:
    """The ridge, higher and broader towards the tip, and the tip."""
    bridge_y = look.eye_y - 0.04
    down = np.clip((grid.y - bridge_y) / (look.nose_y - bridge_y), 0, 1)
    ridge = np.exp(-((grid.x / (0.030 + 0.030 * down)) ** 2)) * inside(grid.y - look.nose_y - 0.025, 0.055)
    nose: Floats = look.nose_rise * down**1.3 * ridge + 0.05 * bump(grid, 0, look.nose_y, 0.045, 0.04)
    return nose

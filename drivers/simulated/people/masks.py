"""Draws a surgical mask on a face, as cloth between a top and a bottom edge."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Points = NDArray[np.float64]
Floats = NDArray[np.float32]
Point = tuple[float, float]

FINE = 2  # the cloth is drawn this many times larger than shown, for smooth edges
PLEATS = (0.36, 0.52, 0.68)
SEAM = 0.045
CLOTH_BGR = (226.0, 206.0, 172.0)
MARGIN_PX = 24


class MaskWear(StrEnum):
    """How a mask is worn; the values are those of the model."""

    NONE = "none"
    CORRECT = "correct"
    INCORRECT = "incorrect"  # below the nose


@dataclass(frozen=True, slots=True)
class Outline:
    """Where a mask touches a face: along the top, along the bottom, and the ears, each from the viewer's left."""

    top: tuple[Point, ...]  # cheek, bridge of the nose, cheek
    bottom: tuple[Point, ...]  # jaw, chin, jaw
    ears: tuple[Point, ...]
    nose: Point  # its tip

    def scaled(self, scale: float, zero: Point) -> Outline:
        """The same in another picture: `scale` times larger, what was at (0, 0) at `zero`."""

        def moved(points: tuple[Point, ...]) -> tuple[Point, ...]:
            return tuple((x * scale + zero[0], y * scale + zero[1]) for x, y in points)

        return Outline(moved(self.top), moved(self.bottom), moved(self.ears), moved((self.nose,))[0])


@dataclass(frozen=True, slots=True, eq=False)
class MaskFit:
    """Position of a mask on a face, in pixels of its picture; `light` 0..1 is the brightness of the face."""

    top: Points  # cheek, bridge of the nose, cheek, from the viewer's left
    bottom: Points  # jaw, chin, jaw
    ears: Points
    nose: Points  # its tip
    light: float

    @classmethod
    def make(cls, outline: Outline, light: float) -> MaskFit:
        """On a face with that outline."""
        top, bottom, ears, nose = (np.array(part) for part in (outline.top, outline.bottom, outline.ears, outline.nose))
        return cls(top, bottom, ears, nose, light)


def draw_mask(image: Image, fit: MaskFit, wear: MaskWear) -> Image:
    """A copy of `image` with the mask worn as `wear`; `image` itself for NONE."""
    if wear is MaskWear.NONE:
        return image
    top, bottom = _slipped(fit) if wear is MaskWear.INCORRECT else (fit.top, fit.bottom)
    everything = np.vstack([top, bottom, fit.ears])
    corner = np.maximum(np.floor(everything.min(axis=0)).astype(int) - MARGIN_PX, 0)
    end = np.ceil(everything.max(axis=0)).astype(int) + MARGIN_PX
    masked = image.copy()
    part = masked[corner[1] : end[1], corner[0] : end[0]]
    part[:] = _covered(part, top - corner, bottom - corner, fit.ears - corner, fit.light)
    return masked


def _slipped(fit: MaskFit) -> tuple[Points, Points]:
    """Edges of a mask pulled below the nose; the cheeks follow, with more cloth at the chin."""
    drop = fit.bottom - fit.top
    top = fit.top + drop * 0.42
    top[1] = fit.nose + (fit.bottom[1] - fit.nose) * 0.32
    return top, fit.bottom + drop * 0.06


def _covered(part: Image, top: Points, bottom: Points, ears: Points, light: float) -> Image:
    """`part` of a picture with shadow, ear loops and cloth drawn on it."""
    colour, alpha = _cloth((part.shape[0], part.shape[1]), top, bottom, light)
    soft = cv2.GaussianBlur(alpha, (0, 0), 5.0)
    shadowed = (part * (1 - 0.38 * soft[..., None])).astype(np.uint8)
    _draw_loops(shadowed, ears, top, bottom, light)
    blended: Image = (shadowed + (colour - shadowed) * alpha[..., None]).clip(0, 255).astype(np.uint8)
    return blended


def _cloth(size: tuple[int, int], top: Points, bottom: Points, light: float) -> tuple[Floats, Floats]:
    """Colour and opacity of the cloth on a picture of `size`: a grid of points between the two edges."""
    height, width = size[0] * FINE, size[1] * FINE
    threads = int(np.ptp(np.vstack([top, bottom]), axis=0).max() * FINE * 1.4)  # enough to leave no hole
    across, down = np.meshgrid(np.linspace(0, 1, threads), np.linspace(0, 1, threads))
    upper, lower = _edge(top, across, 0.55), _edge(bottom, across, 0.9)
    place = upper + (lower - upper) * down[..., None]
    place[..., 0] += np.sin(np.pi * down) * (across - 0.5) * 0.06 * np.ptp(top[:, 0])  # cheeks push the sides out
    x, y = np.rint(place * FINE).astype(int).clip(0, (width - 1, height - 1)).reshape(-1, 2).T
    colour, alpha = np.zeros((height, width, 3), np.float32), np.zeros((height, width), np.float32)
    colour[y, x] = _threads(across, down, light).reshape(-1, 3)
    alpha[y, x] = 1.0
    cover = np.asarray(cv2.resize(alpha, size[::-1], interpolation=cv2.INTER_AREA), np.float32)
    shown = cv2.resize(colour, size[::-1], interpolation=cv2.INTER_AREA) / np.maximum(cover, 1e-3)[..., None]
    return np.asarray(shown, np.float32), np.asarray(cv2.GaussianBlur(cover, (0, 0), 0.6), np.float32)


def _edge(points: Points, across: Points, fullness: float) -> Points:
    """Points at shares `across` of the edge through three points; `fullness` 1 is round, 0 is two straight lines."""
    left, middle, right = points
    share = across[..., None]
    rounded = 1 - (2 * share - 1) ** 2
    pointed = 1 - np.abs(2 * share - 1)
    rise = fullness * rounded + (1 - fullness) * pointed
    edge: Points = left + (right - left) * share + (middle - (left + right) / 2) * rise
    return edge


def _threads(across: Points, down: Points, light: float) -> Floats:
    """Colour of the cloth at shares across and down: shading, three pleats, a seam, and the wire over the nose."""
    aside = np.abs(2 * across - 1)
    shade = 1.06 - 0.30 * aside**2.4 - 0.16 * down
    shade += 0.07 * np.exp(-(((across - 0.5) / 0.10) ** 2)) * (1 - down)
    for pleat in PLEATS:
        at = pleat + 0.02 * aside
        shade -= 0.20 * np.exp(-(((down - at) / 0.010) ** 2))
        shade -= 0.07 * np.clip(1 - (down - at) / 0.05, 0, 1) * (down > at)
        shade += 0.05 * np.exp(-(((down - at + 0.022) / 0.012) ** 2))
    seam = (np.abs(down - SEAM) < 0.006) | (np.abs(down - 1 + SEAM) < 0.006) | (np.abs(aside - 1 + SEAM) < 0.008)
    shade -= 0.06 * seam
    shade += 0.05 * (down < SEAM)
    weave = np.random.default_rng(7).normal(0.0, 0.035, (96, 96)).astype(np.float32)
    shade += cv2.resize(weave, shade.shape[::-1], interpolation=cv2.INTER_LINEAR)
    white = np.array(CLOTH_BGR) * (0.6 + 0.6 * light)
    return (shade[..., None] * white).astype(np.float32)


def _draw_loops(image: Image, ears: Points, top: Points, bottom: Points, light: float) -> None:
    """Draw the two elastic loops, from the corners of the cloth to the ears."""
    grey = 215.0 * (0.4 + 0.6 * light)
    for side, ear in zip((0, 2), ears, strict=True):
        height = bottom[side] - top[side]
        for corner, hold in ((top[side], ear), (bottom[side] - height * 0.15, ear + height * 0.25)):
            middle = (corner + hold) / 2 + height * 0.06  # the loop sags
            curve = np.rint(np.array([corner, middle, hold]) * 16).astype(np.int32)
            cv2.polylines(image, [curve], False, (grey, grey, grey), 1, cv2.LINE_AA, 4)

"""Put drawn masks on bare faces by their landmarks, properly or low, for examples that the photos lack."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.training.data import STATES, Floats, Pixels

CORRECT, INCORRECT, NONE = range(len(STATES))
#: offset of the nose from the middle of the eyes, in eye distances, from which a side template is used
TURNED = 0.17
SIZES_PX = (400, 200, 100, 50)


@dataclass(frozen=True)
class Placement:
    """Top and bottom edge of a mask, in eye-to-mouth lengths below the eyes, and its half width in the same unit."""

    top: float
    bottom: float
    half_width: float
    state: int


@dataclass(frozen=True, eq=False)
class Frame:
    """A face's own axes: eyes' middle, unit vectors right and down, lengths in px; nose as (side, down)."""

    eyes: Floats
    right: Floats
    down: Floats
    eye_px: float
    height_px: float
    nose_side: float
    nose_down: float

    def at(self, side: float, down: float) -> Floats:
        """Picture coordinates of a point `side`, `down` eye-to-mouth lengths from the eyes' middle."""
        return self.eyes + self.height_px * (side * self.right + down * self.down)


def frame(points: Floats) -> Frame | None:
    """Axes from five landmarks (5, 2), or None when they are missing or too far from a frontal view."""
    if not np.isfinite(points).all():
        return None
    eyes, mouth = points[:2].mean(0), points[3:].mean(0)
    height = float(np.hypot(*(mouth - eyes)))
    across = points[1] - points[0]
    eye = float(np.hypot(*across))
    if height < 4 or eye < 0.45 * height or eye > 2 * height:
        return None
    down = (mouth - eyes) / height
    right = np.array([down[1], -down[0]], np.float32)
    if right @ across < 0:
        return None
    nose = points[2] - eyes
    return Frame(eyes, right, down, eye, height, float(nose @ right) / eye, float(nose @ down) / height)


def placement(face: Frame, rng: np.random.Generator, low: bool) -> Placement:
    """A random proper placement (nose and mouth covered) or a low one (nose out, or chin only)."""
    width = 0.5 * (1 + face.eye_px / face.height_px) * rng.uniform(0.85, 1.08)
    nose = float(np.clip(face.nose_down, 0.4, 0.8))
    if not low:
        return Placement(nose - rng.uniform(0.16, 0.42), rng.uniform(1.6, 1.95), width, CORRECT)
    if rng.random() < 0.62:
        top = min(nose + rng.uniform(0.05, 0.3), 0.95)
        return Placement(top, rng.uniform(1.65, 2.1), width, INCORRECT)
    return Placement(rng.uniform(1.1, 1.4), rng.uniform(1.85, 2.3), width * rng.uniform(0.75, 1.0), INCORRECT)


def corners(face: Frame, place: Placement) -> Floats:
    """The mask's four corners in the picture (4, 2): top left, top right, bottom right, bottom left."""
    # on a turned head, the mask is shifted by half the offset of the nose
    side = 0.5 * face.nose_side * face.eye_px / face.height_px
    w = place.half_width
    return np.stack(
        [
            face.at(side - w, place.top),
            face.at(side + w, place.top),
            face.at(side + w, place.bottom),
            face.at(side - w, place.bottom),
        ]
    ).astype(np.float32)


class Wardrobe:
    """The mask templates (BGRA) at several sizes, by head direction: front, left or right in the picture."""

    def __init__(self, folder: Path) -> None:
        self._masks: dict[str, list[list[Pixels]]] = {"front": [], "left": [], "right": []}
        for path in sorted(folder.glob("*.png")):
            image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            if image is None or image.ndim != 3 or image.shape[2] != 4:
                raise ValueError(f"{path}: not a picture with alpha")
            self.add(path.stem, np.asarray(image, np.uint8))

    def add(self, name: str, image: Pixels) -> None:
        """Add one template, cut to its opaque part; names ending _left or _right are side views."""
        ys, xs = np.nonzero(image[:, :, 3] > 100)
        cut = image[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
        view = name.rsplit("_", 1)[-1]
        sizes = [np.asarray(cv2.resize(cut, (px, px), interpolation=cv2.INTER_AREA), np.uint8) for px in SIZES_PX]
        self._masks[view if view in self._masks else "front"].append(sizes)

    def pick(self, face: Frame, rng: np.random.Generator, wide_px: float) -> Pixels:
        """A template for the head's direction, at the size nearest above `wide_px`."""
        view = "front" if abs(face.nose_side) < TURNED else ("left" if face.nose_side < 0 else "right")
        choices = self._masks[view] or self._masks["front"]
        sizes = choices[int(rng.integers(len(choices)))]
        return next((s for s in reversed(sizes) if s.shape[1] >= wide_px), sizes[0])


def recolour(mask: Pixels, rng: np.random.Generator) -> Pixels:
    """The mask in its own colours, black, white or a random colour, sometimes with a pattern."""
    draw = rng.random()
    if draw < 0.35:
        return mask
    grey = mask[:, :, :3].astype(np.float32).mean(2, keepdims=True)
    shade = np.clip(grey / max(float(grey[mask[:, :, 3] > 128].mean()), 1.0), 0.3, 1.6)
    if draw < 0.55:
        colour = np.full(3, rng.uniform(15, 60))
    elif draw < 0.72:
        colour = np.full(3, rng.uniform(170, 240)) * rng.uniform(0.93, 1.0, 3)
    else:
        colour = rng.uniform(20, 235, 3)
    cloth = shade * colour
    if rng.random() < 0.25:
        n = int(rng.integers(2, 9))
        spots = rng.uniform(0, 255, (n, n, 3)).astype(np.float32)
        mode = cv2.INTER_NEAREST if rng.random() < 0.5 else cv2.INTER_CUBIC
        pattern = cv2.resize(spots, (mask.shape[1], mask.shape[0]), interpolation=mode)
        cloth = cloth * 0.5 + pattern * shade * rng.uniform(0.2, 0.5)
    out = mask.copy()
    out[:, :, :3] = np.clip(cloth, 0, 255)
    return out


def _light(image: Pixels, quad: Floats) -> float:
    """Brightness of the picture under the mask, 0..255."""
    x, y = quad.mean(0).astype(int)
    r = max(2, int(np.ptp(quad[:, 0]) / 3))
    patch = image[max(0, y - r) : y + r, max(0, x - r) : x + r]
    return float(patch.mean()) if patch.size else 128.0


def wear(image: Pixels, points: Floats, wardrobe: Wardrobe, rng: np.random.Generator, low: bool) -> int | None:
    """Draw a mask on the face with landmarks `points` (5, 2) in `image`, in place.

    Returns the mask state now shown, or None when nothing was drawn.
    """
    face = frame(points)
    if face is None:
        return None
    place = placement(face, rng, low)
    quad = corners(face, place)
    quad = quad + rng.normal(0, 0.03 * face.height_px, quad.shape).astype(np.float32)
    x0, y0 = np.floor(quad.min(0)).astype(int) - 2
    x1, y1 = np.ceil(quad.max(0)).astype(int) + 3
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, image.shape[1]), min(y1, image.shape[0])
    if x1 - x0 < 4 or y1 - y0 < 4:
        return None
    mask = recolour(wardrobe.pick(face, rng, 1.2 * float(np.ptp(quad[:, 0]))), rng)
    h, w = mask.shape[:2]
    source = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32)
    matrix = cv2.getPerspectiveTransform(source, quad - np.array([x0, y0], np.float32))
    warped = cv2.warpPerspective(mask, matrix, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR)
    # templates were photographed in good light: adapt them to the light on the face
    gain = float(np.clip(_light(image, quad) / 140, 0.25, 1.15)) * rng.uniform(0.85, 1.15)
    alpha: Floats = warped[:, :, 3:].astype(np.float32) * (1 / 255)
    if rng.random() < 0.5:
        alpha = np.asarray(cv2.GaussianBlur(alpha, (3, 3), 0), np.float32)[:, :, None]
    _ear_loops(image, face, place, rng, gain)
    target = image[y0:y1, x0:x1]
    blended = target * (1 - alpha) + np.minimum(warped[:, :, :3] * gain, 255) * alpha
    target[:] = blended.astype(np.uint8)
    return place.state


def _ear_loops(image: Pixels, face: Frame, place: Placement, rng: np.random.Generator, gain: float) -> None:
    """Draw thin cords from the upper corners of the mask to the ears, on most faces."""
    if rng.random() < 0.4 or abs(face.nose_side) > TURNED:
        return
    tone = rng.uniform(30, 230) * gain
    thick = max(1, round(face.height_px / 40))
    ear = 0.5 * (1 + face.eye_px / face.height_px) * 1.1
    for sign in (-1, 1):
        a = face.at(sign * place.half_width * 0.97, place.top + 0.08)
        b = face.at(sign * ear, rng.uniform(0.1, 0.35))
        ends = [(int(p[0]), int(p[1])) for p in (a, b)]
        cv2.line(image, ends[0], ends[1], (tone, tone, tone), thick, cv2.LINE_AA)


def hide(image: Pixels, points: Floats, rng: np.random.Generator) -> None:
    """Draw a skin-toned or grey ellipse (hand, microphone, cup) over part of the lower face, which is not a mask."""
    face = frame(points)
    if face is None:
        return
    side, down = rng.uniform(-0.7, 0.7), rng.uniform(0.75, 1.6)
    centre = face.at(side, down)
    axes = (face.height_px * rng.uniform(0.15, 0.45, 2)).astype(int) + 1
    cheek = face.at(0.3, 0.45).astype(int)
    inside = 0 <= cheek[0] < image.shape[1] and 0 <= cheek[1] < image.shape[0]
    skin = image[cheek[1], cheek[0]].astype(float) * rng.uniform(0.8, 1.1) if inside else np.full(3, 120.0)
    colour = skin if rng.random() < 0.7 else np.full(3, rng.uniform(10, 120))
    fill: NDArray[np.float64] = np.clip(colour, 0, 255)
    cv2.ellipse(
        image,
        (int(centre[0]), int(centre[1])),
        (int(axes[0]), int(axes[1])),
        float(rng.uniform(0, 180)),
        0,
        360,
        fill.tolist(),
        -1,
        cv2.LINE_AA,
    )

"""Make training pictures: crop, scale, rotate, mosaic, draw masks, then degrade like a cheap camera."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from models.training.data import ANNOTATED, UNKNOWN, Album, Floats, Pixels, Sample
from models.training.masks import INCORRECT, NONE, Wardrobe, hide, wear

#: faces smaller than this on the canvas are neither face nor background
SMALLEST_PX = 8.0
#: a face with a smaller visible share is ignored
LEAST_VISIBLE = 0.4
#: probability of drawing a mask on a bare face, and of drawing it low
DRESS, DRESS_LOW, HIDE = 0.35, 0.6, 0.08
#: probability of showing a scene around a random point instead of a face
ELSEWHERE = 0.15


@dataclass(eq=False)
class Canvas:
    """A training picture: image (s, s, 3) uint8 BGR and per face box x0 y0 x1 y1, state, points (5, 2); px.

    `ignore`: boxes that are neither face nor background.
    """

    image: Pixels
    boxes: list[Floats] = field(default_factory=list)
    states: list[int] = field(default_factory=list)
    points: list[Floats] = field(default_factory=list)
    ignore: list[Floats] = field(default_factory=list)


@dataclass(frozen=True)
class Rect:
    """A part of the canvas, px."""

    x: int
    y: int
    w: int
    h: int


def turn_box(box: Floats, matrix: Floats) -> Floats:
    """Box x y w h under an affine `matrix` (2, 3) -> x0 y0 x1 y1 of the rotated ellipse (a rectangle would grow)."""
    centre = matrix[:, :2] @ (box[:2] + box[2:] / 2) + matrix[:, 2]
    half = np.sqrt(((matrix[:, :2] * (box[2:] / 2)) ** 2).sum(1))
    return np.concatenate([centre - half, centre + half]).astype(np.float32)


def similarity(anchor: Floats, scale: float, degrees: float, flip: bool, target: Floats) -> Floats:
    """Affine (2, 3) that scales, rotates and optionally mirrors about `anchor` and moves it to `target`."""
    a = np.deg2rad(degrees)
    linear = scale * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    if flip:
        linear = linear @ np.diag([-1.0, 1.0])
    return np.concatenate([linear, (target - linear @ anchor)[:, None]], 1).astype(np.float32)


def flip_points(points: Floats) -> Floats:
    """Reorder the landmarks of a mirrored face, so that the person's right is first."""
    return points[[1, 0, 2, 4, 3]]


class Painter:
    """Draws training canvases from an album; the same generator state gives the same canvas."""

    def __init__(self, album: Album, numbers: list[int], wardrobe: Wardrobe) -> None:
        self.album = album
        self.wardrobe = wardrobe
        self.folders: dict[str, list[int]] = {}
        self.weights: dict[str, Floats] = {}
        for i in numbers:
            if len(album.samples[i].boxes):
                self.folders.setdefault(album.samples[i].folder, []).append(i)
        for name, members in self.folders.items():
            # pictures with a badly worn mask are rare and the most important
            w = np.array([4.0 if (album.samples[i].states == INCORRECT).any() else 1.0 for i in members])
            self.weights[name] = np.cumsum(w / w.sum()).astype(np.float32)

    def canvas(self, side: int, rng: np.random.Generator, whole: float = 0.1) -> Canvas:
        """One training picture of `side` x `side` px: one photo, or a mosaic of 2x2 to 4x4.

        `whole` is the share of photos shown whole, like the pictures of the agent's camera.
        """
        out = Canvas(np.zeros((side, side, 3), np.uint8))
        if rng.random() < whole:
            self._show(out, self._pick(1, rng), rng)
        else:
            n = int(rng.choice([1, 2, 3, 4], p=[0.55, 0.28, 0.12, 0.05]))
            for rect in self._cells(side, n, rng):
                self._place(out, rect, self._pick(n, rng), rng)
        self._dress(out, rng)
        out.image = spoil(out.image, rng)
        return out

    def _show(self, out: Canvas, i: int, rng: np.random.Generator) -> None:
        """Draw approximately the whole picture near the middle of the canvas."""
        sample, side = self.album.samples[i], len(out.image)
        scale = side / max(sample.width, sample.height) * float(np.exp(rng.uniform(-0.15, 0.25)))
        flip = bool(rng.random() < 0.5)
        size = np.array([sample.width, sample.height])
        target = side / 2 + rng.uniform(-0.1, 0.1, 2) * side
        matrix = similarity(size / 2, scale, tilt(rng, 3), flip, target)
        rect = Rect(0, 0, side, side)
        self._draw(out.image, rect, i, scale, matrix, rng)
        annotate(out, rect, sample, matrix, flip)

    def _cells(self, side: int, n: int, rng: np.random.Generator) -> list[Rect]:
        def cuts() -> list[int]:
            inner = [(k + rng.uniform(-0.25, 0.25)) * side / n for k in range(1, n)]
            return [0, *(int(c) for c in inner), side]

        xs, ys = cuts(), cuts()
        return [Rect(xs[i], ys[j], xs[i + 1] - xs[i], ys[j + 1] - ys[j]) for j in range(n) for i in range(n)]

    def _pick(self, n: int, rng: np.random.Generator) -> int:
        # whole scenes come from street/ and crowd/; portraits and news photos are tightly cropped and used as tiles
        shares = {"street": 0.52, "crowd": 0.3, "portrait": 0.12, "news": 0.06}
        if n > 1:
            shares = {"street": 0.3, "crowd": 0.2, "portrait": 0.3, "news": 0.2}
        names = [name for name in shares if name in self.folders]
        p = np.array([shares[name] for name in names])
        name = names[int(rng.choice(len(names), p=p / p.sum()))]
        j = int(np.searchsorted(self.weights[name], rng.random()))
        return self.folders[name][min(j, len(self.folders[name]) - 1)]

    def _place(self, out: Canvas, rect: Rect, i: int, rng: np.random.Generator) -> None:
        sample = self.album.samples[i]
        chosen = sample.boxes[int(rng.integers(len(sample.boxes)))]
        tight = sample.folder not in ANNOTATED
        if not tight and rng.random() < ELSEWHERE:
            # show other objects at the scale of a face: hands, signs and clothes cause false detections
            place = rng.uniform(0, 1, 2) * (sample.width, sample.height)
            chosen = np.concatenate([place - chosen[2:] / 2, chosen[2:]])
        face_px = float(max(chosen[2], chosen[3]))
        side = min(rect.w, rect.h)
        smallest = max(12.0, 0.3 * side if tight else 0.0)
        size = float(np.exp(rng.uniform(np.log(smallest), np.log(max(0.95 * side, smallest + 1)))))
        scale = size / face_px
        if rng.random() < 0.8:
            # mostly fill the part: empty canvas has no training value
            scale = max(scale, 0.8 * max(rect.w, rect.h) / max(sample.width, sample.height))
        scale = min(scale, 3.0)
        degrees = tilt(rng, 7)
        flip = bool(rng.random() < 0.5)
        size = face_px * scale
        spare = np.maximum(np.array([rect.w, rect.h]) - size, 0) / 2 + 0.15 * size
        target = np.array([rect.w, rect.h]) / 2 + spare * rng.uniform(-1, 1, 2)
        matrix = similarity(chosen[:2] + chosen[2:] / 2, scale, degrees, flip, target)
        self._draw(out.image, rect, i, scale, matrix, rng)
        annotate(out, rect, sample, matrix, flip)

    def _draw(self, image: Pixels, rect: Rect, i: int, scale: float, matrix: Floats, rng: np.random.Generator) -> None:
        # strong reduction with bilinear sampling would alias: start from the half-size copy
        half = 1 if scale < 0.6 else 0
        pixels = self.album.pixels(i, half)
        m = matrix.copy()
        if half:
            m[:, :2] *= np.array([self.album.samples[i].width, self.album.samples[i].height]) / pixels.shape[1::-1]
        fill = (0.0, 0.0, 0.0) if rng.random() < 0.6 else tuple(rng.uniform(0, 255, 3))
        if scale < 0.3:
            # reduce by area first, for the same reason
            k = 2 * scale / 0.75
            pixels = np.asarray(cv2.resize(pixels, None, fx=k, fy=k, interpolation=cv2.INTER_AREA), np.uint8)
            m[:, :2] /= k
        image[rect.y : rect.y + rect.h, rect.x : rect.x + rect.w] = cv2.warpAffine(
            pixels,
            m,
            (rect.w, rect.h),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=fill,
        )

    def _dress(self, out: Canvas, rng: np.random.Generator) -> None:
        for k, state in enumerate(out.states):
            if state != NONE:
                continue
            if rng.random() < DRESS:
                low = bool(rng.random() < DRESS_LOW)
                worn = wear(out.image, out.points[k], self.wardrobe, rng, low)
                out.states[k] = state if worn is None else worn
            elif rng.random() < HIDE:
                hide(out.image, out.points[k], rng)


def tilt(rng: np.random.Generator, usual: float) -> float:
    """Rotation in degrees: mostly small, sometimes as far as a head tilts."""
    return float(rng.normal(0, usual) if rng.random() < 0.78 else rng.uniform(-40, 40))


def annotate(out: Canvas, rect: Rect, sample: Sample, matrix: Floats, flip: bool) -> None:
    """Map the faces of the sample through `matrix` into `rect` of the canvas; hardly visible faces become ignored."""
    low, high = np.array([0, 0, 0, 0]), np.array([rect.w, rect.h, rect.w, rect.h])
    shift = np.array([rect.x, rect.y], np.float32)
    for box, state, points in zip(sample.boxes, sample.states, sample.landmarks, strict=True):
        whole = turn_box(box, matrix)
        seen = np.clip(whole, low, high)
        area = float(np.prod(seen[2:] - seen[:2]))
        if area <= 0:
            continue
        part = area / float(np.prod(whole[2:] - whole[:2]))
        seen = (seen + np.tile(shift, 2)).astype(np.float32)
        if part < LEAST_VISIBLE or float((seen[2:] - seen[:2]).max()) < SMALLEST_PX:
            out.ignore.append(seen)
            continue
        moved = points @ matrix[:, :2].T + matrix[:, 2] + shift
        out.boxes.append(seen)
        # with part of the face cut off, the mask state may not be visible
        out.states.append(int(state) if part > 0.75 else UNKNOWN)
        out.points.append((flip_points(moved) if flip else moved).astype(np.float32))
    for box in sample.ignore:
        seen = np.clip(turn_box(box, matrix), low, high)
        if np.prod(seen[2:] - seen[:2]) > 0:
            out.ignore.append((seen + np.tile(shift, 2)).astype(np.float32))


def noise(shape: tuple[int, ...], sigma: float, rng: np.random.Generator) -> Floats:
    """Gaussian noise from a random window of a precomputed bank."""
    n = int(np.prod(shape))
    start = int(rng.integers(0, len(_BANK) - n)) if n < len(_BANK) else 0
    return np.resize(_BANK[start : start + n], n).reshape(shape) * np.float32(sigma)


_BANK: Floats = np.random.default_rng(7).standard_normal(1 << 20, np.float32)


def motion_blur(image: Pixels, length: int, degrees: float) -> Pixels:
    """Motion blur over `length` px in one direction."""
    kernel = np.zeros((length, length), np.float32)
    c = (length - 1) / 2
    d = np.array([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))]) * c
    ends = [(round(c - d[0]), round(c - d[1])), (round(c + d[0]), round(c + d[1]))]
    cv2.line(kernel, ends[0], ends[1], (1.0,), 1)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)


def jpeg(image: Pixels, quality: int) -> Pixels:
    """The picture after JPEG at `quality`."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def tone(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Gamma, gain, contrast and colour cast with one table per channel; a fifth of the pictures are dark."""
    x = np.arange(256, dtype=np.float32) / 255
    table = np.empty((256, 3), np.float32)
    dark = rng.random() < 0.2
    gain = rng.uniform(0.2, 0.6) if dark else rng.uniform(0.75, 1.25)
    gamma = np.exp(rng.normal(0, 0.2))
    pivot = rng.uniform(0.3, 0.7)
    contrast = rng.uniform(0.75, 1.25)
    cast = np.exp(rng.normal(0, 0.08, 3))
    for c in range(3):
        table[:, c] = ((x**gamma - pivot) * contrast + pivot) * gain * cast[c]
    out = cv2.LUT(image, np.clip(table * 255, 0, 255).astype(np.uint8).reshape(256, 1, 3))
    return np.asarray(out, np.uint8)


def back_light(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Brightness gradient across the picture, as with a window behind or beside the face."""
    h, w = image.shape[:2]
    corner = rng.uniform(0.25, 1.5, (2, 2)).astype(np.float32)
    field_ = cv2.resize(corner, (w, h), interpolation=cv2.INTER_LINEAR)[:, :, None]
    return np.asarray(np.clip(image * field_, 0, 255), np.uint8)


def spoil(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Degrade like a cheap camera: shake, low resolution, light, colour, noise, JPEG."""
    draw = rng.random(8)
    h, w = image.shape[:2]
    if draw[0] < 0.17:
        image = motion_blur(image, int(rng.integers(3, 10)), float(rng.uniform(0, 180)))
    elif draw[0] < 0.25:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.8)), np.uint8)
    elif draw[0] < 0.37:
        k = rng.uniform(0.4, 0.9)
        small = cv2.resize(image, (int(w * k), int(h * k)), interpolation=cv2.INTER_AREA)
        image = np.asarray(cv2.resize(small, (w, h), interpolation=cv2.INTER_LINEAR), np.uint8)
    if draw[1] < 0.1:
        image = back_light(image, rng)
    if draw[2] < 0.7:
        image = tone(image, rng)
    if draw[3] < 0.06:
        image = np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR), np.uint8)
    if draw[4] < 0.25:
        image = np.clip(image + noise(image.shape, rng.uniform(2, 14), rng), 0, 255).astype(np.uint8)
    if draw[5] < 0.25:
        image = jpeg(image, int(rng.integers(25, 85)))
    return image

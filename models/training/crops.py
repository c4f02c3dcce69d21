"""Face crops for the mask classifier: the exact crop of the runtime, and random crops for training."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from models.detectors.face_crop import SIDE_PX, face_crop
from models.training.augment import flip_points, similarity, spoil
from models.training.data import STATES, UNKNOWN, Album, Floats, Pixels
from models.training.masks import CORRECT, INCORRECT, NONE, Wardrobe, hide, wear

#: shares of the states among training crops, and of drawn masks within the first two
SHARES = {CORRECT: 0.34, INCORRECT: 0.34, NONE: 0.32}
DRAWN = {CORRECT: 0.2, INCORRECT: 0.55}
#: smaller faces do not show how a mask is worn
SMALLEST_PX = 20.0
LARGEST_RENDER_PX = 150


def cut(image: Pixels, box: Floats) -> Pixels:
    """The classifier's input for a face `box` x y w h in `image`: as in the agent, (80, 80, 3) uint8."""
    x, y, width, height = (float(edge) for edge in box)
    return face_crop(image, (x, y, width, height))


@dataclass(frozen=True, eq=False)
class Source:
    """One face: picture number, box x y w h, landmarks (5, 2)."""

    picture: int
    box: Floats
    points: Floats


class Cutter:
    """Draws random training crops and their states; the same generator state gives the same crop."""

    def __init__(self, album: Album, numbers: list[int], wardrobe: Wardrobe) -> None:
        self.album, self.wardrobe = album, wardrobe
        self.sources: list[list[Source]] = [[] for _ in STATES]
        weights: list[list[float]] = [[] for _ in STATES]
        for i in numbers:
            sample = album.samples[i]
            for box, state, points in zip(sample.boxes, sample.states, sample.landmarks, strict=True):
                if state == UNKNOWN or box[2:].max() < SMALLEST_PX:
                    continue
                self.sources[state].append(Source(i, box, points))
                # street/ and crowd/ resemble the gate; portraits and news photos are easier and more numerous
                weights[state].append(1.0 if sample.folder in ("street", "crowd") else 0.4)
        self.chance = [np.cumsum(np.array(w) / max(sum(w), 1e-9)) for w in weights]

    def crop(self, rng: np.random.Generator) -> tuple[Pixels, int]:
        """One crop (80, 80, 3) uint8 BGR and its state."""
        state = int(rng.choice(len(STATES), p=[SHARES[s] for s in range(len(STATES))]))
        drawn = rng.random() < DRAWN.get(state, 0.0) or not self.sources[state]
        origin = NONE if drawn else state
        k = int(np.searchsorted(self.chance[origin], rng.random()))
        source = self.sources[origin][min(k, len(self.sources[origin]) - 1)]
        image, points = self._render(source, rng)
        if drawn:
            worn = wear(image, points, self.wardrobe, rng, low=state == INCORRECT)
            state = NONE if worn is None else worn
        elif state == NONE and rng.random() < 0.15:
            hide(image, points, rng)
        image = spoil(image, rng)
        how = cv2.INTER_AREA if image.shape[0] > SIDE_PX else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(image, (SIDE_PX, SIDE_PX), interpolation=how), np.uint8), state

    def _render(self, source: Source, rng: np.random.Generator) -> tuple[Pixels, Floats]:
        """A square around the face, randomly shifted, rotated and scaled like detector boxes and cheap cameras."""
        box = source.box
        face = float(max(box[2], box[3]))
        reach = rng.uniform(1.18, 1.65)
        native = min(face * reach, LARGEST_RENDER_PX)
        px = native
        if rng.random() < 0.45:
            px = float(np.exp(rng.uniform(np.log(min(34, native)), np.log(native))))
        side = max(24, round(px))
        scale = side / (face * reach)
        degrees = rng.normal(0, 8) if rng.random() < 0.9 else rng.uniform(-30, 30)
        flip = bool(rng.random() < 0.5)
        middle = box[:2] + box[2:] / 2 + rng.normal(0, 0.05, 2) * face
        matrix = similarity(middle, scale, degrees, flip, np.array([side / 2, side / 2], np.float32))
        matrix[:, :2] = matrix[:, :2] @ np.diag(np.exp(rng.normal(0, 0.05, 2)))
        matrix[:, 2] = side / 2 - matrix[:, :2] @ middle
        points = (source.points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
        half = 1 if scale < 0.6 else 0
        pixels = self.album.pixels(source.picture, half)
        m = matrix.copy()
        if half:
            sample = self.album.samples[source.picture]
            m[:, :2] *= np.array([sample.width, sample.height]) / pixels.shape[1::-1]
        image = np.asarray(cv2.warpAffine(pixels, m, (side, side), flags=cv2.INTER_LINEAR), np.uint8)
        return image, flip_points(points) if flip else points

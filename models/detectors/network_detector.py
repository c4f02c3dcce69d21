"""A face detector with one network: letterbox, run, decode, merge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.detections import Face, MaskScores
from models.detectors.candidates import Candidates
from models.detectors.letterbox import Letterbox
from models.detectors.nms import greedy_nms
from models.errors import ModelDamaged
from models.session import OnnxSession

#: outputs, input width, input height, lowest score -> candidates
Decode = Callable[[Mapping[str, NDArray[np.float32]], int, int, float], Candidates]


@dataclass(frozen=True, slots=True)
class Merge:
    """How candidates are merged: above an IoU of `overlap` they are one face; `average` also averages their boxes."""

    overlap: float
    average: bool = False


class NetworkDetector:
    """A `FaceDetector` over one loaded network whose input is (1, 3, height, width) float32 BGR 0..255.

    `size` is the long side of the input in pixels, for a network of dynamic size. Raises ModelDamaged when the
    network lacks one of `outputs`.
    """

    def __init__(
        self,
        name: str,
        session: OnnxSession,
        decode: Decode,
        merge: Merge,
        *,
        outputs: frozenset[str],
        size: int,
        score: float,
    ) -> None:
        missing = outputs - {port.name for port in session.outputs}
        if missing:
            raise ModelDamaged(
                f"not a network for the detector '{name}': it has no output {', '.join(sorted(missing))}"
            )
        self._name = name
        self._session = session
        self._decode = decode
        self._merge = merge
        self._size = size
        self._score = score
        self._input = session.inputs[0].name
        self._fixed_height, self._fixed_width = session.inputs[0].shape[2:]

    @property
    def name(self) -> str:
        return self._name

    def detect(self, image: NDArray[np.uint8]) -> list[Face]:
        """Faces in `image` ((h, w, 3) uint8 BGR), best score first."""
        plan = self._plan(image.shape[1], image.shape[0])
        # takes 0.1 ms; cv2.dnn.blobFromImage of OpenCV 5 takes 1.6 ms
        blob = np.ascontiguousarray(plan.apply(image).transpose(2, 0, 1)[None], np.float32)
        outputs = self._session.run({self._input: blob})
        return faces(self._decode(outputs, plan.width, plan.height, self._score), plan, self._merge)

    def _plan(self, width: int, height: int) -> Letterbox:
        if self._fixed_width and self._fixed_height:
            return Letterbox.into(width, height, self._fixed_width, self._fixed_height)
        return Letterbox.fit(width, height, self._size)


def faces(found: Candidates, plan: Letterbox, merge: Merge) -> list[Face]:
    """One face for each group of overlapping candidates, in pixels of the picture, best score first."""
    kept, owner = greedy_nms(found.boxes, found.scores, merge.overlap)
    shares = _shares(found.scores, owner, len(kept))
    boxes = plan.boxes_to_picture(_mean(found.boxes, shares, owner, len(kept)) if merge.average else found.boxes[kept])
    boxes[:, 2:] -= boxes[:, :2]
    landmarks = plan.points_to_picture(found.landmarks[kept])
    scores = found.scores[kept]
    masks = [None] * len(kept) if found.mask is None else _masks(_mean(found.mask, shares, owner, len(kept)))
    return [
        Face((float(box[0]), float(box[1]), float(box[2]), float(box[3])), float(score), points, mask)
        for box, score, points, mask in zip(boxes, scores, landmarks, masks, strict=True)
    ]


def _shares(scores: NDArray[np.float32], owner: NDArray[np.intp], count: int) -> NDArray[np.float32]:
    """Weight of each candidate (n, 1) in its face: the squared score, normalised to a sum of 1 per face."""
    weight = scores**2
    total = np.zeros(count, np.float32)
    np.add.at(total, owner, weight)
    return np.asarray((weight / total[owner])[:, None], np.float32)


def _mean(
    values: NDArray[np.float32], shares: NDArray[np.float32], owner: NDArray[np.intp], count: int
) -> NDArray[np.float32]:
    """Weighted mean of the candidates' `values` (n, k) per face, (count, k)."""
    mean = np.zeros((count, values.shape[1]), np.float32)
    np.add.at(mean, owner, values * shares)
    return mean


def _masks(states: NDArray[np.float32]) -> list[MaskScores]:
    states = states / states.sum(axis=1, keepdims=True)
    return [MaskScores(float(row[0]), float(row[1]), float(row[2])) for row in states]

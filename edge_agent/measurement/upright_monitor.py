"""Withholds mask states while the faces of the camera do not stand upright: a bare face on its head may look masked."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.detections import Face
from models.detectors.upright import TurnLook

_LOOKS = 8
_SURE_LOOKS = 4  # before the camera is reported as turned
_LOOK_EVERY_S = 1.0  # while the faces stand upright; otherwise every picture with a face is examined
_LEAST_HEIGHT = 0.1  # of the picture; smaller faces tell little, and are too far to be served


class Probe(Protocol):
    """`models.detectors.upright.UprightProbe`."""

    def look(self, image: NDArray[np.uint8], face: Face) -> TurnLook: ...


class UprightMonitor:
    """Compares faces with their turned pictures, and decides by the mean of the last looks.

    `reject` gets the reason while the camera is turned, and "" when it is upright again: `drivers.contract.Camera`.
    `rotate_deg` and `flip` are the settings of the camera. Used on one worker thread.
    """

    def __init__(self, probe: Probe, reject: Callable[[str], None], *, rotate_deg: int = 0, flip: bool = False) -> None:
        self._probe = probe
        self._reject = reject
        self._rotate_deg, self._flip = rotate_deg, flip
        self._looks: deque[TurnLook] = deque(maxlen=_LOOKS)
        self._looked_at_s = float("-inf")

    @property
    def is_upright(self) -> bool:
        """Whether the faces seen last stand upright; False before the first."""
        return bool(self._looks) and self._mean_lead < 0

    def checked(self, faces: list[Face], image: NDArray[np.uint8], at_s: float) -> list[Face]:
        """The faces of a picture taken at `at_s`, without mask states unless faces stand upright."""
        nearest = max(faces, key=lambda face: face.box[3], default=None)
        if nearest is not None and nearest.box[3] >= _LEAST_HEIGHT * image.shape[0] and self._is_due(at_s):
            self._looked_at_s = at_s
            self._looks.append(self._probe.look(image, nearest))
            self._reject(self._reason())
        return faces if self.is_upright else [replace(face, mask=None) for face in faces]

    @property
    def _mean_lead(self) -> float:
        return sum(look.lead for look in self._looks) / len(self._looks)

    def _is_due(self, at_s: float) -> bool:
        return not self.is_upright or at_s - self._looked_at_s >= _LOOK_EVERY_S

    def _reason(self) -> str:
        if len(self._looks) < _SURE_LOOKS or self._mean_lead < 0:
            return ""
        clockwise_deg = Counter(look.clockwise_deg for look in self._looks).most_common(1)[0][0]
        return turned_reason(wanted_rotate(clockwise_deg, rotate_deg=self._rotate_deg, flip=self._flip))


def wanted_rotate(clockwise_deg: int, *, rotate_deg: int, flip: bool) -> int:
    """The setting that makes upright what `rotate_deg` and `flip` leave to be turned by `clockwise_deg`."""
    return (rotate_deg + (-clockwise_deg if flip else clockwise_deg)) % 360


def turned_reason(rotate_deg: int) -> str:
    """What is wrong with a camera whose faces stand upright with the setting `rotate_deg`."""
    return f"faces stand on their heads or sides: set [camera] rotate = {rotate_deg}"

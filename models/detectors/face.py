"""The face detectors by name; the one place where one is chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from models.detections import FaceDetector
from models.detectors import sentinel, yunet
from models.detectors.network_detector import Merge, NetworkDetector
from models.detectors.second_look import SecondLook
from models.errors import ModelUnknown
from models.packs.packs import PackShelf
from models.session import OnnxSession

#: loaded network, long side of the input in pixels, lowest score -> detector
Build = Callable[[OnnxSession, int, float], FaceDetector]


@dataclass(frozen=True, slots=True)
class DetectorEntry:
    """A detector that the configuration may name: the pack it runs, its usual lowest score, how it is made.

    `second_look`: the pack that judges the mask of each face again.
    """

    pack: str
    score: float
    build: Build
    second_look: str | None = None


def _sentinel(session: OnnxSession, size: int, score: float) -> FaceDetector:
    merge = Merge(overlap=0.5, average=True)  # the mean box is worth 0.9 points of AP50
    return NetworkDetector(
        "sentinel", session, sentinel.decode, merge, outputs=sentinel.OUTPUTS, size=size, score=score
    )


def _yunet(session: OnnxSession, size: int, score: float) -> FaceDetector:
    merge = Merge(overlap=0.3)  # as its authors run it
    return NetworkDetector("yunet", session, yunet.decode, merge, outputs=yunet.OUTPUTS, size=size, score=score)


def _scrfd(session: OnnxSession, size: int, score: float) -> FaceDetector:
    from models.detectors.scrfd import ScrfdDetector  # insightface: a box without it must not pay 1.5 s and 50 MB

    return ScrfdDetector(session, size=size, score=score)


DETECTORS: Mapping[str, DetectorEntry] = {
    "sentinel": DetectorEntry("sentinel", 0.45, _sentinel, second_look="sentinel-mask"),
    "yunet": DetectorEntry("yunet-n", 0.6, _yunet),
    "scrfd": DetectorEntry("scrfd-500m", 0.5, _scrfd),
}


def make_detector(
    name: str,
    *,
    size: int = 320,
    threads: int = 1,
    score: float | None = None,
    weights: Path | None = None,
    data_dir: Path | None = None,
    accept_non_commercial: bool = False,
) -> FaceDetector:
    """The detector of that name, loaded; `weights` in place of all its pinned packs where given.

    `size` is the long side of the network's input in pixels. Raises ModelUnknown, ModelMissing, ModelDamaged,
    ExtraMissing or PackRefused (a non-commercial pack without an explicit yes).
    """
    if name not in DETECTORS:
        raise ModelUnknown(f"no detector '{name}'; there are {', '.join(DETECTORS)}")
    choice = DETECTORS[name]
    shelf = PackShelf(data_dir)
    shelf.check_extra(choice.pack)
    shelf.check_licence(choice.pack, accept_non_commercial=accept_non_commercial)
    path = weights if weights is not None else shelf.find(choice.pack)
    detector = choice.build(OnnxSession(path, threads=threads), size, choice.score if score is None else score)
    if choice.second_look is None or weights is not None:
        return detector
    return SecondLook(detector, OnnxSession(shelf.find(choice.second_look), threads=threads))

"""The supported face detectors, one row each, and the factory that selects one by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from models.detections import FaceDetector
from models.detectors import sentinel, yunet
from models.detectors.network_detector import Merge, NetworkDetector
from models.detectors.second_look import SecondLook
from models.errors import ModelUnknown
from models.packs.packs import PackStore
from models.session import OnnxSession

#: loaded network, long side of the input in pixels, lowest score -> detector
Build = Callable[[OnnxSession, int, float], FaceDetector]


@dataclass(frozen=True, slots=True)
class DetectorEntry:
    """A detector that the settings can name: its pack, default minimum score and factory.

    `second_look`: pack of the network that classifies the mask of each face a second time.
    """

    pack: str
    score: float
    build: Build
    second_look: str | None = None


def _sentinel(session: OnnxSession, size: int, score: float) -> FaceDetector:
    merge = Merge(overlap=0.5, average=True)  # the mean box gains 0.9 points of AP50
    return NetworkDetector(
        "sentinel", session, sentinel.decode, merge, outputs=sentinel.OUTPUTS, size=size, score=score
    )


def _yunet(session: OnnxSession, size: int, score: float) -> FaceDetector:
    merge = Merge(overlap=0.3)  # the value of its authors
    return NetworkDetector("yunet", session, yunet.decode, merge, outputs=yunet.OUTPUTS, size=size, score=score)


def _scrfd(session: OnnxSession, size: int, score: float) -> FaceDetector:
    from models.detectors.scrfd import ScrfdDetector  # insightface costs 1.5 s and 50 MB: import it only when used

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
    """Load the detector `name`; `weights`, if given, replaces all its pinned packs.

    `size` is the long side of the network's input in pixels. Raises ModelUnknown, ModelMissing, ModelDamaged,
    ExtraMissing or PackRefused (a non-commercial pack that was not accepted).
    """
    if name not in DETECTORS:
        raise ModelUnknown(f"no detector '{name}'; there are {', '.join(DETECTORS)}")
    entry = DETECTORS[name]
    store = PackStore(data_dir)
    store.check_extra(entry.pack)
    store.check_licence(entry.pack, accept_non_commercial=accept_non_commercial)
    path = weights if weights is not None else store.find(entry.pack)
    detector = entry.build(OnnxSession(path, threads=threads), size, entry.score if score is None else score)
    if entry.second_look is None or weights is not None:
        return detector
    return SecondLook(detector, OnnxSession(store.find(entry.second_look), threads=threads))

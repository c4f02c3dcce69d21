"""Compares the faces of two pictures as the gate compares a person with the register."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from config.settings import Settings
from edge_agent.box.model_packs import detector_from, embedders_from
from edge_agent.faces.enrolment import LONG_SIDE_PX
from edge_agent.faces.errors import FaceUnfit, PairsUnreadable
from edge_agent.faces.quality import Flaw, is_unmasked, main_face
from models.detections import FaceDetector
from models.detectors.close_up import find_faces_closely
from models.errors import PictureUnreadable
from models.picture import read_picture, shrink
from models.recognition.embedding import FaceEmbedder, FaceEmbedders, FaceVectors
from sync.storage.text_file import NotText, decode_text

_MOST_KEPT = 4096  # vectors of pictures, 1 kB each: in a list of pairs a picture occurs many times


@dataclass(frozen=True, slots=True)
class Comparison:
    """The cosine of two faces, whether each is masked, and the threshold from which they are the same person."""

    score: float
    masked: tuple[bool, bool]
    threshold: float

    @property
    def same(self) -> bool:
        return self.score >= self.threshold


@dataclass(frozen=True, slots=True)
class _Seen:
    vectors: FaceVectors
    masked: bool


class FaceComparer:
    """Compares pictures. Upper halves are compared where one of the two faces is masked."""

    def __init__(self, detector: FaceDetector, embedders: FaceEmbedders) -> None:
        self._detector = detector
        self._embedders = embedders
        self._seen = lru_cache(_MOST_KEPT)(self._look_at)

    @classmethod
    def from_settings(cls, settings: Settings) -> FaceComparer:
        """A comparer with the models of a box. Raises ModelError."""
        return cls(detector_from(settings), embedders_from(settings))

    def compare(self, first: Path, second: Path) -> Comparison:
        """Compare the faces of two pictures. Raises PictureUnreadable, FaceUnfit (not one face, or not comparable)."""
        one, other = self._seen(first), self._seen(second)
        masked = (one.masked, other.masked)
        if not any(masked):
            score = float(one.vectors.whole @ other.vectors.whole)
            return Comparison(score, masked, self._embedders.whole.threshold)
        upper = self._upper()
        assert one.vectors.upper is not None  # noqa: S101 - `upper` computed both
        assert other.vectors.upper is not None  # noqa: S101
        return Comparison(float(one.vectors.upper @ other.vectors.upper), masked, upper.threshold)

    def _upper(self) -> FaceEmbedder:
        if self._embedders.upper is None:
            raise FaceUnfit(
                f"模型 {self._embedders.whole.name} 不能比对戴口罩的人脸。"
                f"The pack {self._embedders.whole.name} cannot compare masked faces."
            )
        return self._embedders.upper

    def _look_at(self, path: Path) -> _Seen:
        image = shrink(read_picture(path), LONG_SIDE_PX)
        face = main_face(find_faces_closely(self._detector, image))
        if isinstance(face, Flaw):
            raise FaceUnfit(f"{path}: {face.sentence}")
        if face.landmarks is None:
            raise FaceUnfit(f"{path}: {Flaw.NO_FACE.sentence}")
        return _Seen(self._embedders.embed(image, face.landmarks), not is_unmasked(face))


def compare_to_dict(comparer: FaceComparer, first: Path, second: Path) -> dict[str, object]:
    """The comparison as values for JSON, or its `error`."""
    pair = {"a": str(first), "b": str(second)}
    try:
        found = comparer.compare(first, second)
    except (PictureUnreadable, FaceUnfit) as exc:
        return {**pair, "error": str(exc)}
    return {
        **pair,
        "score": round(found.score, 4),
        "masked": list(found.masked),
        "threshold": found.threshold,
        "same": found.same,
    }


def read_pairs(path: Path) -> list[tuple[Path, Path]]:
    """The pairs of a list, one `A<TAB>B` a line; empty lines are skipped. Raises PairsUnreadable."""
    try:
        lines = decode_text(path.read_bytes()).splitlines()
    except (OSError, NotText) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else exc
        raise PairsUnreadable(f"{path}: 无法读取。Cannot be read: {reason}") from exc
    pairs = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        first, _, second = line.partition("\t")
        if not first or not second or "\t" in second:
            raise PairsUnreadable(
                f"{path}，第 {number} 行：须为两个文件名，以制表符分隔。"
                f"Line {number}: two files with a tab between them."
            )
        pairs.append((Path(first), Path(second)))
    return pairs

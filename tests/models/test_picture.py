from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.detections import Face, FaceDetector, MaskScores
from models.detectors.face import make_detector
from models.detectors.inspect_picture import inspect_picture
from models.errors import PictureUnreadable
from models.picture import read_picture
from models.picture_size import stated_size
from tests.drawn import bare_face
from tests.models.fakes import steady

HEADS = {b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF....WEBPVP8 ", b"RIFF....WEBPVP8X", b"BM", b"GIF89a"}


def encoded(kind: str, width: int = 40, height: int = 30) -> bytes:
    picture = np.random.default_rng(1).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return cv2.imencode(kind, picture)[1].tobytes()


@pytest.mark.parametrize("kind", [".jpg", ".png", ".webp", ".bmp", ".gif"])
def test_the_stated_size_is_the_decoded_one(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"photo{kind}"
    path.write_bytes(encoded(kind))
    assert stated_size(path.read_bytes()) == (40, 30)
    assert read_picture(path).shape == (30, 40, 3)


@pytest.mark.parametrize("kind", [".jpg", ".png", ".webp", ".bmp", ".gif"])
def test_a_truncated_header_states_nothing(kind: str) -> None:
    data = encoded(kind)
    for length in range(10):
        assert stated_size(data[:length]) is None


@steady
@given(st.sampled_from(sorted(HEADS)), st.binary(max_size=60))
def test_any_head_is_read_or_states_nothing(head: bytes, rest: bytes) -> None:
    size = stated_size(head + rest)
    assert size is None or min(size) >= 0


def test_a_photo_taken_sideways_is_turned_upright(tmp_path: Path) -> None:
    jpeg = encoded(".jpg")
    # EXIF with one entry: orientation (0x0112) 6, "turn a quarter clockwise"
    tiff = b"MM\x00\x2a\x00\x00\x00\x08\x00\x01" + struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0) + b"\x00" * 4
    exif = b"Exif\x00\x00" + tiff
    path = tmp_path / "sideways.jpg"
    path.write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:])
    assert read_picture(path).shape == (40, 30, 3)


def bomb() -> bytes:
    """A PNG whose header states 60,000 x 60,000 pixels."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"dear diary", "not a picture"),
        (b"", "empty"),
        (bomb(), "60000 x 60000"),
        (encoded(".png")[:50], "not a picture"),
    ],
)
def test_an_unreadable_picture_is_reported_with_the_reason(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "diary.txt"
    path.write_bytes(content)
    with pytest.raises(PictureUnreadable, match=rf"diary\.txt: .*{why}"):
        read_picture(path)


def test_folders_and_missing_files_are_reported(tmp_path: Path) -> None:
    with pytest.raises(PictureUnreadable, match="not a file"):
        read_picture(tmp_path)
    with pytest.raises(PictureUnreadable, match="no such file"):
        read_picture(tmp_path / "nowhere.jpg")


class OneFace:
    """Detects the same face in every picture."""

    name = "one"

    def __init__(self, mask: MaskScores | None) -> None:
        self.mask = mask

    def detect(self, image: np.ndarray) -> list[Face]:
        return [Face((1.25, 2, 3, 4), 0.98765, np.full((5, 2), 2.5, np.float32), self.mask)]


def test_inspect_lists_the_faces(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(encoded(".png"))
    detector: FaceDetector = OneFace(MaskScores(0.1, 0.7, 0.2))
    seen = json.loads(json.dumps(inspect_picture(detector, path)))
    assert seen == {
        "image": path.name,
        "width": 40,
        "height": 30,
        "faces": [
            {
                "box": [1.2, 2, 3, 4],
                "score": 0.9877,
                "landmarks": [[2.5, 2.5]] * 5,
                "mask": "incorrect",
                "mask_scores": {"correct": 0.1, "incorrect": 0.7, "none": 0.2},
            }
        ],
    }


def test_inspect_without_a_mask_state(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(encoded(".png"))
    faces = inspect_picture(OneFace(None), path)["faces"]
    assert isinstance(faces, list)
    assert (faces[0]["mask"], faces[0]["mask_scores"]) == (None, {})


def test_inspect_with_a_real_network(shared_weights: Path, tmp_path: Path) -> None:
    detector = make_detector("yunet", weights=shared_weights / "yunet_n_dynamic.onnx")
    cv2.imwrite(str(tmp_path / "face.png"), bare_face())
    seen = inspect_picture(detector, tmp_path / "face.png")
    assert (seen["width"], seen["height"]) == (640, 480)
    assert isinstance(seen["faces"], list)
    assert len(seen["faces"]) == 1
    assert len(seen["faces"][0]["landmarks"]) == 5

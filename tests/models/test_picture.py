from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.detections import Face, FaceDetector, MaskScores, MaskState
from models.detectors.face import make_detector
from models.detectors.inspect_picture import inspect_picture
from models.detectors.upright import TurnLook
from models.errors import PictureUnreadable
from models.picture import MAX_FILE_BYTES, decode_picture, read_picture
from tests.drawn import bare_face

KINDS = [".jpg", ".png", ".webp", ".bmp", ".gif"]


def encoded(kind: str, width: int = 40, height: int = 30) -> bytes:
    picture = np.random.default_rng(1).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return cv2.imencode(kind, picture)[1].tobytes()


def test_a_photo_taken_sideways_is_turned_upright(tmp_path: Path) -> None:
    jpeg = encoded(".jpg")
    # EXIF with one entry: orientation (0x0112) 6, "turn a quarter clockwise"
    tiff = b"MM\x00\x2a\x00\x00\x00\x08\x00\x01" + struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0) + b"\x00" * 4
    exif = b"Exif\x00\x00" + tiff
    path = tmp_path / "sideways.jpg"
    path.write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:])
    assert read_picture(path).shape == (40, 30, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_picture_of_every_accepted_kind_is_read(kind: str) -> None:
    assert decode_picture(encoded(kind), "photo").shape == (30, 40, 3)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"dear diary", "not a picture of an accepted kind"),
        (b"", "empty"),
        (encoded(".png")[:20], "the header of the PNG is cut off"),
        *(
            (encoded(kind, 64, 64), "not a picture of an accepted kind")
            for kind in (".tiff", ".jp2", ".ppm", ".ras", ".avif")
        ),
    ],
)
def test_an_unreadable_picture_is_reported_with_the_reason(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "diary.txt"
    path.write_bytes(content)
    with pytest.raises(PictureUnreadable, match=rf"diary\.txt: .*{why}"):
        read_picture(path)


def bombs() -> dict[str, bytes]:
    """Small files that state 60,000 x 60,000 pixels, or pixels and scans that would keep the decoder busy."""
    side = 60_000
    png = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    jpeg = bytearray(encoded(".jpg"))
    frame = jpeg.find(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", side, side)
    progressive = cv2.imencode(".jpg", bare_face(), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    last_scan = progressive[progressive.rfind(b"\xff\xda") : -2]
    return {
        "PNG": b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + png + struct.pack(">I", zlib.crc32(png)),
        "JPEG": bytes(jpeg),
        "JPEG with stray bytes in its head": bytes(jpeg[:frame] + b"\x00stray" + jpeg[frame:]),
        "JPEG with fill bytes in its head": bytes(jpeg[:2] + b"\xff" * 9 + jpeg[2:]),
        "JPEG with a picture in its head": bytes(
            jpeg[:2] + b"\xff\xe1" + struct.pack(">H", 2 + 631) + encoded(".jpg")[:631] + jpeg[2:]
        ),
        "JPEG of many scans": progressive[:-2] + last_scan * 200 + b"\xff\xd9",
        "GIF": b"GIF89a" + struct.pack("<HH", side, side) + bytes(20),
        "BMP": b"BM" + bytes(8) + struct.pack("<IIiiHHI", 54, 40, side, -side, 1, 24, 0) + bytes(40),
        "old BMP": b"BM" + bytes(8) + struct.pack("<IIHHHH", 26, 12, side, side, 1, 24) + bytes(40),
        "WebP": b"RIFF"
        + struct.pack("<I", 30)
        + b"WEBPVP8X"
        + struct.pack("<II", 10, 0)
        + b"\x5f\xea\x00" * 2
        + bytes(9),
    }


@pytest.mark.parametrize("kind", bombs())
def test_a_bomb_of_any_kind_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(cv2, "imdecode", None)  # a call raises TypeError
    with pytest.raises(PictureUnreadable, match=r"exceed the limit of \d+ million|more than 64 scans|damaged"):
        decode_picture(bombs()[kind], "bomb")
    if "stray" not in kind:
        with pytest.raises(PictureUnreadable, match=r"exceed the limit of \d+ million|more than 64 scans"):
            decode_picture(bombs()[kind], "bomb", even_damaged=True)


def test_a_gif_is_limited_to_half_the_pixels_because_its_decoder_takes_twice_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cv2, "imdecode", None)
    gif = b"GIF89a" + struct.pack("<HH", 8000, 5000) + bytes(20)
    with pytest.raises(PictureUnreadable, match="exceed the limit of 32 million"):
        decode_picture(gif, "bomb")


def test_a_large_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(PictureUnreadable, match="MiB exceed the limit of 128 MiB"):
        read_picture(path)


def portrait_jpeg(*options: int) -> bytes:
    return cv2.imencode(".jpg", bare_face(), options)[1].tobytes()


def overwritten(data: bytes, junk: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + junk + data[middle + len(junk) :]


def without_restart(data: bytes) -> bytes:
    """`data` without one of its restart markers and what follows it up to the next."""
    first = data.find(b"\xff\xd3")
    return data[:first] + data[data.find(b"\xff\xd4", first) :]


RESTARTS = (cv2.IMWRITE_JPEG_RST_INTERVAL, 8)
DAMAGED = {
    "cut at 40 %": portrait_jpeg()[: len(portrait_jpeg()) * 2 // 5],
    "cut, with an end": portrait_jpeg()[: len(portrait_jpeg()) * 2 // 5] + b"\xff\xd9",
    "without its last two bytes": portrait_jpeg()[:-2],
    "zeros in the middle": overwritten(portrait_jpeg(), bytes(60)),
    "text in the middle": overwritten(portrait_jpeg(), b"503 Service Unavailable" * 4),
    "without a restart interval": without_restart(portrait_jpeg(*RESTARTS)),
    "progressive, cut": portrait_jpeg(cv2.IMWRITE_JPEG_PROGRESSIVE, 1)[:9000],
    "PNG, cut": cv2.imencode(".png", bare_face())[1].tobytes()[:90_000],
    "PNG, one bit": overwritten(cv2.imencode(".png", bare_face())[1].tobytes(), b"\x00\x01"),
    "WebP, cut": cv2.imencode(".webp", bare_face())[1].tobytes()[:6000],
    "BMP, cut": cv2.imencode(".bmp", bare_face())[1].tobytes()[:500_000],
    "GIF, cut": cv2.imencode(".gif", bare_face())[1].tobytes()[:30_000],
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_picture_is_refused_and_called_damaged(data: bytes) -> None:
    with pytest.raises(PictureUnreadable, match=r"^photo: 图片已损坏 damaged picture: "):
        decode_picture(data, "photo")


def test_what_is_left_of_a_damaged_picture_can_be_searched_for_faces() -> None:
    assert decode_picture(DAMAGED["cut at 40 %"], "photo", even_damaged=True).shape == (480, 640, 3)


def test_intact_pictures_with_restart_markers_or_trailing_bytes_are_read() -> None:
    for data in (portrait_jpeg(*RESTARTS), portrait_jpeg() + b"trailing" * 100, portrait_jpeg(2, 1)):
        assert decode_picture(data, "photo").shape == (480, 640, 3)


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


def banded(colour: tuple[int, int, int]) -> np.ndarray:
    picture = bare_face()
    picture[230:] = colour
    return picture


def shifted() -> np.ndarray:
    """The colours as after a bit error in a JPEG: shifted from one block on."""
    picture = bare_face().astype(np.int16)
    picture[208:, 300:] += (40, 0, -30)
    picture[224:, :300] += (40, 0, -30)
    return picture.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("picture", "damage"),
    [
        (banded((128, 128, 128)), "a band of the picture was not decoded"),
        (banded((0, 135, 0)), "a band of the picture was not decoded"),
        (banded((0, 255, 0)), "a band of the picture was not decoded"),
        (shifted(), "the colours of a part of the picture are shifted"),
    ],
    ids=["grey", "green", "bright green", "shifted"],
)
def test_no_mask_is_classified_in_a_picture_with_traces_of_damage(
    tmp_path: Path, picture: np.ndarray, damage: str
) -> None:
    path = tmp_path / "photo.jpg"
    cv2.imwrite(str(path), picture)
    seen = inspect_picture(OneFace(MaskScores(0.9, 0.05, 0.05)), path)
    assert seen["damage"] == damage
    assert isinstance(seen["faces"], list)
    assert [face["mask"] for face in seen["faces"]] == [None]


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (200, 120, 60)])
def test_bars_and_coloured_backgrounds_are_no_damage(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    path = tmp_path / "photo.jpg"
    cv2.imwrite(str(path), banded(colour))
    assert "damage" not in inspect_picture(OneFace(MaskScores(0.9, 0.05, 0.05)), path)


class OnItsHead:
    """A probe that finds every face on its head."""

    def look(self, image: np.ndarray, face: Face) -> TurnLook:
        return TurnLook(0.1, 180, MaskState.NONE)


def test_no_face_on_its_head_counts_as_masked(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(encoded(".png"))
    for masks, expected in ((MaskScores(0.9, 0.05, 0.05), None), (MaskScores(0.05, 0.05, 0.9), "none")):
        seen = inspect_picture(OneFace(masks), path, OnItsHead())
        assert isinstance(seen["faces"], list)
        assert [face["mask"] for face in seen["faces"]] == [expected]
        assert seen.get("turned") == (180 if expected is None else None)


class FoundWhenTurned(OneFace):
    """Finds its face more surely in a picture that is higher than wide."""

    def detect(self, image: np.ndarray) -> list[Face]:
        score = 0.9 if image.shape[0] > image.shape[1] else 0.5
        return [Face((1.25, 2, 3, 4), score, None, self.mask)]


class Unsure:
    """A probe to which every face looks upright."""

    def look(self, image: np.ndarray, face: Face) -> TurnLook:
        return TurnLook(-0.3, 180, MaskState.NONE)


def test_a_picture_whose_face_is_found_only_when_it_is_turned_has_no_mask(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(encoded(".png"))
    seen = inspect_picture(FoundWhenTurned(MaskScores(0.9, 0.05, 0.05)), path, Unsure())
    assert seen["turned"] == 90
    assert isinstance(seen["faces"], list)
    assert [face["mask"] for face in seen["faces"]] == [None]
    assert "turned" not in inspect_picture(OneFace(MaskScores(0.9, 0.05, 0.05)), path, Unsure())


def test_inspect_with_a_real_network(shared_weights: Path, tmp_path: Path) -> None:
    detector = make_detector("yunet", weights=shared_weights / "yunet_n_dynamic.onnx")
    cv2.imwrite(str(tmp_path / "face.png"), bare_face())
    seen = inspect_picture(detector, tmp_path / "face.png")
    assert (seen["width"], seen["height"]) == (640, 480)
    assert isinstance(seen["faces"], list)
    assert len(seen["faces"]) == 1
    assert len(seen["faces"][0]["landmarks"]) == 5

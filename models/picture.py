"""Reads pictures from files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.errors import PictureUnreadable
from models.imaging.errors import PictureDamaged, PictureError, PictureTooLarge
from models.imaging.header import PictureKind, check_whole, picture_kind, picture_size
from models.imaging.jpeg import check_jpeg, check_limits

#: decoding takes up to 370 MB for 64 megapixels, twice as much for a GIF; a small file can state far more
MAX_PIXELS = 64_000_000
MAX_FILE_BYTES = 128 * 1024 * 1024
_JPEG_END = b"\xff\xd9"


def read_picture(path: Path) -> NDArray[np.uint8]:
    """(h, w, 3) uint8 BGR, rotated upright by its EXIF orientation. Raises PictureUnreadable with file and reason."""
    return decode_picture(_read_bytes(path), str(path))


def decode_picture(data: bytes, name: str, *, even_damaged: bool = False) -> NDArray[np.uint8]:
    """As `read_picture`, from `data`; trailing data is ignored. Raises PictureUnreadable with `name`.

    `even_damaged`: what can be decoded of a damaged picture, without its missing parts.
    """
    try:
        _check_size(data)
        if not even_damaged:
            _check_whole(data)
        picture = cv2.imdecode(np.frombuffer(_ended(data) if even_damaged else data, np.uint8), cv2.IMREAD_COLOR)
    except PictureDamaged as exc:
        raise PictureUnreadable(f"{name}: 图片已损坏 damaged picture: {exc}") from exc
    except PictureError as exc:
        raise PictureUnreadable(f"{name}: {exc}") from exc
    except cv2.error as exc:
        raise PictureUnreadable(f"{name}: 图片已损坏 damaged picture: {exc.err}") from exc
    if picture is None:
        raise PictureUnreadable(f"{name}: 图片已损坏 damaged picture: it cannot be decoded")
    return np.asarray(picture, np.uint8)


def _check_size(data: bytes) -> None:
    """Raises PictureError for a picture that is not accepted, or that the decoder would make too large."""
    width, height = picture_size(data)
    most_pixels = MAX_PIXELS // 2 if picture_kind(data) is PictureKind.GIF else MAX_PIXELS
    if width * height > most_pixels:
        raise PictureTooLarge(f"{width} x {height} pixels exceed the limit of {most_pixels // 10**6} million")
    if picture_kind(data) is PictureKind.JPEG:
        check_limits(data, MAX_PIXELS)


def _check_whole(data: bytes) -> None:
    """Raises PictureDamaged for a picture of which a part is missing or altered."""
    check_whole(data)
    if picture_kind(data) is PictureKind.JPEG:
        check_jpeg(data, MAX_PIXELS)


def _ended(data: bytes) -> bytes:
    """`data` with an end: OpenCV decodes a JPEG that is cut off, but not one without its end."""
    return data + _JPEG_END if picture_kind(data) is PictureKind.JPEG else data


def shrink(image: NDArray[np.uint8], long_side_px: int) -> NDArray[np.uint8]:
    """`image` scaled down so that its longer side is at most `long_side_px`; a smaller image is returned unchanged."""
    scale = long_side_px / max(image.shape[:2])
    if scale >= 1:
        return image
    return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def _read_bytes(path: Path) -> bytes:
    try:
        if not path.exists():
            raise PictureUnreadable(f"{path}: no such file")
        if not path.is_file():
            raise PictureUnreadable(f"{path}: not a file")
        size = path.stat().st_size
        if size == 0:
            raise PictureUnreadable(f"{path}: the file is empty")
        if size > MAX_FILE_BYTES:
            raise PictureUnreadable(f"{path}: {size // 2**20} MiB exceed the limit of {MAX_FILE_BYTES // 2**20} MiB")
        return path.read_bytes()
    except OSError as exc:
        raise PictureUnreadable(f"{path}: {exc.strerror}") from exc

"""Reads pictures from files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.errors import PictureUnreadable
from models.picture_size import stated_size

#: decoded, 64 megapixels take 192 MB; a small file can state far more
MAX_PIXELS = 64_000_000
MAX_FILE_BYTES = 128 * 1024 * 1024


def read_picture(path: Path) -> NDArray[np.uint8]:
    """(h, w, 3) uint8 BGR, rotated upright by its EXIF orientation. Raises PictureUnreadable with file and reason."""
    return decode_picture(_read_bytes(path), str(path))


def decode_picture(data: bytes, name: str) -> NDArray[np.uint8]:
    """As `read_picture`, from `data`; trailing data is ignored. Raises PictureUnreadable with `name`."""
    width, height = stated_size(data) or (0, 0)
    if width * height > MAX_PIXELS:
        raise PictureUnreadable(f"{name}: {width} x {height} pixels exceed the limit of {MAX_PIXELS // 10**6} million")
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as exc:
        raise PictureUnreadable(f"{name}: damaged picture ({exc.err})") from exc
    if picture is None:
        raise PictureUnreadable(f"{name}: not a picture, or of an unsupported format")
    return np.asarray(picture, np.uint8)


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

"""Decodes JPEG with libjpeg-turbo and refuses what it could decode only in part."""

from __future__ import annotations

import re

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from models.imaging.errors import PictureDamaged, PictureTooLarge

Image = NDArray[np.uint8]

#: Some USB cameras send a few bytes too many before a marker, in every picture. libjpeg-turbo reports it as damage.
MOST_EXTRANEOUS_BYTES = 8
#: Encoders write up to 12 scans. Each scan of a progressive picture costs one pass over all its blocks.
MOST_SCANS = 64

_EXTRANEOUS = re.compile(r"(\d+) extraneous bytes before marker")
_MARKER_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # not a stuffed byte, a restart marker or a fill byte
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA


def jpeg_size(data: bytes) -> tuple[int, int]:
    """Width and height that the decoder will produce. Raises PictureDamaged."""
    height, width, _, _ = _header(data)
    return width, height


def decode_jpeg(data: bytes, most_pixels: int) -> Image:
    """(h, w, 3) BGR; bytes after the end of the picture are ignored. Raises PictureDamaged, PictureTooLarge."""
    check_limits(data, most_pixels)
    return _decode(data, "BGR")


def check_jpeg(data: bytes, most_pixels: int) -> None:
    """Decode at an eighth of the size, which reads every byte. Raises PictureDamaged, PictureTooLarge."""
    check_limits(data, most_pixels)
    colours = "CMYK" if _header(data)[2] in ("CMYK", "YCCK") else "GRAY"
    _decode(data, colours, min_height=1, min_width=1, min_factor=8)


def check_limits(data: bytes, most_pixels: int) -> None:
    """Raise PictureTooLarge by the header and the number of scans, before anything is decoded; PictureDamaged."""
    width, height = jpeg_size(data)
    if width * height > most_pixels:
        raise PictureTooLarge(f"{width} x {height} pixels exceed the limit of {most_pixels // 10**6} million")
    if scan_count(data) > MOST_SCANS:
        raise PictureTooLarge(f"the picture has more than {MOST_SCANS} scans")


def scan_count(data: bytes) -> int:
    """Number of scans up to the end of the picture; at most MOST_SCANS + 1 are counted."""
    at, count = 2, 0
    while count <= MOST_SCANS and (found := _MARKER_AFTER_SCAN.search(data, at)):
        marker, at = data[found.start() + 1], found.end()
        if marker == _EOI:
            break
        count += marker == _SOS
        if marker != _SOI:
            at += int.from_bytes(data[at : at + 2])
    return count


def _header(data: bytes) -> tuple[int, int, str, str]:
    try:
        height, width, colours, subsampling = simplejpeg.decode_jpeg_header(data, strict=False)
    except (ValueError, KeyError) as exc:  # KeyError: of an unknown number of components
        raise PictureDamaged(f"its header cannot be read: {exc}") from exc
    return int(height), int(width), colours, subsampling


def _decode(data: bytes, colours: str, **scale: int) -> Image:
    try:
        return np.asarray(simplejpeg.decode_jpeg(data, colours, **scale), np.uint8)
    except ValueError as exc:
        extraneous = _EXTRANEOUS.search(str(exc))
        if extraneous is None or int(extraneous[1]) > MOST_EXTRANEOUS_BYTES:
            raise PictureDamaged(str(exc)) from exc
    try:
        return np.asarray(simplejpeg.decode_jpeg(data, colours, strict=False, **scale), np.uint8)
    except ValueError as exc:
        raise PictureDamaged(str(exc)) from exc

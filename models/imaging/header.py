"""Reads kind and size of a picture file from its header, before it is decoded, and checks that the file is whole.

Only the kinds listed here are accepted: for each, the size in the header is what the decoder will produce. OpenCV also
decodes TIFF, JPEG 2000, AVIF, PNM, HDR and others, each with headers of its own that may state anything.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from enum import StrEnum

from models.imaging.errors import NotAPicture, PictureDamaged
from models.imaging.jpeg import jpeg_size

Size = tuple[int, int]


class PictureKind(StrEnum):
    """Accepted kinds."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WebP"
    BMP = "BMP"
    GIF = "GIF"


ACCEPTED = ", ".join(PictureKind)
_PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"


def picture_kind(data: bytes) -> PictureKind:
    """The kind by the first bytes. Raises NotAPicture."""
    if data[4:8] == b"ftyp":  # OpenCV tries AVIF first
        raise NotAPicture(f"not a picture of an accepted kind ({ACCEPTED})")
    if data.startswith(b"\xff\xd8\xff"):
        return PictureKind.JPEG
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return PictureKind.PNG
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return PictureKind.WEBP
    if data.startswith((b"GIF87a", b"GIF89a")):
        return PictureKind.GIF
    if data.startswith(b"BM"):
        return PictureKind.BMP
    raise NotAPicture(f"not a picture of an accepted kind ({ACCEPTED})")


def picture_size(data: bytes) -> Size:
    """Width and height that the decoder will produce. Raises NotAPicture, PictureDamaged."""
    kind = picture_kind(data)
    try:
        width, height = _SIZES[kind](data)
    except struct.error as exc:
        raise PictureDamaged(f"the header of the {kind} is cut off") from exc
    if width < 1 or height < 1:
        raise NotAPicture(f"the header of the {kind} is not valid")
    return width, height


def check_whole(data: bytes) -> None:
    """Raise PictureDamaged for a PNG, WebP or BMP that is cut off, or a PNG with a wrong checksum.

    A JPEG is checked by decoding it, a GIF by its decoder.
    """
    kind = picture_kind(data)
    try:
        _CHECKS.get(kind, picture_size)(data)
    except struct.error as exc:
        raise PictureDamaged(f"the header of the {kind} is cut off") from exc


def _png_size(data: bytes) -> Size:
    length, kind, width, height = struct.unpack_from(">I4sII", data, 8)
    if (length, kind) != (13, b"IHDR"):
        raise NotAPicture("the header of the PNG is not valid")
    return width, height


def _webp_size(data: bytes) -> Size:
    kind = data[12:16]
    if kind == b"VP8X":
        _flags, width, height = struct.unpack_from("<I3s3s", data, 20)
        return 1 + int.from_bytes(width, "little"), 1 + int.from_bytes(height, "little")
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if len(data) < 16:
        raise PictureDamaged("the header of the WebP is cut off")
    raise NotAPicture("the header of the WebP is not valid")


def _bmp_size(data: bytes) -> Size:
    (header_bytes,) = struct.unpack_from("<I", data, 14)
    if header_bytes == 12:
        return struct.unpack_from("<HH", data, 18)
    if header_bytes < 40:
        raise NotAPicture("the header of the BMP is not valid")
    width, height = struct.unpack_from("<ii", data, 18)
    return width, abs(height)


def _gif_size(data: bytes) -> Size:
    return struct.unpack_from("<HH", data, 6)


def _check_png(data: bytes) -> None:
    at = 8
    while not data.startswith(_PNG_END, at):
        if len(data) - at < 12:
            raise PictureDamaged("the end of the PNG is missing")
        length = int.from_bytes(data[at : at + 4])
        body, checksum = data[at + 4 : at + 8 + length], data[at + 8 + length : at + 12 + length]
        if zlib.crc32(body).to_bytes(4) != checksum:
            raise PictureDamaged("the PNG is cut off or a checksum is wrong")
        at += 12 + length


def _check_webp(data: bytes) -> None:
    if len(data) < 8 + int.from_bytes(data[4:8], "little"):
        raise PictureDamaged("the end of the WebP is missing")


def _check_bmp(data: bytes) -> None:
    (begin,) = struct.unpack_from("<I", data, 10)
    width, height = _bmp_size(data)
    depth_at = 24 if data[14] == 12 else 28
    (bits,) = struct.unpack_from("<H", data, depth_at)
    compressed = data[14] != 12 and struct.unpack_from("<I", data, 30)[0] in (1, 2)
    if not compressed and len(data) < begin + height * ((width * bits + 31) // 32 * 4):
        raise PictureDamaged("the end of the BMP is missing")


_SIZES: Mapping[PictureKind, Callable[[bytes], Size]] = {
    PictureKind.JPEG: jpeg_size,
    PictureKind.PNG: _png_size,
    PictureKind.WEBP: _webp_size,
    PictureKind.BMP: _bmp_size,
    PictureKind.GIF: _gif_size,
}
_CHECKS: Mapping[PictureKind, Callable[[bytes], object]] = {
    PictureKind.PNG: _check_png,
    PictureKind.WEBP: _check_webp,
    PictureKind.BMP: _check_bmp,
}

"""Recordings: the raw bytes of a device with their times, in a file.

Format: `SENTINEL-RECORDING 1`, a space, one JSON object (driver, port) and a newline; then per piece read: seconds
since the start (float64, little-endian), length (uint32, little-endian) and the bytes.
A file without this header is read as raw bytes without times.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from drivers.errors import BadSetting

MAGIC = b"SENTINEL-RECORDING 1 "
PIECE = struct.Struct("<dI")
CAP_BYTES = 256 * 1024 * 1024  # five hours of the fastest sensor
HEAD_CAP_BYTES = 4096
PIECE_CAP_BYTES = 1024 * 1024
BARE_PIECE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes read together, `at_s` seconds after the start; `at_s` is 0 for raw bytes without times."""

    at_s: float
    data: bytes


class Recorder:
    """Writes a new recording, readable by its owner only, because the bytes of a reader are personal data.

    An empty recording leaves no file. Raises BadSetting.
    """

    def __init__(self, path: Path, *, driver: str, port: str) -> None:
        self.recorded_bytes = 0
        self._path = path
        head = {"driver": driver, "port": port}
        try:
            self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0)
            self._file.write(MAGIC + json.dumps(head).encode() + b"\n")
        except FileExistsError as exc:
            raise BadSetting(f"{path} already exists; accepted: a new file") from exc
        except OSError as exc:
            raise BadSetting(f"cannot write {path}: {exc.strerror}") from exc

    def write(self, data: bytes, at_s: float) -> None:
        """Append a piece. Raises BadSetting when the file reaches its limit or cannot be written."""
        if self.recorded_bytes + len(data) > CAP_BYTES:
            raise BadSetting(f"the recording has reached its limit of {CAP_BYTES // 1024**2} MiB")
        try:
            self._file.write(PIECE.pack(at_s, len(data)) + data)
        except OSError as exc:
            raise BadSetting(f"cannot write the recording: {exc.strerror}") from exc
        self.recorded_bytes += len(data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        if not self.recorded_bytes:
            self._path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording to replay; `driver` is "" for raw bytes."""

    path: Path
    driver: str
    is_bare: bool

    def pieces(self) -> Iterator[Piece]:
        """The pieces in order; an incomplete last piece is omitted. Raises BadSetting for a damaged file."""
        with _opened(self.path) as file:
            if self.is_bare:
                while data := file.read(BARE_PIECE_BYTES):
                    yield Piece(0.0, data)
                return
            file.readline(HEAD_CAP_BYTES)
            begun_s = 0.0
            while len(head := file.read(PIECE.size)) == PIECE.size:
                at_s, size = PIECE.unpack(head)
                if size > PIECE_CAP_BYTES:
                    raise BadSetting(f"{self.path} is damaged: a piece of {size} bytes")
                if not begun_s <= at_s < math.inf:
                    raise BadSetting(f"{self.path} is damaged: a piece of second {at_s} after second {begun_s}")
                data = file.read(size)
                if len(data) < size:
                    return
                begun_s = at_s
                yield Piece(at_s, data)


def open_recording(path: Path) -> Recording:
    """The recording at `path`, or its raw bytes. Raises BadSetting when it cannot be read."""
    with _opened(path) as file:
        head = file.readline(HEAD_CAP_BYTES)
    if not head.startswith(MAGIC):
        return Recording(path, "", is_bare=True)
    try:
        return Recording(path, str(json.loads(head.removeprefix(MAGIC))["driver"]), is_bare=False)
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        raise BadSetting(f"{path} is damaged: its header cannot be read") from exc


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The file opened for reading. Raises BadSetting when it cannot be opened or read."""
    try:
        with path.open("rb") as file:
            yield file
    except OSError as exc:
        raise BadSetting(f"cannot read {path}: {exc.strerror}") from exc

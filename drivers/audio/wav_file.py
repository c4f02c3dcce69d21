"""A WAV file that can be appended to and is valid after every write."""

from __future__ import annotations

import struct
from pathlib import Path

from drivers.errors import BadSetting, DeviceLost

HEADER = struct.Struct("<4sI8sIHHIIHH4sI")
CAP_BYTES = 256 * 1024 * 1024  # some 100 minutes of speech; then the file is overwritten from the start


class WavFile:
    """Mono 16-bit WAV at `path`; an existing file of the same rate is continued.

    Raises BadSetting for any other existing file, DeviceLost when the file cannot be written.
    """

    def __init__(self, path: Path, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            self._file = path.open("r+b", buffering=0)
            start = self._file.read(HEADER.size)
            self._data_bytes = HEADER.unpack(start)[-1] if len(start) == HEADER.size else 0
            if not start:
                self._write_header()
        except OSError as exc:
            raise DeviceLost(f"cannot write {path}: {exc.strerror}") from exc
        if start and start != self._header():
            self._file.close()
            raise BadSetting(f"{path} is not such a WAV file; accepted: a new file, or mono 16-bit WAV at {rate_hz} Hz")

    def append(self, samples: bytes) -> None:
        """Append little-endian 16-bit samples. The header is written last and never states more than the data."""
        if self._data_bytes + len(samples) > CAP_BYTES:
            self._data_bytes = 0
            self._write_header()
            self._file.truncate(HEADER.size)
        self._file.seek(HEADER.size + self._data_bytes)
        self._file.write(samples)
        self._data_bytes += len(samples)
        self._write_header()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write_header(self) -> None:
        self._file.seek(0)
        self._file.write(self._header())

    def _header(self) -> bytes:
        size, rate_hz = self._data_bytes, self._rate_hz
        sound = 16, 1, 1, rate_hz, 2 * rate_hz, 2, 16  # chunk length, PCM, channels, rates, bytes per sample, bits
        return HEADER.pack(b"RIFF", HEADER.size - 8 + size, b"WAVEfmt ", *sound, b"data", size)

"""Opus in Ogg, which miniaudio does not read: the only file that knows soundfile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from drivers.errors import BadSetting

_HEAD_BYTES = 64  # the first page of an Ogg stream names its codec after at most so many bytes


def is_opus(path: Path) -> bool:
    """Whether the file begins as Opus in Ogg does. Raises OSError."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    return head.startswith(b"OggS") and b"OpusHead" in head


def read_opus(path: Path, longest_s: float) -> tuple[NDArray[np.int16], int]:
    """The first `longest_s` of the sound, (frames, channels), and its rate in Hz. Raises BadSetting."""
    try:
        with soundfile.SoundFile(path) as sound:
            rate_hz = int(sound.samplerate)
            samples = sound.read(int(longest_s * rate_hz), dtype="int16", always_2d=True)
    except (soundfile.SoundFileError, OSError) as exc:
        raise BadSetting(f"{path} is no Opus that can be read") from exc
    return np.asarray(samples, np.int16), rate_hz

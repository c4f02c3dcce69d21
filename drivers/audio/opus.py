"""Opus in Ogg, which miniaudio does not read: the only module that imports soundfile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from drivers.errors import BadSetting

_HEAD_BYTES = 64  # the first page of an Ogg stream names its codec within this many bytes


def is_opus(path: Path) -> bool:
    """Whether the file starts with an Ogg page of Opus. Raises OSError."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    return head.startswith(b"OggS") and b"OpusHead" in head


def read_opus(path: Path, longest_s: float) -> tuple[NDArray[np.int16], int]:
    """The first `longest_s` seconds, (frames, channels) int16, and the sample rate in Hz. Raises BadSetting."""
    try:
        with soundfile.SoundFile(path) as sound:
            rate_hz = int(sound.samplerate)
            samples = sound.read(int(longest_s * rate_hz), dtype="int16", always_2d=True)
    except (soundfile.SoundFileError, OSError) as exc:
        raise BadSetting(f"{path} cannot be decoded as Opus") from exc
    return np.asarray(samples, np.int16), rate_hz

"""Sound files: decoding, and mixing their channels to one: the only module that imports soundfile.

Channels are mixed here, because libraries mix by the place of a loudspeaker and turned three, five and six channels
into noise. Memory is bounded: a file is read in blocks, twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from drivers.audio.mixer import Samples
from drivers.audio.sound import RATE_HZ, resampled
from drivers.contract import Clip
from drivers.errors import BadSetting

FORMATS = {"WAV", "WAVEX", "OGG", "FLAC", "MP3"}
ACCEPTED = "WAV, Ogg Vorbis, Opus, FLAC, MP3 with at most 8 channels at 8 to 192 kHz"
MOST_CHANNELS = 8
RATES_HZ = (8000, 192_000)
LONGEST_S = 3600.0
BLOCK_FRAMES = 65_536
QUIET_SHARE = 0.01  # of the energy of the loudest channel: 20 dB below it, a channel is left out
CANCELLED_SHARE = 0.25  # of its energy: a mix below that has channels that cancel each other
AUDIBLE_SHARE = 0.01  # of the full amplitude, as root mean square: 40 dB below it
AUDIBLE_S = 0.2  # a shorter sound is a click
WINDOW_S = 0.02

Block = NDArray[np.float32]
Weights = NDArray[np.float32]


def load_clip(path: Path, longest_s: float = LONGEST_S) -> Clip:
    """The first `longest_s` seconds of the sound in `path`, mixed to mono at RATE_HZ. Raises BadSetting.

    The limit is for untrusted files: a small file can expand to hours of silence.
    """
    try:
        with soundfile.SoundFile(path) as sound:
            samples = _mono(sound, longest_s)
    except (soundfile.SoundFileError, OSError) as exc:
        raise BadSetting(f"{path} cannot be decoded; accepted: {ACCEPTED}") from exc
    return Clip(path.stem, samples[: int(longest_s * RATE_HZ)], RATE_HZ)


def is_audible(samples: Samples) -> bool:
    """Whether a person can hear `samples` at RATE_HZ: not silent, too quiet, a click, or a constant."""
    size = int(WINDOW_S * RATE_HZ)
    windows = samples[: len(samples) // size * size].reshape(-1, size).astype(np.float32) / 32768
    loud = int((windows.std(axis=1) >= AUDIBLE_SHARE).sum())
    return loud > 0 and loud >= min(AUDIBLE_S / WINDOW_S, len(windows) / 2)


def _mono(sound: soundfile.SoundFile, longest_s: float) -> Samples:
    rate_hz, channels = int(sound.samplerate), int(sound.channels)
    if sound.format not in FORMATS or channels > MOST_CHANNELS or not RATES_HZ[0] <= rate_hz <= RATES_HZ[1]:
        raise BadSetting(f"{sound.name} is {sound.format}, {channels} channels, {rate_hz} Hz; accepted: {ACCEPTED}")
    most_frames = min(int(sound.frames), int(longest_s * rate_hz))
    weights = np.ones(1, np.float32)
    if channels > 1:
        weights = _weights(_energies(_blocks(sound, most_frames), channels))
        sound.seek(0)
    mixed = [_to_int16(block @ weights) for block in _blocks(sound, most_frames)]
    return resampled(np.concatenate([np.empty(0, np.int16), *mixed]), rate_hz)


def _blocks(sound: soundfile.SoundFile, most_frames: int) -> Iterator[Block]:
    """The frames, (frames, channels) as shares of the full amplitude; NaN counts as silence."""
    left = most_frames
    while left > 0:
        block = sound.read(min(left, BLOCK_FRAMES), dtype="float32", always_2d=True)
        if not len(block):
            return
        left -= len(block)
        yield np.nan_to_num(block, posinf=1.0, neginf=-1.0)


def _energies(blocks: Iterator[Block], channels: int) -> NDArray[np.float64]:
    """The products of every two channels, summed over the sound: from these follows the energy of every mix."""
    energies = np.zeros((channels, channels))
    for block in blocks:
        wide = block.astype(np.float64)
        energies += wide.T @ wide
    return energies


def _weights(energies: NDArray[np.float64]) -> Weights:
    """The mean of the channels that carry sound; the loudest alone where these cancel each other (antiphase)."""
    own = energies.diagonal()
    chosen = own >= QUIET_SHARE * own.max()
    weights = chosen / chosen.sum()
    if weights @ energies @ weights < CANCELLED_SHARE * own.max() / chosen.sum():
        weights = np.arange(len(own)) == own.argmax()
    return np.asarray(weights, np.float32)


def _to_int16(mixed: Block) -> Samples:
    return np.asarray(np.rint(mixed * 32768).clip(-32768, 32767), np.int16)

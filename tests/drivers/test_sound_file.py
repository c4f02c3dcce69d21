"""Any number of channels becomes the one sound that is in them, and what cannot be heard is noticed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from drivers.audio.sound import RATE_HZ
from drivers.audio.sound_file import is_audible, load_clip
from drivers.errors import BadSetting

SECONDS = np.arange(RATE_HZ) / RATE_HZ
TONE = 0.3 * np.sin(2 * np.pi * 440 * SECONDS)
OTHER = 0.3 * np.sin(2 * np.pi * 700 * SECONDS)
SILENCE = np.zeros(RATE_HZ)
FORMATS = [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("FLAC", "PCM_24"), ("OGG", "VORBIS"), ("WAVEX", "PCM_24")]


def mixed(path: Path, *channels: NDArray[np.float64], form: tuple[str, str] = FORMATS[0]) -> NDArray[np.float64]:
    soundfile.write(path, np.stack(channels, axis=1), RATE_HZ, format=form[0], subtype=form[1])
    return load_clip(path).samples / 32768


def level(samples: NDArray[np.float64], hz: float) -> float:
    """Amplitude of the tone of `hz`, without the edges, where codecs differ."""
    inner = samples[RATE_HZ // 10 : RATE_HZ // 10 + RATE_HZ // 2]
    at_s = np.arange(len(inner)) / RATE_HZ
    return float(2 * np.abs(np.mean(inner * np.exp(-2j * np.pi * hz * at_s))))


@pytest.mark.parametrize("form", FORMATS, ids="-".join)
@pytest.mark.parametrize("channels", range(1, 9))
def test_the_same_sound_in_every_channel_is_that_sound(tmp_path: Path, channels: int, form: tuple[str, str]) -> None:
    sound = mixed(tmp_path / "clip", *[TONE] * channels, form=form)
    assert len(sound) == pytest.approx(RATE_HZ, abs=2)
    assert np.abs(sound[1000:20_000] - TONE[1000:20_000]).max() < 0.03


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 6])
def test_opus_in_every_number_of_channels_is_that_sound(tmp_path: Path, channels: int) -> None:
    tone = np.stack([0.3 * np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000)] * channels, axis=1)
    soundfile.write(tmp_path / "clip", tone, 48_000, format="OGG", subtype="OPUS")
    assert level(load_clip(tmp_path / "clip").samples / 32768, 440) == pytest.approx(0.3, rel=0.1)


@pytest.mark.parametrize("place", range(6))
def test_a_sound_in_one_of_six_channels_keeps_its_level(tmp_path: Path, place: int) -> None:
    channels = [SILENCE] * 6
    channels[place] = TONE
    assert level(mixed(tmp_path / "clip", *channels), 440) == pytest.approx(0.3, rel=0.02)


@pytest.mark.parametrize(
    "channels", [(TONE, -TONE), (TONE, -TONE, SILENCE), (TONE, -TONE, TONE, -TONE), (-0.5 * TONE, TONE, -0.5 * TONE)]
)
def test_channels_that_cancel_each_other_are_heard(tmp_path: Path, channels: tuple[NDArray[np.float64], ...]) -> None:
    assert level(mixed(tmp_path / "clip", *channels), 440) == pytest.approx(0.3, rel=0.02)


def test_different_sounds_are_all_heard(tmp_path: Path) -> None:
    sound = mixed(tmp_path / "clip", TONE, OTHER, TONE)
    assert (level(sound, 440), level(sound, 700)) == pytest.approx((0.2, 0.1), rel=0.02)


def test_values_that_are_no_numbers_or_too_large_are_limited(tmp_path: Path) -> None:
    wild = TONE.copy()
    wild[1000:1010] = np.nan
    wild[2000], wild[3000], wild[4000] = np.inf, -np.inf, 7.0
    sound = mixed(tmp_path / "clip", wild, form=("WAV", "FLOAT"))
    assert np.abs(sound).max() <= 1 and not sound[1000:1010].any()


@pytest.mark.parametrize(("channels", "rate_hz"), [(9, RATE_HZ), (64, RATE_HZ), (1, 400), (2, 400_000)])
def test_what_would_take_too_much_memory_is_refused(tmp_path: Path, channels: int, rate_hz: int) -> None:
    soundfile.write(tmp_path / "clip", np.zeros((100, channels)), rate_hz, format="WAV")
    with pytest.raises(BadSetting, match="accepted: WAV"):
        load_clip(tmp_path / "clip")


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "clip", TONE, RATE_HZ, format="AIFF")
    with pytest.raises(BadSetting, match="is AIFF"):
        load_clip(tmp_path / "clip")


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (TONE, True),
        (TONE[: RATE_HZ // 10], True),  # a short beep is a sound
        (np.concatenate([np.zeros(30 * RATE_HZ), TONE]), True),
        (TONE * 10 ** (-25 / 20), True),
        (TONE * 10 ** (-45 / 20), False),
        (SILENCE, False),
        (SILENCE[:0], False),
        (SILENCE + 0.5, False),
        (np.concatenate([TONE[:300], SILENCE]), False),
        (np.random.default_rng(1).normal(0, 10 ** (-55 / 20), RATE_HZ), False),
    ],
)
def test_what_can_be_heard(samples: NDArray[np.float64], expected: bool) -> None:
    assert is_audible((samples * 32767).astype(np.int16)) is expected

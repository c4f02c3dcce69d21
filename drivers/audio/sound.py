"""The sound card and the microphone, and other sample rates: the only module that imports miniaudio."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import miniaudio
import numpy as np

from drivers.audio.mixer import Mixer, Samples, Sink
from drivers.errors import DeviceLost

RATE_HZ = 22050  # rate of the synthesised prompts
CARD_PERIOD_MS = 40
CARDS = [miniaudio.Backend.PULSEAUDIO, miniaudio.Backend.ALSA, miniaudio.Backend.JACK]


def resampled(samples: Samples, rate_hz: int) -> Samples:
    """Mono `samples` of `rate_hz` at RATE_HZ."""
    if rate_hz == RATE_HZ or not len(samples):
        return samples
    signed = miniaudio.SampleFormat.SIGNED16
    converted = miniaudio.convert_frames(signed, 1, rate_hz, samples.tobytes(), signed, 1, RATE_HZ)
    return np.frombuffer(converted, np.int16)


def open_card(mixer: Mixer) -> Sink:
    """Start the default sound card, which pulls from `mixer` until closed. Blocks; raises DeviceLost without a card."""
    if not _may_have_sound_card():
        raise DeviceLost("there is no sound card")
    try:
        card = miniaudio.PlaybackDevice(
            nchannels=1, sample_rate=RATE_HZ, buffersize_msec=CARD_PERIOD_MS, backends=CARDS, app_name="sentinel"
        )
        card.start(_block_generator(mixer))
    except miniaudio.MiniaudioError as exc:
        raise DeviceLost("no sound card can be opened") from exc
    sink: Sink = card
    return sink


def listen(seconds: float) -> Samples:
    """Record `seconds` from the default microphone, mono at RATE_HZ. Blocks; raises DeviceLost without a microphone."""
    if not _may_have_sound_card():
        raise DeviceLost("there is no microphone")
    heard: list[Samples] = []
    try:
        microphone = miniaudio.CaptureDevice(
            nchannels=1, sample_rate=RATE_HZ, buffersize_msec=CARD_PERIOD_MS, backends=CARDS, app_name="sentinel"
        )
        with closing(microphone):
            microphone.start(_collector(heard))
            time.sleep(seconds)
    except miniaudio.MiniaudioError as exc:
        raise DeviceLost("no microphone can be opened") from exc
    if not heard:
        raise DeviceLost("the microphone delivers no data")
    return np.concatenate(heard)


def _collector(heard: list[Samples]) -> Generator[None, bytes, None]:
    """A started generator to which miniaudio sends recorded blocks."""

    def keeping() -> Generator[None, bytes, None]:
        while True:
            heard.append(np.frombuffer((yield), np.int16))

    generator = keeping()
    next(generator)
    return generator


def _may_have_sound_card() -> bool:
    """Whether a sound card can exist; without one, the ALSA library prints many errors to the terminal."""
    if Path("/dev/snd").exists() or "PULSE_SERVER" in os.environ:
        return True
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return runtime is not None and os.access(Path(runtime, "pulse", "native"), os.W_OK)


def _block_generator(mixer: Mixer) -> Generator[Samples, int, None]:
    """A started generator to which miniaudio sends frame counts and which yields samples."""

    def pulling() -> Generator[Samples, int, None]:
        count = yield np.empty(0, np.int16)
        while True:
            count = yield mixer.pull(count).reshape(-1, 1)

    generator = pulling()
    next(generator)
    return generator

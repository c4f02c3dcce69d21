"""Tests the speaker with the microphone: plays a tone and looks for it in a recording."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np

from drivers.audio.mixer import Samples
from drivers.audio.sound import RATE_HZ, listen
from drivers.contract import Clip, Speaker

TONE_HZ = 1000.0
TONE_S = 0.6
LISTEN_S = 2.0  # room noise, the tone, and the latency of the sound card
LOUD = 0.3  # of the full amplitude: audible across the lane, not across the street
LEAST_DB = 15.0  # above the room noise
_BAND_HZ = 20.0
_SLICE_S = 0.1


def tone() -> Clip:
    """The test tone, with faded ends."""
    at_s = np.arange(int(TONE_S * RATE_HZ)) / RATE_HZ
    envelope = np.minimum(1.0, np.minimum(at_s, TONE_S - at_s) / 0.02)
    return Clip("tone", (LOUD * 32767 * envelope * np.sin(2 * np.pi * TONE_HZ * at_s)).astype(np.int16), RATE_HZ)


def tone_over_room_db(recorded: Samples) -> float:
    """Level of the tone above the quietest quarter of the same recording in dB; 0.0 without a tone."""
    length = int(_SLICE_S * RATE_HZ)
    slices = recorded[: len(recorded) // length * length].reshape(-1, length).astype(np.float64)
    if len(slices) < 4:
        return 0.0
    spectrum = np.abs(np.fft.rfft(slices * np.hanning(length), axis=1)) ** 2
    band = np.abs(np.fft.rfftfreq(length, 1 / RATE_HZ) - TONE_HZ) <= _BAND_HZ
    levels = np.sort(spectrum[:, band].sum(axis=1))
    quiet = levels[: len(levels) // 4].mean() + 1.0  # a muted microphone records zeros
    return float(10 * np.log10(levels[-2] / quiet)) if levels[-2] > quiet else 0.0


async def hear(speaker: Speaker, microphone: Callable[[float], Samples] = listen) -> float:
    """Play the tone while recording; returns its level above the room in dB. Raises DeviceLost.

    `microphone` records for the given number of seconds and blocks meanwhile.
    """
    listening = asyncio.create_task(asyncio.to_thread(microphone, LISTEN_S))
    try:
        await asyncio.sleep(LISTEN_S / 4)
        if not listening.done():
            await speaker.play(tone())
        return tone_over_room_db(await listening)
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)

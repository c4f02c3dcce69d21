"""The sound of a broadcast: a chime, then its audio, or its text in every language of the box that it has."""

from __future__ import annotations

import asyncio

import numpy as np
from numpy.typing import NDArray

from config.errors import SettingsError
from config.prompts.speech import speak
from drivers.audio.sound import RATE_HZ
from drivers.audio.sound_file import is_audible, load_clip
from drivers.contract import Clip
from drivers.errors import DriverError
from edge_agent.speech.broadcasts.audio_store import AudioStore
from edge_agent.speech.broadcasts.broadcast import spoken
from edge_agent.speech.broadcasts.errors import NoSound
from sync.contract.orders import Audio, Broadcast

LONGEST_S = 180.0
PEAK = 0.7
_TONES_HZ = (659.3, 523.3)
_TONE_S = 0.35
_PAUSE = np.zeros(int(0.4 * RATE_HZ), np.int16)

Samples = NDArray[np.int16]


def chime() -> Samples:
    """Two soft tones that ask for attention."""
    seconds = np.arange(int(_TONE_S * RATE_HZ)) / RATE_HZ
    fade = np.minimum(1.0, seconds / 0.01) * np.exp(-5 * seconds)
    tones = [np.sin(2 * np.pi * hz * seconds) * fade for hz in _TONES_HZ]
    return _to_int16(np.concatenate(tones).astype(np.float32))


async def make_sound(broadcast: Broadcast, languages: tuple[str, ...], store: AudioStore) -> Clip:
    """What to play, at RATE_HZ and LONGEST_S at most. Raises NoSound."""
    if broadcast.audio is not None:
        parts = [await _recorded(broadcast.audio, store)]
    else:
        parts = await _spoken(broadcast, languages)
    pieces = [chime(), *(piece for part in parts for piece in (_PAUSE, part))]
    return Clip(broadcast.broadcast_id, np.concatenate(pieces)[: int(LONGEST_S * RATE_HZ)], RATE_HZ)


async def _recorded(audio: Audio, store: AudioStore) -> Samples:
    path = await store.file(audio)
    try:
        samples = (await asyncio.to_thread(load_clip, path, LONGEST_S)).samples
    except DriverError as exc:
        raise NoSound("the audio is not in a format that this box can decode") from exc
    if not is_audible(samples):
        raise NoSound("the audio is silent or too quiet to be heard")
    return samples


async def _spoken(broadcast: Broadcast, languages: tuple[str, ...]) -> list[Samples]:
    texts = [(language, broadcast.texts[language]) for language in languages if language in broadcast.texts]
    try:
        parts = [await asyncio.to_thread(_said, spoken(text), language) for language, text in texts]
    except SettingsError as exc:
        raise NoSound(str(exc)) from exc
    audible = [part for part in parts if is_audible(part)]
    if not audible:
        raise NoSound("there is no text that the voice can speak")
    return audible


def _said(text: str, language: str) -> Samples:
    return _to_int16(speak(text, language))


def _to_int16(samples: NDArray[np.float32]) -> Samples:
    peak = float(np.abs(samples).max(initial=0)) or 1.0
    return np.asarray(samples * (PEAK / peak * 32767), np.int16)

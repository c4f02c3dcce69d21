"""Mixes one prompt and one broadcast. The event loop changes them; the thread of a sound card or file pulls samples."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from drivers.contract import Clip

Samples = NDArray[np.int16]

DUCKED_LEVEL = 0.2  # share of its amplitude that a broadcast has below a prompt: 14 dB quieter
FADE_SAMPLES = 1100  # length of a level change: 50 ms at 22050 Hz; a step would be audible as a click
MAX_SAMPLE = 32767


class Sink(Protocol):
    """An output that pulls samples until closed."""

    def close(self) -> None: ...


class SoundSource(Enum):
    """Source of a clip; each source plays one clip at a time."""

    PROMPT = "prompt"  # to one person
    BROADCAST = "broadcast"  # to all people present; continues at a lower level below a prompt


@dataclass(slots=True, eq=False)
class Playing:
    """One clip being played: `started` gets the monotonic second of the first sample, `ended` is set after the last."""

    samples: Samples
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    started: asyncio.Future[float] = field(init=False)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    position: int = 0

    def __post_init__(self) -> None:
        self.started = self.loop.create_future()

    def start(self, at_s: float) -> None:
        """On the event loop: record that the first sample was output."""
        if not self.started.done():
            self.started.set_result(at_s)

    def end(self, at_s: float) -> None:
        """On the event loop: record that the last sample was output, or that the clip was stopped."""
        self.start(at_s)
        self.ended.set()


class Mixer:
    """Holds at most one clip per source and its playback position."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._playing: dict[SoundSource, Playing] = {}
        self._last_pull_s = time.monotonic()
        self._volume = 1.0
        self._broadcast_level = 1.0

    @property
    def volume(self) -> float:
        """Share of the full amplitude."""
        return self._volume

    @volume.setter
    def volume(self, share: float) -> None:
        self._volume = share

    @property
    def idle_s(self) -> float:
        """Seconds since a sink last pulled; a working sink pulls several times a second."""
        return time.monotonic() - self._last_pull_s

    def playing(self, source: SoundSource) -> Playing | None:
        """The current clip of `source`."""
        return self._playing.get(source)

    @property
    def any_playing(self) -> Playing | None:
        """One of the clips being played, None for none."""
        with self._changed:
            return next(iter(self._playing.values()), None)

    def play(self, clip: Clip, source: SoundSource = SoundSource.PROMPT) -> Playing:
        """On the event loop: replace the current clip of `source` by `clip`."""
        playing = Playing(clip.samples)
        with self._changed:
            before = self._playing.pop(source, None)
            self._playing[source] = playing
            self._changed.notify_all()
        if before is not None:
            before.end(time.monotonic())
        return playing

    def stop(self) -> None:
        """On the event loop: stop all clips."""
        with self._changed:
            stopped, self._playing = self._playing, {}
        for playing in stopped.values():
            playing.end(time.monotonic())

    def pull(self, count: int) -> Samples:
        """On the sink's thread: the next `count` samples; silence where nothing is playing."""
        with self._changed:
            self._last_pull_s = now_s = time.monotonic()
            below = self._fade(count)
            if not self._playing:
                return np.zeros(count, np.int16)
            mixed = self._take(SoundSource.PROMPT, count, now_s) + below * self._take(
                SoundSource.BROADCAST, count, now_s
            )
        mixed = np.rint(self._volume * mixed).clip(-MAX_SAMPLE - 1, MAX_SAMPLE)
        block: Samples = mixed.astype(np.int16)
        return block

    def wait_for_clip(self, limit_s: float) -> bool:
        """On the sink's thread: wait at most `limit_s` for a clip; returns whether there is one."""
        with self._changed:
            self._last_pull_s = time.monotonic()
            return self._changed.wait_for(lambda: bool(self._playing), limit_s)

    def _fade(self, count: int) -> NDArray[np.float32]:
        """Levels of the broadcast for the next `count` samples: faded down while a prompt plays, and up again."""
        level = DUCKED_LEVEL if SoundSource.PROMPT in self._playing else 1.0
        steps = np.arange(1, count + 1, dtype=np.float32) * np.float32((1 - DUCKED_LEVEL) / FADE_SAMPLES)
        levels: NDArray[np.float32]
        if self._broadcast_level > level:
            levels = np.maximum(np.float32(level), np.float32(self._broadcast_level) - steps)
        else:
            levels = np.minimum(np.float32(level), np.float32(self._broadcast_level) + steps)
        self._broadcast_level = float(levels[-1]) if count else self._broadcast_level
        return levels

    def _take(self, source: SoundSource, count: int, now_s: float) -> NDArray[np.float32]:
        """The next `count` samples of `source`, padded with silence after its end."""
        block = np.zeros(count, np.float32)
        playing = self._playing.get(source)
        if playing is None:
            return block
        part = playing.samples[playing.position : playing.position + count]
        block[: len(part)] = part
        if playing.position == 0:
            playing.loop.call_soon_threadsafe(playing.start, now_s)
        playing.position += len(part)
        if playing.position >= len(playing.samples):
            del self._playing[source]
            playing.loop.call_soon_threadsafe(playing.end, now_s)
        return block

"""What sounds now: changed from the event loop, pulled by the thread of a sound card or of a file."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from drivers.contract import Clip

Samples = NDArray[np.int16]


class Sink(Protocol):
    """Something that pulls until closed."""

    def close(self) -> None: ...


@dataclass(slots=True, eq=False)
class Playing:
    """One clip on its way: `started` gets the monotonic second of its first sample, `ended` is set after its last."""

    samples: Samples
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    started: asyncio.Future[float] = field(init=False)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    position: int = 0

    def __post_init__(self) -> None:
        self.started = self.loop.create_future()

    def start(self, at_s: float) -> None:
        """On the loop: the first sample is out."""
        if not self.started.done():
            self.started.set_result(at_s)

    def end(self, at_s: float) -> None:
        """On the loop: the last sample is out, or the clip was cut short, perhaps before it sounded."""
        self.start(at_s)
        self.ended.set()


class Playhead:
    """At most one clip, and how far it has sounded."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._playing: Playing | None = None
        self._pulled_s = time.monotonic()

    @property
    def playing(self) -> Playing | None:
        """The clip that sounds now."""
        return self._playing

    @property
    def idle_s(self) -> float:
        """Seconds since a sink last asked: a living one asks several times a second."""
        return time.monotonic() - self._pulled_s

    def play(self, clip: Clip) -> Playing:
        """On the loop: put `clip` in the place of what sounds."""
        playing = Playing(clip.samples)
        self._replace(playing)
        return playing

    def stop(self) -> None:
        """On the loop: cut short what sounds."""
        self._replace(None)

    def pull(self, count: int) -> Samples:
        """On the sink's thread: the next `count` samples, silence where there is nothing to play."""
        block = np.zeros(count, np.int16)
        with self._changed:
            self._pulled_s = now_s = time.monotonic()
            playing = self._playing
            if playing is None:
                return block
            part = playing.samples[playing.position : playing.position + count]
            block[: len(part)] = part
            is_first = playing.position == 0
            playing.position += len(part)
            is_last = playing.position >= len(playing.samples)
            if is_last:
                self._playing = None
        if is_first:
            playing.loop.call_soon_threadsafe(playing.start, now_s)
        if is_last:
            playing.loop.call_soon_threadsafe(playing.end, now_s)
        return block

    def wait_for_clip(self, limit_s: float) -> bool:
        """On the sink's thread: wait until there is something to play, True, or `limit_s` is over, False."""
        with self._changed:
            self._pulled_s = time.monotonic()
            return self._changed.wait_for(lambda: self._playing is not None, limit_s)

    def _replace(self, playing: Playing | None) -> None:
        with self._changed:
            before, self._playing = self._playing, playing
            self._changed.notify_all()
        if before is not None:
            before.end(time.monotonic())

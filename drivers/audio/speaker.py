"""The speaker part: plays on a sound card, into a WAV file, or into nothing."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path

from drivers.audio.mixer import Mixer, Sink, SoundSource
from drivers.audio.sound import RATE_HZ, open_card
from drivers.audio.wav_file import WavFile
from drivers.contract import Clip, Speaker
from drivers.device_health import DeviceHealth, MonitoredDevice
from drivers.errors import BadSetting, DeviceLost

BLOCK_SAMPLES = RATE_HZ // 50
POLL_S = 0.25
STALL_LIMIT_S = 1.0  # a sink that has not pulled for this long is lost
RETRY_S = 1.0

OpenSink = Callable[[Mixer], Sink]


class PacedSink(threading.Thread):
    """Pulls in real time like a sound card, into a file or into nothing. Silence between clips is not written."""

    def __init__(self, mixer: Mixer, file: WavFile | None) -> None:
        super().__init__(name="speaker", daemon=True)
        self._mixer = mixer
        self._file = file
        self._closing = threading.Event()
        self.start()

    def run(self) -> None:
        """Pull until closed. A write error ends the thread; the speaker detects that by the missing pulls."""
        try:
            while not self._closing.is_set():
                if self._mixer.wait_for_clip(POLL_S):
                    self._play_out()
        except OSError:
            self._closing.set()
        finally:
            if self._file is not None:
                self._file.close()

    def close(self) -> None:
        """Stop the thread and wait for it, at most POLL_S."""
        self._closing.set()
        self.join()

    def _play_out(self) -> None:
        due_s = time.monotonic()
        while self._mixer.any_playing is not None and not self._closing.is_set():
            block = self._mixer.pull(BLOCK_SAMPLES)
            if self._file is not None:
                self._file.append(block.astype("<i2").tobytes())
            due_s += BLOCK_SAMPLES / RATE_HZ
            self._closing.wait(max(0.0, due_s - time.monotonic()))


class ClipSpeaker(MonitoredDevice):
    """Plays prompts and broadcasts on the sink that `open_sink` opens; does not block the event loop."""

    def __init__(self, open_sink: OpenSink, volume: float = 1.0) -> None:
        super().__init__(DeviceHealth("speaker"))
        self.device_health.counters.update(clips=0, cut_short=0)
        self._open_sink = open_sink
        self._mixer = Mixer()
        self._is_open = False
        self.set_volume(volume)

    @property
    def volume(self) -> float:
        """Share of the full amplitude, 0 to 1."""
        return self._mixer.volume

    def set_volume(self, share: float) -> None:
        """Set the volume to `share` (0 to 1) from the next block of samples on. Raises BadSetting."""
        if not 0 <= share <= 1:
            raise BadSetting(f"volume {share} is not possible; accepted: 0 to 1")
        self._mixer.volume = share

    async def run(self) -> None:
        """Keep a sink open until cancelled."""
        while True:
            try:
                await self._serve()
            except DeviceLost as exc:
                self.device_health.lost(str(exc))
            await asyncio.sleep(RETRY_S)

    async def play(self, clip: Clip) -> float:
        """Start the prompt `clip`, stopping the current prompt.

        Returns the monotonic second at which the device pulled its first sample. Raises DeviceLost while no device is
        open, BadSetting for a clip whose rate is not RATE_HZ.
        """
        return await self._play(clip, SoundSource.PROMPT)

    async def broadcast(self, clip: Clip) -> float:
        """Start the broadcast `clip`, replacing the current one; it continues at a lower level below a prompt.

        Returns and raises as `play`.
        """
        return await self._play(clip, SoundSource.BROADCAST)

    async def drained(self) -> None:
        """Wait until nothing plays; a lost device also ends the wait."""
        while (playing := self._mixer.any_playing) is not None:
            await playing.ended.wait()

    async def _play(self, clip: Clip, source: SoundSource) -> float:
        if clip.rate_hz != RATE_HZ:
            raise BadSetting(f"clip {clip.name} has {clip.rate_hz} Hz; accepted: {RATE_HZ}")
        if not self._is_open:
            raise DeviceLost("the speaker is not open")
        self.device_health.counters["clips"] += 1
        self.device_health.counters["cut_short"] += self._mixer.playing(source) is not None
        return await self._mixer.play(clip, source).started

    async def _serve(self) -> None:
        sink = await asyncio.to_thread(self._open_sink, self._mixer)
        self._is_open = True
        self.device_health.counters["opened"] += 1
        self.device_health.ok()
        try:
            while True:
                await asyncio.sleep(POLL_S)
                if self._mixer.idle_s > STALL_LIMIT_S:
                    raise DeviceLost("the sound device no longer pulls samples")
        finally:
            self._is_open = False
            self._mixer.stop()
            await asyncio.to_thread(sink.close)


class CardIfAny:
    """Opens the sound card, or `fallback` on a machine without one.

    After a card was opened once, its loss raises DeviceLost instead of switching to the fallback.
    """

    def __init__(self, fallback: OpenSink) -> None:
        self._fallback = fallback
        self._had_card = False

    def __call__(self, mixer: Mixer) -> Sink:
        try:
            card = open_card(mixer)
        except DeviceLost:
            if self._had_card:
                raise
            return self._fallback(mixer)
        self._had_card = True
        return card


def _open_null(mixer: Mixer) -> Sink:
    return PacedSink(mixer, None)


def _wav_opener(path: str) -> OpenSink:
    if not path:
        raise BadSetting("the speaker output wav needs a path; accepted: wav:PATH")
    return lambda mixer: PacedSink(mixer, WavFile(Path(path), RATE_HZ))


OUTPUTS: dict[str, Callable[[str], OpenSink]] = {
    "default": lambda _path: open_card,
    "auto": lambda path: CardIfAny(_wav_opener(path) if path else _open_null),
    "null": lambda _path: _open_null,
    "wav": _wav_opener,
}


def make_speaker(*, output: str = "auto", volume: float = 1.0) -> Speaker:
    """The speaker on `output`: `default` is the card, `wav:PATH` a file, `null` nothing; `volume` from 0 to 1.

    `auto` is the card where there is one, else nothing; `auto:PATH` is the card where there is one, else a WAV file.
    """
    kind, _colon, path = output.partition(":")
    if kind not in OUTPUTS:
        raise BadSetting(f"speaker output {output!r} is not known; accepted: auto, auto:PATH, default, null, wav:PATH")
    return ClipSpeaker(OUTPUTS[kind](path), volume)

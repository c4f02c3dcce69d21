"""Faults between a sensor and its host, on demand: one value per fault, and a wire that applies them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

from drivers.simulated.devices.wire import PtyWire, point


@dataclass(frozen=True, slots=True)
class Garbage:
    """Noise before a frame."""

    most_bytes: int = 24


@dataclass(frozen=True, slots=True)
class Drop:
    """A frame loses bytes."""

    most_bytes: int = 3


@dataclass(frozen=True, slots=True)
class Glue:
    """Several frames arrive in one piece."""

    frames: int = 2


@dataclass(frozen=True, slots=True)
class Late:
    """A frame is split: its rest follows after `by_s`, with nothing in between."""

    by_s: float = 0.1


@dataclass(frozen=True, slots=True)
class WrongChecksum:
    """One bit of the last byte of a frame is inverted, so that the checksum is wrong."""


@dataclass(frozen=True, slots=True)
class Unplug:
    """The port disappears and returns under its name after `for_s`."""

    for_s: float = 0.2


@dataclass(frozen=True, slots=True)
class Renumber:
    """The port disappears and returns under a new name after `for_s`."""

    for_s: float = 0.2


@dataclass(frozen=True, slots=True)
class Drift:
    """Measurements drift by `step` (°C or mm) with every measurement."""

    step: float = 0.05


@dataclass(frozen=True, slots=True)
class Stuck:
    """Every measurement repeats the first one."""


Fault = Garbage | Drop | Glue | Late | WrongChecksum | Unplug | Renumber | Drift | Stuck
FAULTS: dict[str, type[Fault]] = {
    "garbage": Garbage,
    "drop": Drop,
    "glue": Glue,
    "late": Late,
    "wrong-checksum": WrongChecksum,
    "unplug": Unplug,
    "renumber": Renumber,
    "drift": Drift,
    "stuck": Stuck,
}


class FaultyWire(PtyWire):
    """A wire that applies a fault on demand, reproducibly for the same seed.

    The port is `ttyUSB0` in `folder`; `by_id` is a link to it that follows a new number, as udev does. Each `write` of
    the device is one frame, and half of the frames on average are affected. Delayed effects occur when the device next
    reads, which all simulated devices do continuously.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder.absolute()
        super().__init__(self._folder / "ttyUSB0")
        self.by_id = self._folder / "by-id"
        self.affected = 0
        self._random = Random(seed)  # noqa: S311 - repeatable faults, not a secret
        self._fault: Fault | None = None
        self._delayed: list[bytes] = []  # frames to send together, or the rest of a split frame and those after it
        self._due_s = 0.0  # when the delayed frames are sent, or the port returns
        self._first = 0.0  # measurement repeated while stuck

    def set_fault(self, fault: Fault | None) -> None:
        """Apply `fault` from now on, None for none, after ending the current fault. Port faults occur once."""
        self._end()
        self._fault, self.affected = fault, 0
        if isinstance(fault, Unplug | Renumber):
            self.affected = 1
            self._due_s = time.monotonic() + fault.for_s
            self.unplug()

    def plug(self, link: Path | None = None) -> None:
        """Create the port and the link to it."""
        super().plug(link)
        point(self.by_id, str(self.link))

    def unplug(self) -> None:
        """Remove the port and the link."""
        self.by_id.unlink(missing_ok=True)
        self._delayed.clear()
        super().unplug()

    def read(self) -> bytes:
        """The data that the host sent; also applies delayed effects."""
        if isinstance(self._fault, Late | Unplug | Renumber) and time.monotonic() >= self._due_s:
            self._end()
        return super().read()

    def write(self, data: bytes) -> int:
        """Send one frame with the fault applied; returns the number of bytes sent or delayed."""
        if self._delayed:
            self._delayed.append(data)
            if isinstance(self._fault, Glue) and len(self._delayed) >= self._fault.frames:
                self._end()
            return len(data)
        if self._fault is None or self._random.random() < 1 / 2:
            return super().write(data)
        return super().write(self._damage(self._fault, data))

    def measured(self, value: float) -> float:
        """`value` as measured with the fault applied."""
        match self._fault:
            case Drift(step):
                self.affected += 1
                return value + self.affected * step
            case Stuck():
                self._first = self._first if self.affected else value
                self.affected += 1
                return self._first
        return value

    def _damage(self, fault: Fault, frame: bytes) -> bytes:
        """The part of `frame` to send now, with the fault applied."""
        place = self._random.randrange(len(frame))
        match fault:
            case Garbage(most_bytes):
                sent = self._random.randbytes(self._random.randint(1, most_bytes)) + frame
            case Drop(most_bytes):
                sent = frame[:place] + frame[place + self._random.randint(1, most_bytes) :]
            case Glue():
                sent, self._delayed = b"", [frame]
            case Late(by_s):
                sent, self._delayed = frame[:place], [frame[place:]]
                self._due_s = time.monotonic() + by_s
            case WrongChecksum():
                sent = frame[:-1] + bytes((frame[-1] ^ 1 << self._random.randrange(8),))
            case _:
                return frame
        self.affected += 1
        return sent

    def _end(self) -> None:
        """Send the delayed frames and restore the port."""
        held, self._delayed = self._delayed, []
        if held:
            super().write(b"".join(held))
        if isinstance(self._fault, Unplug | Renumber) and not self.plugged:
            renumbered = isinstance(self._fault, Renumber)
            self.plug(self._folder / f"ttyUSB{self.times_plugged}" if renumbered else None)
            self._fault = None

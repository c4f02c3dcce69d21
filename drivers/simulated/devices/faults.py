"""What goes wrong between a sensor and its host, on demand: one frozen value a fault, one wire for every device."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

from drivers.simulated.devices.wire import PtyWire, point


@dataclass(frozen=True, slots=True)
class Garbage:
    """Noise comes before a frame."""

    most_bytes: int = 24


@dataclass(frozen=True, slots=True)
class Drop:
    """A frame loses bytes."""

    most_bytes: int = 3


@dataclass(frozen=True, slots=True)
class Glue:
    """Frames come several at once, in one piece."""

    frames: int = 2


@dataclass(frozen=True, slots=True)
class Late:
    """A frame comes torn: its rest follows after `by_s`, and nothing else comes meanwhile."""

    by_s: float = 0.1


@dataclass(frozen=True, slots=True)
class WrongChecksum:
    """One bit of the last byte of a frame is another: the check does not fit what it closes."""


@dataclass(frozen=True, slots=True)
class Unplug:
    """The port goes, and comes back under its name after `for_s`."""

    for_s: float = 0.2


@dataclass(frozen=True, slots=True)
class Renumber:
    """The port goes, and comes back under a name that it never had after `for_s`."""

    for_s: float = 0.2


@dataclass(frozen=True, slots=True)
class Drift:
    """What is measured moves away by `step` (°C or mm) with every measurement."""

    step: float = 0.05


@dataclass(frozen=True, slots=True)
class Stuck:
    """What was measured first is measured for ever."""


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
    """A wire on which faults happen when they are wanted, the same ones for the same seed.

    The port is `ttyUSB0` in `folder` and `by_id` a link to it that survives a new number, as udev makes them. Each
    `write` of the device is one frame, and every second one is befallen on average. What is due later happens when the
    device next reads, which all of them do all the time.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder.absolute()
        super().__init__(self._folder / "ttyUSB0")
        self.by_id = self._folder / "by-id"
        self.affected = 0
        self._random = Random(seed)  # noqa: S311 - repeatable faults, not a secret
        self._fault: Fault | None = None
        self._delayed: list[bytes] = []  # frames that go out together, or the rest of a torn one and what follows it
        self._due_s = 0.0  # when a rest goes out, or the port comes back
        self._first = 0.0  # measurement since it is stuck

    def set_fault(self, fault: Fault | None) -> None:
        """Let `fault` happen from now on, or none; what is under way ends first. A port goes once, at once."""
        self._end()
        self._fault, self.affected = fault, 0
        if isinstance(fault, Unplug | Renumber):
            self.affected = 1
            self._due_s = time.monotonic() + fault.for_s
            self.unplug()

    def plug(self, link: Path | None = None) -> None:
        """Make the port appear, and the link to it."""
        super().plug(link)
        point(self.by_id, str(self.link))

    def unplug(self) -> None:
        """Pull the cable."""
        self.by_id.unlink(missing_ok=True)
        self._delayed.clear()
        super().unplug()

    def read(self) -> bytes:
        """What the host has sent; and what is due happens."""
        if isinstance(self._fault, Late | Unplug | Renumber) and time.monotonic() >= self._due_s:
            self._end()
        return super().read()

    def write(self, data: bytes) -> int:
        """Send one frame, or what becomes of it; returns how many bytes went out or are held back."""
        if self._delayed:
            self._delayed.append(data)
            if isinstance(self._fault, Glue) and len(self._delayed) >= self._fault.frames:
                self._end()
            return len(data)
        if self._fault is None or self._random.random() < 1 / 2:
            return super().write(data)
        return super().write(self._damage(self._fault, data))

    def measured(self, value: float) -> float:
        """What the sensor takes `value` for."""
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
        """What goes out of `frame` now."""
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
        """Let what is held back go out, and the port come back."""
        held, self._delayed = self._delayed, []
        if held:
            super().write(b"".join(held))
        if isinstance(self._fault, Unplug | Renumber) and not self.plugged:
            renumbered = isinstance(self._fault, Renumber)
            self.plug(self._folder / f"ttyUSB{self.times_plugged}" if renumbered else None)
            self._fault = None

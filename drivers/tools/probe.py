"""Finds out what is plugged into a port: listens first, then asks politely, and never takes longer than it says.

Nothing that is written here switches a relay, or changes a setting that outlives a power cycle. An LCUS relay never
answers and a code reader speaks only when somebody shows a code: both look like silence.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from drivers.errors import DeviceLost
from drivers.serial_line.device_protocol import DeviceProtocol
from drivers.serial_line.framing import FrameParser, Parser
from drivers.serial_line.open_port import OpenPort, open_port
from drivers.serial_line.ports import list_serial_ports, resolve, stable_name
from drivers.tools.device_protocols import DIALECTS, RELAYS, settings_section
from drivers.tools.reading_output import Plain, to_dict, to_line

BAUDS = (115200, 9600, 460800, 57600, 921600)  # the likeliest first
LONGEST_S = 25.0  # for all rates and questions with a device that babbles at each
CLEAN_PROOF = 3  # from so many frames on, all bytes of an answer must fit: alone they prove nothing
CODE_READER = "qr-line"
UNKNOWN = "speaks, but nothing that is known"
WITH_BAUD = ("thermometer", "ranger", "reader")  # sections that have the key

SPEAK_UNASKED = {
    name: dialect
    for name, dialect in DIALECTS.items()
    if not dialect.questions and name not in RELAYS and name != CODE_READER
}


@dataclass(frozen=True, slots=True)
class ProbeTimeouts:
    """How long a device may take to speak by itself, and to answer."""

    listen_s: float
    answer_s: float


PATIENT = ProbeTimeouts(listen_s=1.2, answer_s=0.3)


@dataclass(frozen=True, slots=True)
class Guess:
    """What a port turned out to be: `driver` "" for none that is known, then `told` says what was seen instead."""

    driver: str
    baud: int | None
    told: Plain | None
    note: str = ""


async def probe(path: str, waits: ProbeTimeouts = PATIENT) -> Guess:
    """What is on the port at `path`, within LONGEST_S."""
    try:
        async with asyncio.timeout(LONGEST_S):
            return await _probe(path, waits)
    except DeviceLost as exc:
        return Guess("", None, None, str(exc))
    except TimeoutError:
        return Guess("", None, None, UNKNOWN)


async def _probe(path: str, waits: ProbeTimeouts) -> Guess:
    heard, text = False, None
    for baud in BAUDS:
        with open_port(path, baud) as port:
            hearing = _Hearing(port, waits)
            # A device that speaks unasked is heard at every rate, as noise; silence need not be waited for twice.
            guess = await hearing.listen() if heard or baud == BAUDS[0] else None
            guess = guess or await hearing.ask()
            if guess:
                return guess
            heard, text = heard or hearing.heard, text or hearing.text
    return text or Guess("", None, None, UNKNOWN if heard else "silent")


class _Ear:
    """Listens for one kind of device."""

    def __init__(self, dialect: DeviceProtocol[Parser[Any]]) -> None:
        self.dialect = dialect
        self.parser = dialect.parser()
        self.last: Any = None

    @property
    def intact(self) -> int:
        """Frames that came whole, readings or not."""
        return self.parser.counters["frames"] + self.parser.counters["other_frames"]

    @property
    def convinced(self) -> bool:
        """Whether it must be this kind of device."""
        return self.intact >= self.dialect.proof

    def feed(self, data: bytes) -> None:
        """Take what came."""
        self.last = next(reversed(self.parser.feed(data, 0.0)), self.last)

    def asked(self) -> None:
        """Know that the question of its kind was put."""
        if isinstance(self.parser, FrameParser):
            self.parser.asked(self.dialect.probe)


class _Hearing:
    """One port at one rate."""

    def __init__(self, port: OpenPort, waits: ProbeTimeouts) -> None:
        self._port = port
        self._waits = waits
        self.heard = False
        self.text: Guess | None = None  # lines that could be anybody's: the last guess of all

    async def listen(self) -> Guess | None:
        """What speaks by itself."""
        ears = {name: _Ear(it) for name, it in SPEAK_UNASKED.items() if self._port.baud in it.bauds}
        codes = DIALECTS[CODE_READER].parser()
        texts: list[Any] = []
        end_s = time.monotonic() + self._waits.listen_s
        while data := await self._piece(end_s):
            for name, ear in ears.items():
                ear.feed(data)
                if ear.convinced:
                    return self._guess(name, ear)
            texts += codes.feed(data, 0.0)
        texts += codes.feed(b"", 0.0)
        if texts and not codes.counters["resync_bytes"] and all(code.text.isprintable() for code in texts):
            self.text = Guess(CODE_READER, self._port.baud, None, "a line of text came; what it said is not shown")
        return None

    async def ask(self) -> Guess | None:
        """What answers."""
        for name, dialect in DIALECTS.items():
            if dialect.probe and self._port.baud in dialect.bauds and (guess := await self._ask(name, _Ear(dialect))):
                return guess
        return None

    async def _ask(self, name: str, ear: _Ear) -> Guess | None:
        """Ask as often as the proof demands, but no further once an answer stays out."""
        self._port.read()
        while not ear.convinced:
            intact, end_s = ear.intact, time.monotonic() + self._waits.answer_s
            ear.asked()
            self._port.write(ear.dialect.probe)
            while ear.intact == intact and (data := await self._piece(end_s)):
                ear.feed(data)
            if ear.intact == intact:
                return None
        out_of_place = ear.parser.counters["resync_bytes"]
        return None if ear.dialect.proof >= CLEAN_PROOF and out_of_place else self._guess(name, ear)

    async def _piece(self, end_s: float) -> bytes:
        """What came next; nothing at `end_s`."""
        while (left_s := end_s - time.monotonic()) > 0:
            await self._port.readable(left_s)
            if data := self._port.read():
                self.heard = True
                return data
        return b""

    def _guess(self, driver: str, ear: _Ear) -> Guess:
        return Guess(driver, self._port.baud, None if ear.last is None else to_dict(ear.last))


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """A port by the name it keeps, and what is on it."""

    name: str
    device: str
    guess: Guess

    def to_dict(self) -> dict[str, object]:
        """The finding for JSON."""
        return {"name": self.name, "device": self.device, **asdict(self.guess)}

    def line(self) -> str:
        """The finding for people."""
        guess = self.guess
        what = f"{guess.driver} at {guess.baud} baud" if guess.driver else "未识别 nothing known"
        told = to_line(guess.told) if guess.told else guess.note
        return f"{'✓' if guess.driver else '✗'} {self.device}  {what}" + (f": {told}" if told else "")


async def probe_all(paths: Sequence[str] = (), waits: ProbeTimeouts = PATIENT) -> list[ProbeResult]:
    """What is on each port that is there, or on those at `paths`; all are tried at once."""
    ports = list_serial_ports()
    names = {port.device: stable_name(port, ports) for port in ports}
    devices = list(paths or names)
    guesses = await asyncio.gather(*(probe(resolve(device), waits) for device in devices))
    return [
        ProbeResult(names.get(device, device), device, guess) for device, guess in zip(devices, guesses, strict=True)
    ]


def proposed_settings(findings: Sequence[ProbeResult]) -> str:
    """The sections of the settings (TOML) for what was found; a second one of the same name is a comment."""
    lines: list[str] = []
    taken: set[str] = set()
    for found in findings:
        driver = found.guess.driver
        if not driver:
            continue
        section = settings_section(driver)
        own = [f"[{section}]", f'driver = "{driver}"', f'port = "{found.name}"']
        if section in WITH_BAUD:
            own.append(f"baud = {found.guess.baud}")
        comment = "# " if section in taken else ""
        lines += [comment + line for line in own] + [""]
        taken.add(section)
    return "\n".join(lines)

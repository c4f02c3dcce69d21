"""Identifies the device on a serial port: listens first, then sends queries, within a fixed time limit.

No query switches a relay or changes a setting permanently. An LCUS relay never replies and a code reader sends only
when a code is shown: both appear as silence.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from drivers.errors import DeviceLost
from drivers.readers.qr_line import ScannedLine, ScanResult
from drivers.serial_line.device_protocol import DeviceProtocol
from drivers.serial_line.framing import FrameParser, Parser
from drivers.serial_line.open_port import OpenPort, open_port
from drivers.serial_line.ports import list_serial_ports, resolve, stable_name
from drivers.tools.device_protocols import PROTOCOLS, RELAYS, settings_section
from drivers.tools.reading_output import PlainValues, to_dict, to_line

BAUDS = (115200, 9600, 460800, 57600, 921600)  # most likely first
LONGEST_S = 25.0  # for all rates and queries with a device that sends at each rate
CLEAN_PROOF = 3  # protocols that need this many frames also require that no other bytes occur
CODE_READER = "qr-line"
UNKNOWN = "sends data in an unknown format"
WITH_BAUD = ("thermometer", "ranger", "reader")  # sections that have the key

UNSOLICITED = {
    name: protocol
    for name, protocol in PROTOCOLS.items()
    if not protocol.queries and name not in RELAYS and name != CODE_READER
}


@dataclass(frozen=True, slots=True)
class ProbeTimeouts:
    """Time limits for unsolicited data and for a reply."""

    listen_s: float
    answer_s: float


DEFAULT_TIMEOUTS = ProbeTimeouts(listen_s=1.2, answer_s=0.3)


@dataclass(frozen=True, slots=True)
class Guess:
    """Result for one port; if the device was not identified, `driver` is "" and `note` describes what was received.

    The field names are keys of the JSON output.
    """

    driver: str
    baud: int | None
    told: PlainValues | None
    note: str = ""


async def probe(path: str, timeouts: ProbeTimeouts = DEFAULT_TIMEOUTS, *, show_codes: bool = False) -> Guess:
    """Identify the device on the port at `path`, within LONGEST_S; `show_codes` includes what a reader scanned."""
    try:
        async with asyncio.timeout(LONGEST_S):
            return await _probe(path, timeouts, show_codes)
    except DeviceLost as exc:
        return Guess("", None, None, str(exc))
    except TimeoutError:
        return Guess("", None, None, UNKNOWN)


async def _probe(path: str, timeouts: ProbeTimeouts, show_codes: bool) -> Guess:
    heard, text = False, None
    for baud in BAUDS:
        with open_port(path, baud) as port:
            attempt = _BaudProbe(port, timeouts, show_codes)
            # Unsolicited data appears at every rate, at a wrong rate as noise; a silent port needs no second wait.
            guess = await attempt.listen() if heard or baud == BAUDS[0] else None
            guess = guess or await attempt.ask()
            if guess:
                return guess
            heard, text = heard or attempt.heard, text or attempt.text
    return text or Guess("", None, None, UNKNOWN if heard else "silent")


class _Candidate:
    """One device protocol tested against the received bytes."""

    def __init__(self, protocol: DeviceProtocol[Parser[Any]]) -> None:
        self.protocol = protocol
        self.parser = protocol.parser()
        self.last: Any = None

    @property
    def intact(self) -> int:
        """Number of intact frames, with or without a reading."""
        return self.parser.counters["frames"] + self.parser.counters["other_frames"]

    @property
    def is_proven(self) -> bool:
        """Whether enough intact frames were received."""
        return self.intact >= self.protocol.proof_frames

    def feed(self, data: bytes) -> None:
        """Parse received bytes."""
        self.last = next(reversed(self.parser.feed(data, 0.0)), self.last)

    def query_sent(self) -> None:
        """Record that the probe query of this protocol was sent."""
        if isinstance(self.parser, FrameParser):
            self.parser.query_sent(self.protocol.probe)


class _BaudProbe:
    """Probes one port at one baud rate."""

    def __init__(self, port: OpenPort, timeouts: ProbeTimeouts, show_codes: bool) -> None:
        self._port = port
        self._timeouts = timeouts
        self._show_codes = show_codes
        self.heard = False
        self.text: Guess | None = (
            None  # a line of text, which many devices could send: used only if nothing else matches
        )

    async def listen(self) -> Guess | None:
        """Identify a device that sends unsolicited data."""
        candidates = {name: _Candidate(it) for name, it in UNSOLICITED.items() if self._port.baud in it.bauds}
        codes = PROTOCOLS[CODE_READER].parser()
        lines: list[ScannedLine] = []
        end_s = time.monotonic() + self._timeouts.listen_s
        while data := await self._next_bytes(end_s):
            for name, candidate in candidates.items():
                candidate.feed(data)
                if candidate.is_proven:
                    return self._guess(name, candidate)
            lines += codes.feed(data, 0.0)
        self._take_lines([*lines, *codes.feed(b"", 0.0)])
        return None

    def _take_lines(self, lines: Sequence[ScannedLine]) -> None:
        """Keep a code as the guess that a reader is here, if all that was received is text."""
        code = next((line for line in lines if line.result is ScanResult.CODE), None)
        texts = (ScanResult.CODE, ScanResult.IGNORED)
        if code and all(line.result in texts and line.text.isprintable() for line in lines):
            taken_off = f"; taken off: {', '.join(code.taken_off)}" if code.taken_off else ""
            note = f"received a code of {len(code.text)} characters{taken_off}; --show-codes shows it"
            shown = to_dict(code) if self._show_codes else None
            self.text = Guess(CODE_READER, self._port.baud, shown, note)

    async def ask(self) -> Guess | None:
        """Identify a device by its reply to a probe query."""
        for name, protocol in PROTOCOLS.items():
            if (
                protocol.probe
                and self._port.baud in protocol.bauds
                and (guess := await self._ask(name, _Candidate(protocol)))
            ):
                return guess
        return None

    async def _ask(self, name: str, candidate: _Candidate) -> Guess | None:
        """Send the probe query until enough frames were received or a reply is missing."""
        self._port.read()
        while not candidate.is_proven:
            intact, end_s = candidate.intact, time.monotonic() + self._timeouts.answer_s
            candidate.query_sent()
            self._port.write(candidate.protocol.probe)
            while candidate.intact == intact and (data := await self._next_bytes(end_s)):
                candidate.feed(data)
            if candidate.intact == intact:
                return None
        out_of_place = candidate.parser.counters["resync_bytes"]
        return None if candidate.protocol.proof_frames >= CLEAN_PROOF and out_of_place else self._guess(name, candidate)

    async def _next_bytes(self, end_s: float) -> bytes:
        """The next bytes received; b"" at `end_s`."""
        while (left_s := end_s - time.monotonic()) > 0:
            await self._port.readable(left_s)
            if data := self._port.read():
                self.heard = True
                return data
        return b""

    def _guess(self, driver: str, candidate: _Candidate) -> Guess:
        return Guess(driver, self._port.baud, None if candidate.last is None else to_dict(candidate.last))


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """A port by its persistent name, and the device on it."""

    name: str
    device: str
    guess: Guess

    def to_dict(self) -> dict[str, object]:
        """The result for JSON."""
        return {"name": self.name, "device": self.device, **asdict(self.guess)}

    def line(self) -> str:
        """The result as a line of text."""
        guess = self.guess
        what = f"{guess.driver} at {guess.baud} baud" if guess.driver else "未识别 not identified"
        detail = to_line(guess.told) if guess.told else guess.note
        return f"{'✓' if guess.driver else '✗'} {self.device}  {what}" + (f": {detail}" if detail else "")


async def probe_all(
    paths: Sequence[str] = (), timeouts: ProbeTimeouts = DEFAULT_TIMEOUTS, *, show_codes: bool = False
) -> list[ProbeResult]:
    """Probe the ports at `paths`, or all ports, concurrently; `show_codes` as in `probe`."""
    ports = list_serial_ports()
    names = {port.device: stable_name(port, ports) for port in ports}
    devices = list(paths or names)
    guesses = await asyncio.gather(*(probe(resolve(device), timeouts, show_codes=show_codes) for device in devices))
    return [
        ProbeResult(names.get(device, device), device, guess) for device, guess in zip(devices, guesses, strict=True)
    ]


def proposed_settings(findings: Sequence[ProbeResult]) -> str:
    """The sections of the settings (TOML) for the identified devices; a duplicate section is written as a comment."""
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

"""QR readers that send codes as lines of text on a serial port (CDC or UART mode), as nearly all do.

Confidence V2: a code ends with CR, LF, CRLF or silence, depending on interface and setting; all are accepted, and the
frame of STX and ETX. The text is untrusted personal data: its length is limited here, and it is never logged.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from drivers.contract import CodeRead, CodeUnreadable
from drivers.device_health import MonitoredDevice
from drivers.latest import Latest
from drivers.readers.repeats import RepeatFilter
from drivers.readers.wrapping import KNOWN_ONLY, LEAST_CHARACTERS, Wrapping, is_ignored, unwrap
from drivers.serial_line.serial_line import SerialLine

BAUDS = (115200, 9600)  # recent readers, older readers
GAP_S = 0.08  # silence that ends a code; the bytes of one code follow without a gap
CAP_BYTES = 8192  # a QR code holds at most 7089 digits or 2953 bytes; a reader may turn a byte into two
REPEAT_S = 3.0
STX = b"\x02"
LINE_EDGE = re.compile(rb"[\r\n\x02\x03\x04]")  # CR, LF, ETX and EOT end a line, STX begins one


class ScanResult(StrEnum):
    """What a line is."""

    CODE = "code"
    NOT_TEXT = "not_text"  # in no encoding that readers use
    TOO_LONG = "too_long"
    IGNORED = "ignored"  # too short for a code, or named in the settings: a heartbeat, an acknowledgement


COUNTERS = {
    ScanResult.CODE: "frames",
    ScanResult.NOT_TEXT: "undecodable",
    ScanResult.TOO_LONG: "too_long",
    ScanResult.IGNORED: "ignored",
}


@dataclass(frozen=True, slots=True)
class ScannedLine:
    """One line of a reader: the bytes as received, the text of the code, and the names of what was taken off.

    `text` and `raw` are personal data, which `repr` does not show; both are empty for a line that is too long.
    """

    result: ScanResult
    taken_at_s: float
    text: str = field(repr=False, default="")
    raw: bytes = field(repr=False, default=b"")
    taken_off: tuple[str, ...] = ()


class QrLineParser:
    """Extracts lines from bytes; empty bytes mean silence for `GAP_S`, which ends a line."""

    def __init__(
        self, *, wrapping: Wrapping = KNOWN_ONLY, cap_bytes: int = CAP_BYTES, repeat_s: float = REPEAT_S
    ) -> None:
        counted = ("bad_checksum", "resync_bytes", "repeats", *COUNTERS.values())
        self.counters: Counter[str] = Counter(dict.fromkeys(counted, 0))
        self._wrapping = wrapping
        self._cap_bytes = cap_bytes
        self._repeats = RepeatFilter(repeat_s)
        self._lead = b""
        self._line = bytearray()
        self._overflown = False

    def feed(self, data: bytes, at_s: float) -> list[ScannedLine]:
        """Lines completed by `data`, without those that repeat the one before."""
        lines: list[ScannedLine | None] = []
        start = 0
        for edge in LINE_EDGE.finditer(data):
            self._add(data[start : edge.start()])
            is_start = edge.group() == STX
            lines.append(self._end(b"" if is_start else edge.group(), at_s))
            self._lead = STX if is_start else b""
            start = edge.end()
        self._add(data[start:])
        if not data:
            lines.append(self._end(b"", at_s))
            self._lead = b""
        return [line for line in lines if line is not None]

    def _add(self, part: bytes) -> None:
        """Append to the line; a line over the limit is dropped up to its end."""
        if not self._overflown and len(self._line) + len(part) <= self._cap_bytes:
            self._line += part
            return
        self.counters["resync_bytes"] += len(self._line) + len(part)
        self._line.clear()
        self._overflown = True

    def _end(self, end: bytes, at_s: float) -> ScannedLine | None:
        """End the line by `end`; returns it, None where it is empty or repeats the one before."""
        if self._overflown:
            line = ScannedLine(ScanResult.TOO_LONG, at_s)
        elif self._line:
            line = self._scanned(self._lead + self._line + end, at_s)
        else:
            return None
        self.counters[COUNTERS[line.result]] += 1
        self.counters["resync_bytes"] += len(self._line) if line.result is ScanResult.NOT_TEXT else 0
        self._overflown = False
        self._line.clear()
        if line.result is not ScanResult.IGNORED and not self._repeats.passes(line.text, at_s):
            self.counters["repeats"] += 1
            return None
        return line

    def _scanned(self, raw: bytes, at_s: float) -> ScannedLine:
        found = unwrap(raw, self._wrapping)
        if found.text is None:
            result = ScanResult.IGNORED if len(self._line) < LEAST_CHARACTERS else ScanResult.NOT_TEXT
        else:
            result = ScanResult.IGNORED if is_ignored(found.text, self._wrapping) else ScanResult.CODE
        return ScannedLine(result, at_s, found.text or "", raw, found.taken_off)


class QrLineReader(MonitoredDevice):
    """The newest code scanned on `line`. OK while its port is open: a reader without codes is silent."""

    def __init__(self, line: SerialLine, parser: QrLineParser) -> None:
        super().__init__(line.device_health)
        self._line = line
        self._parser = parser
        self._codes: Latest[CodeRead | CodeUnreadable] = Latest()

    @property
    def counters(self) -> dict[str, int]:
        """Counts of the line and of the parser."""
        return {**self.device_health.counters, **self._parser.counters, "replaced": self._codes.replaced}

    @property
    def codes(self) -> Latest[CodeRead | CodeUnreadable]:
        """The newest code."""
        return self._codes

    async def run(self) -> None:
        """Read until cancelled."""
        await self._line.run(self._take)

    def _take(self, data: bytes, at_s: float) -> bool:
        codes = [_code_from(line) for line in self._parser.feed(data, at_s) if line.result is not ScanResult.IGNORED]
        for code in codes:
            self._codes.put(code)
        return bool(codes)


def _code_from(line: ScannedLine) -> CodeRead | CodeUnreadable:
    if line.result is ScanResult.CODE:
        return CodeRead(line.text, line.taken_at_s)
    return CodeUnreadable(line.taken_at_s)

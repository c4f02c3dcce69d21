"""QR readers that send codes as lines of text on a serial port (CDC or UART mode), as nearly all do.

Confidence V2: a code ends with CR, LF, CRLF or silence, depending on interface and setting; all are accepted.
The text is untrusted personal data: its length is limited here, and it is never logged.
"""

from __future__ import annotations

import re
from collections import Counter

from drivers.contract import CodeRead
from drivers.device_health import MonitoredDevice
from drivers.latest import Latest
from drivers.readers.repeats import RepeatFilter
from drivers.serial_line.serial_line import SerialLine

BAUDS = (115200, 9600)  # recent readers, older readers
GAP_S = 0.08  # silence that ends a code; the bytes of one code follow without a gap
CAP_BYTES = 512
REPEAT_S = 3.0
LINE_END = re.compile(rb"[\r\n]")


class QrLineParser:
    """Extracts codes from bytes; empty bytes mean silence for `GAP_S`, which ends a code."""

    def __init__(self, *, cap_bytes: int = CAP_BYTES, repeat_s: float = REPEAT_S) -> None:
        self.counters: Counter[str] = Counter(
            frames=0, bad_checksum=0, resync_bytes=0, too_long=0, undecodable=0, repeats=0
        )
        self._cap_bytes = cap_bytes
        self._repeats = RepeatFilter(repeat_s)
        self._line = bytearray()
        self._overflown = False

    def feed(self, data: bytes, at_s: float) -> list[CodeRead]:
        """Codes completed by `data`; text is UTF-8."""
        if not data:
            return self._end(at_s)
        *whole, rest = LINE_END.split(data)
        codes: list[CodeRead] = []
        for part in whole:
            self._add(part)
            codes += self._end(at_s)
        self._add(rest)
        return codes

    def _add(self, part: bytes) -> None:
        """Append to the line; a line over the limit is dropped up to its end."""
        if not self._overflown and len(self._line) + len(part) <= self._cap_bytes:
            self._line += part
            return
        self.counters["resync_bytes"] += len(self._line) + len(part)
        self._line.clear()
        self._overflown = True

    def _end(self, at_s: float) -> list[CodeRead]:
        """End the line; returns its code, or nothing."""
        line, self._line = bytes(self._line), bytearray()
        self.counters["too_long"] += self._overflown
        self._overflown = False
        try:
            text = line.decode()
        except UnicodeDecodeError:
            self.counters["undecodable"] += 1
            self.counters["resync_bytes"] += len(line)
            return []
        if not text:
            return []
        self.counters["frames"] += 1
        if not self._repeats.passes(text, at_s):
            self.counters["repeats"] += 1
            return []
        return [CodeRead(text, at_s)]


class QrLineReader(MonitoredDevice):
    """The newest code scanned on `line`. OK while its port is open: a reader without codes is silent."""

    def __init__(self, line: SerialLine, parser: QrLineParser) -> None:
        super().__init__(line.device_health)
        self._line = line
        self._parser = parser
        self._codes: Latest[CodeRead] = Latest()

    @property
    def counters(self) -> dict[str, int]:
        """Counts of the line and of the parser."""
        return {**self.device_health.counters, **self._parser.counters, "replaced": self._codes.replaced}

    @property
    def codes(self) -> Latest[CodeRead]:
        """The newest code."""
        return self._codes

    async def run(self) -> None:
        """Read until cancelled."""
        await self._line.run(self._take)

    def _take(self, data: bytes, at_s: float) -> bool:
        codes = self._parser.feed(data, at_s)
        for code in codes:
            self._codes.put(code)
        return bool(codes)

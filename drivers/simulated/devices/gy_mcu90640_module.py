"""Firmware side of the GY-MCU90640 protocol, without I/O: pictures to frames, commands to settings.

Source: the maker's "GYMCU90640 User Manual V1.0", found in several independent places (V2).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

ROWS, COLS = 24, 32
HEADER = b"\x5a\x5a\x02\x06"
FRAME_SIZE = 1544
COMMAND_SIZE = 4
COMMAND_START = 0xA5

BAUDS = {1: 9600, 2: 115200, 3: 460800}
RATES_HZ = {0: 0.5, 1: 1.0, 2: 2.0, 3: 4.0, 4: 8.0}
MAX_EMISSIVITY_PERCENT = 100


def encode_frame(pixels_c: NDArray[np.floating], ambient_c: float) -> bytes:
    """One 1544-byte frame of 768 pixels in the module's order, °C; words are little-endian hundredths of a degree."""
    if pixels_c.size != ROWS * COLS:
        raise ValueError(f"a frame has {ROWS * COLS} pixels, not {pixels_c.size}")
    hundredths = np.rint(np.append(pixels_c.ravel(), ambient_c) * 100).clip(-32768, 32767)
    body: bytes = HEADER + hundredths.astype("<i2").tobytes()
    total = int(np.frombuffer(body, "<u2").sum(dtype=np.uint64)) & 0xFFFF
    return body + total.to_bytes(2, "little")


@dataclass(frozen=True, slots=True)
class ModuleSettings:
    """Settings that commands change and that can be saved to flash."""

    baud: int = 115200
    rate_hz: float = 4.0
    automatic: bool = True
    emissivity_percent: int = 95


@dataclass(slots=True)
class ThermalModule:
    """State of the module: active settings, settings in flash, number of single frames requested."""

    settings: ModuleSettings = field(default_factory=ModuleSettings)
    flash: ModuleSettings = field(default_factory=ModuleSettings)
    frames_asked: int = 0
    bad_commands: int = 0
    _pending: bytes = b""

    def power_up(self) -> None:
        """Restart with the settings in flash."""
        self.settings, self.frames_asked, self._pending = self.flash, 0, b""

    def feed(self, data: bytes) -> bytes:
        """Process bytes from the host, in pieces of any size; returns the reply."""
        self._pending += data
        answer = b""
        while (start := self._pending.find(COMMAND_START)) >= 0:
            command = self._pending[start : start + COMMAND_SIZE]
            if len(command) < COMMAND_SIZE:
                self._pending = command
                return answer
            good = sum(command[:3]) & 0xFF == command[3]
            if good:
                answer += self._execute(command[1], command[2])
            else:
                self.bad_commands += 1
            self._pending = self._pending[start + (COMMAND_SIZE if good else 1) :]
        self._pending = b""
        return answer

    def _execute(self, code: int, value: int) -> bytes:
        match code, value:
            case 0x15, value if value in BAUDS:
                self.settings = replace(self.settings, baud=BAUDS[value])
            case 0x25, value if value in RATES_HZ:
                self.settings = replace(self.settings, rate_hz=RATES_HZ[value])
            case 0x35, 1:
                self.settings = replace(self.settings, automatic=False)
                self.frames_asked += 1
            case 0x35, 2:
                self.settings = replace(self.settings, automatic=True)
            case 0x45, value if 0 < value <= MAX_EMISSIVITY_PERCENT:
                self.settings = replace(self.settings, emissivity_percent=value)
            case 0x55, 1:
                head = bytes((0x5A, 0x5A, self.settings.emissivity_percent))
                return head + bytes((sum(head) & 0xFF,))
            case 0x65, 1:
                self.flash = self.settings
            case _:
                self.bad_commands += 1
        return b""

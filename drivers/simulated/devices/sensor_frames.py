"""Frames of the sensors: readings to bytes, without I/O.

Written independently of the parsers, from the same sources, so that each checks the other.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray


def sum8(data: bytes) -> bytes:
    """Low 8 bits of the sum of all bytes."""
    return bytes((sum(data) % 256,))


def _remainder(data: bytes, polynomial: int, width: int, start: int) -> int:
    """CRC of `data`, most significant bit first."""
    crc, top = start, 1 << width - 1
    for byte in data:
        crc ^= byte << width - 8
        for _ in range(8):
            crc = (crc << 1 ^ polynomial if crc & top else crc << 1) & (1 << width) - 1
    return crc


def crc8(data: bytes) -> bytes:
    """CRC-8 with polynomial 0x07."""
    return bytes((_remainder(data, 0x07, 8, 0),))


def modbus_crc(data: bytes) -> bytes:
    """CRC of Modbus, low byte first."""
    mirrored = bytes(int(f"{byte:08b}"[::-1], 2) for byte in data)
    crc = _remainder(mirrored, 0x8005, 16, 0xFFFF)
    return int(f"{crc:016b}"[::-1], 2).to_bytes(2, "little")


def hundredths(*celsius: float) -> bytes:
    """Big-endian hundredths of a degree."""
    return b"".join(round(value * 100).to_bytes(2, "big", signed=True) for value in celsius)


def gy_mcu90614(object_c: float, ambient_c: float) -> bytes:
    """One frame of a GY-MCU90614."""
    frame = b"\x5a\x5a\x45\x04" + hundredths(object_c, ambient_c)
    return frame + sum8(frame)


def gy_614v(object_c: float, ambient_c: float, body_c: float = 36.5, emissivity_percent: int = 98) -> bytes:
    """Reply of a GY-614V to a read of seven registers from 7."""
    frame = bytes((0xA4, 0x03, 7, 7, emissivity_percent)) + hundredths(object_c, ambient_c, body_c)
    return frame + sum8(frame)


def cjmcu_90614(object_c: float, ambient_c: float, mode: int = 1) -> bytes:
    """One frame of a CJMCU-90614; mode 1 is continuous, 2 a reply."""
    data = hundredths(object_c, ambient_c)
    return bytes((0x66, 0x66, mode, 4)) + data + sum8(data)


def evo_thermal_33(pixels_c: NDArray[np.floating], ambient_c: float) -> bytes:
    """One frame of 1024 pixels, °C, of an Evo Thermal 33."""
    kelvin_tenths = np.rint((np.append(pixels_c.ravel(), ambient_c) + 273.15) * 10).astype("<u2")
    payload: bytes = kelvin_tenths.tobytes() + bytes(14)
    crc = _remainder(payload, 0x04C11DB7, 32, 0xFFFFFFFF)
    return b"\x0d\x00" + payload + struct.pack("<HH", crc >> 16, crc & 0xFFFF)


def terabee_ack(head: int, code: int, *, good: bool = True) -> bytes:
    """Acknowledgement of a Terabee sensor; `head` is 0x14 for an Evo Thermal 33, 0x12 for an Evo Mini."""
    ack = bytes((head, code, 0x00 if good else 0xFF))
    return ack + crc8(ack)


def pyrousb(object_c: float, ambient_c: float | None = None, status: int = 0) -> bytes:
    """Reply of a PyroUSB: one register, or four registers from 0x12 if `ambient_c` is given."""
    tenths = struct.pack(">h", round(object_c * 10))
    if ambient_c is not None:
        tenths += tenths + struct.pack(">hH", round(ambient_c * 10), status)
    answer = bytes((1, 4, len(tenths))) + tenths
    return answer + modbus_crc(answer)


def optris(celsius: float) -> bytes:
    """Reply of an Optris to a temperature query."""
    return round(celsius * 10 + 1000).to_bytes(2, "big")


def tof10120(distance_mm: int) -> bytes:
    """One line of a TOF10120."""
    return b"%dmm\r\n" % distance_mm


def evo_mini(*raw_mm: int) -> bytes:
    """One frame of an Evo Mini with one, two or four pixels; 0, 1 and 65535 are not distances."""
    frame = b"T" + struct.pack(f">{len(raw_mm)}H", *raw_mm)
    return frame + crc8(frame)


def tofsense(distance_mm: int, running_ms: int = 36766) -> bytes:
    """One frame of a TOFSense."""
    frame = b"\x57\x00\xff\x00" + struct.pack("<I", running_ms) + distance_mm.to_bytes(3, "little") + b"\0\x03\0\xff"
    return frame + sum8(frame)

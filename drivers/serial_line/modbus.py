"""Modbus RTU frames of the functions that relay boards use, without I/O."""

from __future__ import annotations

CRC_BYTES = 2
EXCEPTION_FLAG = 0x80
EXCEPTION_BYTES = 5
READ_COILS = 0x01
READ_INPUTS = 0x02
WRITE_COIL = 0x05
COIL_ON, COIL_OFF = 0xFF00, 0x0000


def crc16(data: bytes) -> bytes:
    """CRC-16/MODBUS of `data`, low byte first as transmitted."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc.to_bytes(CRC_BYTES, "little")


def request(unit: int, function: int, address: int, value: int) -> bytes:
    """A request with two 16-bit fields, the form of all functions used here."""
    body = bytes((unit, function)) + address.to_bytes(2, "big") + value.to_bytes(2, "big")
    return body + crc16(body)


def answer(request_frame: bytes, received: bytes, reply_bytes: int) -> int | None:
    """Match `received` with `request_frame`: 0 for the expected reply, n for exception n, None for no (complete) reply.

    The reply to a write repeats it, so a late reply to another write does not match.
    """
    head = request_frame[0], request_frame[1] | EXCEPTION_FLAG
    if len(received) >= EXCEPTION_BYTES and tuple(received[:2]) == head and _is_intact(received[:EXCEPTION_BYTES]):
        return received[2]
    reply = received[:reply_bytes]
    head_bytes = len(request_frame) if request_frame[1] == WRITE_COIL else 2
    return (
        0
        if len(reply) == reply_bytes and reply[:head_bytes] == request_frame[:head_bytes] and _is_intact(reply)
        else None
    )


def _is_intact(reply: bytes) -> bool:
    return crc16(reply[:-CRC_BYTES]) == reply[-CRC_BYTES:]

"""Minimal FLAC files: verbatim samples without prediction."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

BLOCK = 4096


def flac(samples: NDArray[np.int16], rate_hz: int) -> bytes:
    """`samples` as a mono 16-bit FLAC file of verbatim frames."""
    info = BLOCK.to_bytes(2, "big") * 2 + bytes(6)
    info += (rate_hz << 44 | 0 << 41 | 15 << 36 | len(samples)).to_bytes(8, "big")
    info += hashlib.md5(samples.astype("<i2").tobytes(), usedforsecurity=False).digest()
    frames = [
        _frame(number, samples[start : start + BLOCK]) for number, start in enumerate(range(0, len(samples), BLOCK))
    ]
    return b"fLaC" + b"\x80" + len(info).to_bytes(3, "big") + info + b"".join(frames)


def _frame(number: int, samples: NDArray[np.int16]) -> bytes:
    """Fixed block size, length in 16 bits, rate from the stream's head, one channel, 16 bits a sample; number < 128."""
    head = b"\xff\xf8\x70\x08" + bytes((number,)) + (len(samples) - 1).to_bytes(2, "big")
    head += _crc(head, 0x07, 8)
    frame = head + b"\x02" + samples.astype(">i2").tobytes()
    return frame + _crc(frame, 0x8005, 16)


def _crc(data: bytes, polynomial: int, bits: int) -> bytes:
    crc, top = 0, 1 << bits - 1
    for byte in data:
        crc ^= byte << bits - 8
        for _ in range(8):
            crc = (crc << 1 ^ (polynomial if crc & top else 0)) & (1 << bits) - 1
    return crc.to_bytes(bits // 8, "big")

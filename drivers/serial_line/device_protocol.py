"""Description of the protocol of one kind of device: what listening, decoding and probing need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from drivers.serial_line.framing import Parser

P_co = TypeVar("P_co", bound=Parser[object], covariant=True)


@dataclass(frozen=True, slots=True)
class DeviceProtocol(Generic[P_co]):
    """One row of a device table: the parser and the serial parameters.

    `bauds` are tried in order. `start_up` is written when the port opens. `queries` are sent in turn to a device that
    sends only on request; `unrecorded_queries` are not sent while recording, because their replies contain a photo of a
    person or cannot be decoded without the query.
    `probe` is a query without permanent effect that detects the device; `proof_frames` intact frames confirm it, more
    for a protocol that noise can imitate. Silence for `quiet_s` ends a frame; silence for `silence_s` means a lost
    device, None for a device that may be silent.
    """

    parser: Callable[..., P_co]
    bauds: tuple[int, ...]
    start_up: tuple[bytes, ...] = ()
    queries: tuple[bytes, ...] = ()
    unrecorded_queries: tuple[bytes, ...] = ()
    probe: bytes = b""
    proof_frames: int = 1
    quiet_s: float = 0.25
    silence_s: float | None = 2.0  # eight frames at 4 Hz; a silent sensor is detected within 3 s

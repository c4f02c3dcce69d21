"""How one kind of device talks: all that is needed to listen to it, decode it, or find out whether it is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from drivers.errors import BadSetting
from drivers.serial_line.framing import Parser
from drivers.serial_line.serial_port import SerialLine

P_co = TypeVar("P_co", bound=Parser[object], covariant=True)


@dataclass(frozen=True, slots=True)
class DeviceProtocol(Generic[P_co]):
    """One row: its parser and its line.

    `bauds` are tried in order. `hello` is written when the port opens. `questions` are asked in turn of a device that
    speaks only when asked; the `unrecorded` ones are not asked while recording, for their answers hold somebody's
    picture, or could not be told from the others once nobody knows what was asked.
    `probe` is a question that changes nothing for good, to find out whether it is there, and `proof` how many intact
    frames it takes to believe that: more where chance could make one. Silence for `quiet_s` ends a frame; for
    `silence_s` it is a lost device, None for one that may rightly be silent.
    """

    parser: Callable[..., P_co]
    bauds: tuple[int, ...]
    hello: tuple[bytes, ...] = ()
    questions: tuple[bytes, ...] = ()
    unrecorded: tuple[bytes, ...] = ()
    probe: bytes = b""
    proof: int = 1
    quiet_s: float = 0.25
    silence_s: float | None = 2.0  # eight frames at 4 Hz; a silent sensor is known within 3 s

    def check_baud(self, driver: str, baud: int | None) -> None:
        """Raise BadSetting for a rate at which no device of this kind, called `driver`, is sold."""
        if baud is not None and baud not in self.bauds:
            raise BadSetting(f"baud {baud} does not fit {driver}; accepted: {', '.join(map(str, self.bauds))}")

    def line(self, name: str, port: str, baud: int | None = None) -> SerialLine:
        """The line to one such device, the part `name`, on `port`; `baud` None tries its rates in turn."""
        return SerialLine(
            name,
            port,
            bauds=self.bauds if baud is None else (baud,),
            silence_s=self.silence_s,
            quiet_s=self.quiet_s,
            hello=self.hello,
        )

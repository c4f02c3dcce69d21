"""The readers to choose from: one row each."""

from __future__ import annotations

from collections.abc import Callable

from drivers.contract import CodeReader
from drivers.errors import BadSetting
from drivers.readers import qr_line
from drivers.serial_port import SerialLine


def _qr_line(port: str, baud: int | None) -> CodeReader:
    line = SerialLine("reader", port, bauds=(baud or qr_line.BAUDS[0],), silence_s=None, quiet_s=qr_line.GAP_S)
    return qr_line.QrLineReader(line, qr_line.QrLineParser())


READERS: dict[str, Callable[[str, int | None], CodeReader]] = {"qr-line": _qr_line}


def make_reader(*, driver: str, port: str, baud: int | None = None) -> CodeReader:
    """The reader `driver` on `port`; `baud` None takes what recent models are sold with."""
    make = READERS.get(driver)
    if make is None:
        raise BadSetting(f"reader driver {driver!r} is not known; accepted: {', '.join(sorted(READERS))}")
    return make(port, baud)

"""The supported readers, one row each."""

from __future__ import annotations

from collections.abc import Callable

from drivers.contract import CardReader, CodeReader
from drivers.errors import BadSetting
from drivers.readers import qr_line, sam_v, sam_v_reader
from drivers.readers.wrapping import KNOWN_ONLY, Wrapping
from drivers.serial_line.open_port import BAUDS
from drivers.serial_line.serial_line import SerialLine


def _qr_line(port: str, baud: int | None, wrapping: Wrapping) -> CodeReader:
    line = SerialLine("reader", port, bauds=(baud or qr_line.BAUDS[0],), silence_s=None, quiet_s=qr_line.GAP_S)
    return qr_line.QrLineReader(line, qr_line.QrLineParser(wrapping=wrapping))


READERS: dict[str, Callable[[str, int | None, Wrapping], CodeReader]] = {"qr-line": _qr_line}


def make_reader(*, driver: str, port: str, baud: int | None = None, wrapping: Wrapping = KNOWN_ONLY) -> CodeReader:
    """The reader `driver` on `port`; `baud` None uses the rate of recent models. Raises BadSetting."""
    make = READERS.get(driver)
    if baud is not None and baud not in BAUDS:
        raise BadSetting(f"baud {baud} is not supported by {driver}; accepted: {', '.join(map(str, sorted(BAUDS)))}")
    if make is None:
        raise BadSetting(f"reader driver {driver!r} is not known; accepted: {', '.join(sorted(READERS))}")
    return make(port, baud, wrapping)


def _sam_v(port: str) -> CardReader:
    silence_s, quiet_s = sam_v_reader.SILENCE_S, sam_v_reader.QUIET_S
    line = SerialLine("card_reader", port, bauds=(sam_v.BAUD,), silence_s=silence_s, quiet_s=quiet_s)
    return sam_v_reader.SamVReader(line)


CARD_READERS: dict[str, Callable[[str], CardReader]] = {"sam-v": _sam_v}


def make_card_reader(*, driver: str, port: str) -> CardReader:
    """The identity card reader `driver` on `port`. Raises BadSetting."""
    make = CARD_READERS.get(driver)
    if make is None:
        raise BadSetting(f"card reader {driver!r} is not known; accepted: {', '.join(sorted(CARD_READERS))}")
    return make(port)

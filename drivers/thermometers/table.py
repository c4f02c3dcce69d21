"""The thermometers to choose from: one row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from drivers.contract import Thermometer
from drivers.errors import BadSetting
from drivers.framing import Parser
from drivers.serial_port import SerialLine
from drivers.thermometers import gy_mcu90614, gy_mcu90640
from drivers.thermometers.evenness import Liveliness
from drivers.thermometers.serial_thermometer import Reading, SerialThermometer

SILENCE_S = 2.0  # eight frames at 4 Hz; a silent sensor is known within 3 s
ARRAY_LIVES = Liveliness(window_s=10.0, spread_c=0.02)  # noise of an MLX90640 pixel: 0.1 °C and more
SPOT_LIVES = Liveliness(window_s=60.0, spread_c=0.009)  # any change at all: the wire carries hundredths


@dataclass(frozen=True, slots=True)
class Model:
    """How one kind of thermometer is spoken to; `bauds` are tried in order, `parser` is given the setting `mirror`."""

    parser: Callable[[bool], Parser[Reading]]
    bauds: tuple[int, ...]
    start_up: tuple[bytes, ...]
    lives: Liveliness
    is_array: bool
    poll: bytes = b""


MODELS: dict[str, Model] = {
    "gy-mcu90640": Model(gy_mcu90640.GyMcu90640, gy_mcu90640.BAUDS, gy_mcu90640.START_UP, ARRAY_LIVES, is_array=True),
    "gy-mcu90614": Model(
        lambda _mirror: gy_mcu90614.GyMcu90614(), gy_mcu90614.BAUDS, gy_mcu90614.START_UP, SPOT_LIVES, is_array=False
    ),
}


def make_thermometer(*, driver: str, port: str, baud: int | None = None, mirror: bool = False) -> Thermometer:
    """The thermometer `driver` on `port`.

    `baud` None tries what the model is sold with; `mirror` puts column 0 of an array at the viewer's left.
    """
    model = MODELS.get(driver)
    if model is None:
        raise BadSetting(f"thermometer driver {driver!r} is not known; accepted: {', '.join(sorted(MODELS))}")
    if baud is not None and baud not in model.bauds:
        raise BadSetting(f"baud {baud} does not fit {driver}; accepted: {', '.join(map(str, model.bauds))}")
    if mirror and not model.is_array:
        raise BadSetting(f"mirror does not fit {driver}: it has one spot and no picture; accepted: false")
    bauds = model.bauds if baud is None else (baud,)
    line = SerialLine("thermometer", port, bauds=bauds, silence_s=SILENCE_S, hello=model.start_up)
    return SerialThermometer(line, model.parser(mirror), model.lives, poll=model.poll)

"""The thermometers to choose from: one row each."""

from __future__ import annotations

from dataclasses import dataclass

from drivers.contract import Thermometer
from drivers.errors import BadSetting
from drivers.serial_line.device_protocol import DeviceProtocol
from drivers.serial_line.framing import AnswerParser
from drivers.thermometers import cjmcu_90614, evo_thermal_33, gy_614v, gy_mcu90614, gy_mcu90640, optris, pyrousb
from drivers.thermometers.serial_thermometer import Reading, SerialThermometer
from drivers.thermometers.stuck_sensor import MinimumVariation

ARRAY_LIVES = MinimumVariation(window_s=10.0, spread_c=0.02)  # noise of an MLX90640 pixel: 0.1 °C and more
SPOT_LIVES = MinimumVariation(window_s=60.0, spread_c=0.009)  # any change at all: the wire carries hundredths
COARSE_LIVES = MinimumVariation(window_s=600.0, spread_c=0.09)  # any change at all: the wire carries tenths


@dataclass(frozen=True, slots=True)
class ThermometerModel:
    """One kind of thermometer; the parser of an array takes the setting `mirror`."""

    dialect: DeviceProtocol[AnswerParser[Reading]]
    lives: MinimumVariation
    is_array: bool = False


MODELS: dict[str, ThermometerModel] = {
    "gy-mcu90640": ThermometerModel(
        DeviceProtocol(
            gy_mcu90640.GyMcu90640,
            gy_mcu90640.BAUDS,
            hello=gy_mcu90640.START_UP,
            probe=gy_mcu90640.READ_EMISSIVITY,
            proof=2,
        ),
        ARRAY_LIVES,
        is_array=True,
    ),
    "gy-mcu90614": ThermometerModel(
        DeviceProtocol(
            gy_mcu90614.GyMcu90614,
            gy_mcu90614.BAUDS,
            hello=gy_mcu90614.START_UP,
            probe=gy_mcu90614.QUERY,
            proof=2,
        ),
        SPOT_LIVES,
    ),
    "gy-614v": ThermometerModel(
        DeviceProtocol(
            gy_614v.Gy614v,
            gy_614v.BAUDS,
            hello=gy_614v.START_UP,
            questions=(gy_614v.QUERY,),
            probe=gy_614v.QUERY,
            proof=2,
        ),
        SPOT_LIVES,
    ),
    "cjmcu-90614": ThermometerModel(
        DeviceProtocol(
            cjmcu_90614.Cjmcu90614,
            cjmcu_90614.BAUDS,
            hello=cjmcu_90614.START_UP,
            probe=cjmcu_90614.QUERY,
            proof=2,
        ),
        SPOT_LIVES,
    ),
    "evo-thermal-33": ThermometerModel(
        DeviceProtocol(
            evo_thermal_33.EvoThermal33,
            evo_thermal_33.BAUDS,
            hello=evo_thermal_33.START_UP,
            probe=evo_thermal_33.ACTIVATE,
            proof=2,
        ),
        ARRAY_LIVES,
        is_array=True,
    ),
    "pyrousb": ThermometerModel(
        DeviceProtocol(pyrousb.PyroUsb, pyrousb.BAUDS, questions=(pyrousb.QUERY,), probe=pyrousb.QUERY),
        COARSE_LIVES,
    ),
    "optris": ThermometerModel(
        DeviceProtocol(
            optris.Optris,
            optris.BAUDS,
            questions=optris.QUESTIONS,
            unrecorded=(optris.ASK_HEAD,),
            probe=optris.ASK_TARGET,
            proof=3,
            quiet_s=optris.QUIET_S,
        ),
        COARSE_LIVES,
    ),
    "optris-hr": ThermometerModel(
        DeviceProtocol(
            optris.OptrisHighResolution,
            optris.BAUDS,
            questions=optris.QUESTIONS,
            unrecorded=(optris.ASK_HEAD,),
            quiet_s=optris.QUIET_S,
        ),
        SPOT_LIVES,
    ),
}


def make_thermometer(*, driver: str, port: str, baud: int | None = None, mirror: bool = False) -> Thermometer:
    """The thermometer `driver` on `port`.

    `baud` None tries what the model is sold with; `mirror` puts column 0 of an array at the viewer's left.
    """
    model = MODELS.get(driver)
    if model is None:
        raise BadSetting(f"thermometer driver {driver!r} is not known; accepted: {', '.join(sorted(MODELS))}")
    dialect = model.dialect
    dialect.check_baud(driver, baud)
    if mirror and not model.is_array:
        raise BadSetting(f"mirror does not fit {driver}: it has one spot and no picture; accepted: false")
    line = dialect.line("thermometer", port, baud)
    parser = dialect.parser(mirror=True) if mirror else dialect.parser()
    return SerialThermometer(line, parser, model.lives, questions=dialect.questions)

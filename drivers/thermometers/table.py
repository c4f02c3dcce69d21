"""The supported thermometers, one row each."""

from __future__ import annotations

from dataclasses import dataclass

from drivers.contract import Thermometer
from drivers.errors import BadSetting
from drivers.serial_line.device_protocol import DeviceProtocol
from drivers.serial_line.framing import AnswerParser
from drivers.serial_line.serial_line import SerialLine
from drivers.thermometers import cjmcu_90614, evo_thermal_33, gy_614v, gy_mcu90614, gy_mcu90640, optris, pyrousb
from drivers.thermometers.serial_thermometer import Reading, SerialThermometer
from drivers.thermometers.stuck_sensor import MinimumVariation

ARRAY_VARIATION = MinimumVariation(window_s=10.0, spread_c=0.02)  # noise of an MLX90640 pixel: 0.1 °C and more
SPOT_VARIATION = MinimumVariation(window_s=60.0, spread_c=0.009)  # one step: the protocol carries hundredths
COARSE_VARIATION = MinimumVariation(window_s=600.0, spread_c=0.09)  # one step: the protocol carries tenths


@dataclass(frozen=True, slots=True)
class ThermometerModel:
    """One kind of thermometer; the parser of an array accepts `mirror`."""

    protocol: DeviceProtocol[AnswerParser[Reading]]
    minimum_variation: MinimumVariation
    is_array: bool = False


MODELS: dict[str, ThermometerModel] = {
    "gy-mcu90640": ThermometerModel(
        DeviceProtocol(
            gy_mcu90640.GyMcu90640,
            gy_mcu90640.BAUDS,
            start_up=gy_mcu90640.START_UP,
            probe=gy_mcu90640.READ_EMISSIVITY,
            proof_frames=2,
        ),
        ARRAY_VARIATION,
        is_array=True,
    ),
    "gy-mcu90614": ThermometerModel(
        DeviceProtocol(
            gy_mcu90614.GyMcu90614,
            gy_mcu90614.BAUDS,
            start_up=gy_mcu90614.START_UP,
            probe=gy_mcu90614.QUERY,
            proof_frames=2,
        ),
        SPOT_VARIATION,
    ),
    "gy-614v": ThermometerModel(
        DeviceProtocol(
            gy_614v.Gy614v,
            gy_614v.BAUDS,
            start_up=gy_614v.START_UP,
            queries=(gy_614v.QUERY,),
            probe=gy_614v.QUERY,
            proof_frames=2,
        ),
        SPOT_VARIATION,
    ),
    "cjmcu-90614": ThermometerModel(
        DeviceProtocol(
            cjmcu_90614.Cjmcu90614,
            cjmcu_90614.BAUDS,
            start_up=cjmcu_90614.START_UP,
            probe=cjmcu_90614.QUERY,
            proof_frames=2,
        ),
        SPOT_VARIATION,
    ),
    "evo-thermal-33": ThermometerModel(
        DeviceProtocol(
            evo_thermal_33.EvoThermal33,
            evo_thermal_33.BAUDS,
            start_up=evo_thermal_33.START_UP,
            probe=evo_thermal_33.ACTIVATE,
            proof_frames=2,
        ),
        ARRAY_VARIATION,
        is_array=True,
    ),
    "pyrousb": ThermometerModel(
        DeviceProtocol(pyrousb.PyroUsb, pyrousb.BAUDS, queries=(pyrousb.QUERY,), probe=pyrousb.QUERY),
        COARSE_VARIATION,
    ),
    "optris": ThermometerModel(
        DeviceProtocol(
            optris.Optris,
            optris.BAUDS,
            queries=optris.QUERIES,
            unrecorded_queries=(optris.QUERY_HEAD,),
            probe=optris.QUERY_TARGET,
            proof_frames=3,
            quiet_s=optris.QUIET_S,
        ),
        COARSE_VARIATION,
    ),
    "optris-hr": ThermometerModel(
        DeviceProtocol(
            optris.OptrisHighResolution,
            optris.BAUDS,
            queries=optris.QUERIES,
            unrecorded_queries=(optris.QUERY_HEAD,),
            quiet_s=optris.QUIET_S,
        ),
        SPOT_VARIATION,
    ),
}


def make_thermometer(*, driver: str, port: str, baud: int | None = None, mirror: bool = False) -> Thermometer:
    """The thermometer `driver` on `port`.

    `baud` None tries the rates of the model; `mirror` puts column 0 of an array at the viewer's left.
    """
    model = MODELS.get(driver)
    if model is None:
        raise BadSetting(f"thermometer driver {driver!r} is not known; accepted: {', '.join(sorted(MODELS))}")
    protocol = model.protocol
    if baud is not None and baud not in protocol.bauds:
        raise BadSetting(f"baud {baud} is not supported by {driver}; accepted: {', '.join(map(str, protocol.bauds))}")
    if mirror and not model.is_array:
        raise BadSetting(f"mirror is not supported by {driver}, a spot thermometer; accepted: false")
    line = SerialLine(
        "thermometer",
        port,
        bauds=protocol.bauds if baud is None else (baud,),
        silence_s=protocol.silence_s,
        quiet_s=protocol.quiet_s,
        start_up=protocol.start_up,
    )
    parser = protocol.parser(mirror=True) if mirror else protocol.parser()
    return SerialThermometer(line, parser, model.minimum_variation, queries=protocol.queries)

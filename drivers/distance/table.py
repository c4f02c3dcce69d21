"""The distance sensors to choose from: one row each."""

from __future__ import annotations

from drivers.contract import DistanceReading, Ranger
from drivers.distance import evo_mini, tof10120, tofsense
from drivers.errors import BadSetting
from drivers.serial_line.device_protocol import DeviceProtocol
from drivers.serial_line.framing import Parser
from drivers.serial_line.serial_sensor import SerialSensor

DISTANCE_SENSORS: dict[str, DeviceProtocol[Parser[DistanceReading]]] = {
    "tof10120": DeviceProtocol(tof10120.Tof10120, tof10120.BAUDS, proof=3),
    "evo-mini": DeviceProtocol(evo_mini.EvoMini, evo_mini.BAUDS, evo_mini.START_UP, probe=evo_mini.AS_BYTES, proof=3),
    "tofsense": DeviceProtocol(tofsense.TofSense, tofsense.BAUDS, probe=tofsense.QUERY, proof=2),
}


def make_ranger(*, driver: str, port: str, baud: int | None = None) -> Ranger:
    """The distance sensor `driver` on `port`; `baud` None tries what the model is sold with."""
    dialect = DISTANCE_SENSORS.get(driver)
    if dialect is None:
        raise BadSetting(f"ranger driver {driver!r} is not known; accepted: {', '.join(sorted(DISTANCE_SENSORS))}")
    dialect.check_baud(driver, baud)
    return SerialSensor(dialect.line("ranger", port, baud), dialect.parser())

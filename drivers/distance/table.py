"""The supported distance sensors, one row each."""

from __future__ import annotations

from drivers.contract import DistanceReading, Ranger
from drivers.distance import evo_mini, tof10120, tofsense
from drivers.errors import BadSetting
from drivers.serial_line.device_protocol import DeviceProtocol
from drivers.serial_line.framing import Parser
from drivers.serial_line.serial_sensor import SerialSensor

DISTANCE_SENSORS: dict[str, DeviceProtocol[Parser[DistanceReading]]] = {
    "tof10120": DeviceProtocol(tof10120.Tof10120, tof10120.BAUDS, proof_frames=3),
    "evo-mini": DeviceProtocol(
        evo_mini.EvoMini, evo_mini.BAUDS, evo_mini.START_UP, probe=evo_mini.AS_BYTES, proof_frames=3
    ),
    "tofsense": DeviceProtocol(tofsense.TofSense, tofsense.BAUDS, probe=tofsense.QUERY, proof_frames=2),
}


def make_ranger(*, driver: str, port: str, baud: int | None = None) -> Ranger:
    """The distance sensor `driver` on `port`; `baud` None tries the rates of the model."""
    protocol = DISTANCE_SENSORS.get(driver)
    if protocol is None:
        raise BadSetting(f"ranger driver {driver!r} is not known; accepted: {', '.join(sorted(DISTANCE_SENSORS))}")
    protocol.check_baud(driver, baud)
    return SerialSensor(protocol.line("ranger", port, baud), protocol.parser())

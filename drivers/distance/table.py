"""The supported distance sensors, one row each."""

from __future__ import annotations

from drivers.distance import evo_mini, tof10120, tofsense
from drivers.distance.reading import DistanceReading
from drivers.serial_line.device_protocol import DeviceProtocol
from drivers.serial_line.framing import Parser

DISTANCE_SENSORS: dict[str, DeviceProtocol[Parser[DistanceReading]]] = {
    "tof10120": DeviceProtocol(tof10120.Tof10120, tof10120.BAUDS, proof_frames=3),
    "evo-mini": DeviceProtocol(
        evo_mini.EvoMini, evo_mini.BAUDS, evo_mini.START_UP, probe=evo_mini.AS_BYTES, proof_frames=3
    ),
    "tofsense": DeviceProtocol(tofsense.TofSense, tofsense.BAUDS, probe=tofsense.QUERY, proof_frames=2),
}

"""Every device that can be heard, decoded or looked for on a serial line, by its driver's name."""

from __future__ import annotations

from typing import Any

from drivers.distance.table import DISTANCE_SENSORS
from drivers.gates import modbus_relay, wiring
from drivers.gates.commands import LcusCommands, ModbusRelayCommands
from drivers.readers import qr_line, sam_v, sam_v_reader
from drivers.serial_line.device_protocol import DeviceProtocol
from drivers.serial_line.framing import Parser
from drivers.thermometers.table import MODELS

READERS: dict[str, DeviceProtocol[Parser[Any]]] = {
    "sam-v": DeviceProtocol(
        sam_v.SamVCards,
        (sam_v.BAUD,),
        questions=(sam_v.FIND, sam_v.SELECT, sam_v.READ),
        unrecorded=(sam_v.READ,),
        probe=sam_v.STATUS,
        silence_s=sam_v_reader.SILENCE_S,
    ),
    "qr-line": DeviceProtocol(qr_line.QrLineParser, qr_line.BAUDS, quiet_s=qr_line.GAP_S, silence_s=None),
}
RELAYS: dict[str, DeviceProtocol[Parser[Any]]] = {
    "lcus": DeviceProtocol(LcusCommands, (wiring.BAUD,)),
    "modbus-relay": DeviceProtocol(ModbusRelayCommands, (wiring.BAUD,), probe=modbus_relay.MODBUS_READ_RELAYS),
}

THERMOMETERS: dict[str, DeviceProtocol[Parser[Any]]] = {name: model.dialect for name, model in MODELS.items()}
DIALECTS: dict[str, DeviceProtocol[Parser[Any]]] = {**THERMOMETERS, **DISTANCE_SENSORS, **READERS, **RELAYS}

_SECTIONS = {
    "thermometer": THERMOMETERS,
    "ranger": DISTANCE_SENSORS,
    "reader": ("qr-line",),
    "card_reader": ("sam-v",),
    "gate": RELAYS,
}


def settings_section(driver: str) -> str:
    """The section of the settings that `driver`, one of DIALECTS, belongs in."""
    return next(section for section, drivers in _SECTIONS.items() if driver in drivers)

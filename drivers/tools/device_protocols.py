"""The protocols of all serial devices, by driver name: for watching, recording, replaying and probing."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from drivers.distance.table import DISTANCE_SENSORS
from drivers.gates import modbus_relay, wiring
from drivers.gates.relay_commands import LcusCommands, ModbusRelayCommands
from drivers.readers import qr_line, sam_v, sam_v_reader
from drivers.readers.wrapping import Wrapping
from drivers.serial_line.device_protocol import DeviceProtocol
from drivers.serial_line.framing import Parser
from drivers.thermometers.table import MODELS

READERS: dict[str, DeviceProtocol[Parser[Any]]] = {
    "sam-v": DeviceProtocol(
        sam_v.SamVCards,
        (sam_v.BAUD,),
        queries=(sam_v.FIND, sam_v.SELECT, sam_v.READ),
        unrecorded_queries=(sam_v.READ,),
        probe=sam_v.STATUS,
        silence_s=sam_v_reader.SILENCE_S,
    ),
    "qr-line": DeviceProtocol(qr_line.QrLineParser, qr_line.BAUDS, quiet_s=qr_line.GAP_S, silence_s=None),
}
RELAYS: dict[str, DeviceProtocol[Parser[Any]]] = {
    "lcus": DeviceProtocol(LcusCommands, (wiring.BAUD,)),
    "modbus-relay": DeviceProtocol(ModbusRelayCommands, (wiring.BAUD,), probe=modbus_relay.MODBUS_READ_RELAYS),
}

THERMOMETERS: dict[str, DeviceProtocol[Parser[Any]]] = {name: model.protocol for name, model in MODELS.items()}
PROTOCOLS: dict[str, DeviceProtocol[Parser[Any]]] = {**THERMOMETERS, **DISTANCE_SENSORS, **READERS, **RELAYS}

_SECTIONS = {
    "thermometer": THERMOMETERS,
    "ranger": DISTANCE_SENSORS,
    "reader": ("qr-line",),
    "card_reader": ("sam-v",),
    "gate": RELAYS,
}


def protocol_with(driver: str, wrapping: Wrapping) -> DeviceProtocol[Parser[Any]]:
    """The protocol of `driver`, one of PROTOCOLS; that of a code reader takes `wrapping` off its codes."""
    protocol = PROTOCOLS[driver]
    if protocol.parser is not qr_line.QrLineParser:
        return protocol
    return replace(protocol, parser=partial(qr_line.QrLineParser, wrapping=wrapping))


def settings_section(driver: str) -> str:
    """The section of the settings for `driver`, one of PROTOCOLS."""
    return next(section for section, drivers in _SECTIONS.items() if driver in drivers)

"""Probing: every kind of device on its own wire, all at once."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from drivers.gates.modbus_relay import MODBUS_READ_RELAYS
from drivers.readers import sam_v as sam_v_host
from drivers.serial_line import modbus
from drivers.serial_line.open_port import open_port
from drivers.simulated.devices import sensor_frames
from drivers.simulated.devices.sam_v import answer
from drivers.simulated.devices.wire import PtyWire
from drivers.thermometers import gy_614v, gy_mcu90640, optris, pyrousb
from drivers.tools.device_protocols import PROTOCOLS
from drivers.tools.probe import BAUDS, Guess, ProbeResult, ProbeTimeouts, probe_all, proposed_settings
from tests.drivers.driver_bench import noisy_frame

RELAYS_STATE = b"\x01\x01\x01\x00"
Device = Callable[[bytes], bytes]
"""The bytes a device sends every 50 ms, from the bytes received since."""


def speaks(frame: bytes) -> Device:
    return lambda _heard: frame


def answers(query: bytes, reply: bytes) -> Device:
    return lambda heard: reply * heard.count(query)


DEVICES: dict[str, Device] = {
    "gy-mcu90640": speaks(noisy_frame(1)),
    "gy-mcu90614": speaks(sensor_frames.gy_mcu90614(36.0, 25.0)),
    "cjmcu-90614": speaks(sensor_frames.cjmcu_90614(36.0, 25.0)),
    "evo-mini": speaks(sensor_frames.evo_mini(450)),
    "tof10120": speaks(sensor_frames.tof10120(450)),
    "tofsense": speaks(sensor_frames.tofsense(450)),
    "gy-614v": answers(gy_614v.QUERY, sensor_frames.gy_614v(36.0, 25.0)),
    "pyrousb": answers(pyrousb.QUERY, sensor_frames.pyrousb(36.0, 25.0)),
    "optris": answers(optris.QUERY_TARGET, sensor_frames.optris(36.0)),
    "sam-v": answers(sam_v_host.STATUS, answer(sam_v_host.OK)),
    "modbus-relay": answers(MODBUS_READ_RELAYS, RELAYS_STATE + modbus.crc16(RELAYS_STATE)),
}
QUIET_ARRAY = answers(gy_mcu90640.READ_EMISSIVITY, b"\x5a\x5a\x62\x16")
NOTHING = speaks(b"")
BABBLE = speaks(b"\xa7\x31\xff")
CODE = speaks(b"999999199001010016\r\n")


async def live(wire: PtyWire, device: Device) -> None:
    while True:
        if reply := device(wire.read()):
            wire.write(reply)
        await asyncio.sleep(0.05)


WRAPPED = speaks(b"\x06\x02]Q1999999199001010016\x03")


USUAL = ProbeTimeouts(0.5, 0.15)


async def probed(
    tmp_path: Path, devices: dict[str, Device], timeouts: ProbeTimeouts = USUAL, *, show_codes: bool = False
) -> dict[str, ProbeResult]:
    with ExitStack() as wires:
        async with asyncio.TaskGroup() as tasks:
            plugged = {name: wires.enter_context(PtyWire(tmp_path / name)) for name in devices}
            living = [tasks.create_task(live(wire, devices[name])) for name, wire in plugged.items()]
            ports = [str(wire.link) for wire in plugged.values()]
            findings = await probe_all(ports, timeouts, show_codes=show_codes)
            for task in living:
                task.cancel()
    return dict(zip(devices, findings, strict=True))


async def test_every_device_is_identified(tmp_path: Path) -> None:
    others = {"array asked": QUIET_ARRAY, "nothing": NOTHING, "babble": BABBLE, "code": CODE, "wrapped": WRAPPED}
    found = await probed(tmp_path, DEVICES | others)
    assert {name: found[name].guess.driver for name in DEVICES} == {name: name for name in DEVICES}
    assert found["array asked"].guess.driver == "gy-mcu90640"
    assert found["gy-614v"].guess.told == {"object_c": 36.0, "ambient_c": 25.0}
    assert (found["nothing"].guess.driver, found["nothing"].guess.note) == ("", "silent")
    assert (found["babble"].guess.driver, found["babble"].guess.note) == ("", "sends data in an unknown format")
    assert found["code"].guess.driver == found["wrapped"].guess.driver == "qr-line"
    assert "code of 18 characters; taken off: STX, ETX, ]Q1" in found["wrapped"].line()
    assert not any("999999" in finding.line() for finding in found.values())
    assert all(finding.guess.baud in PROTOCOLS[name].bauds for name, finding in found.items() if name in DEVICES)


async def test_a_code_is_shown_with_its_bytes_only_on_request(tmp_path: Path) -> None:
    (shown,) = (await probed(tmp_path, {"wrapped": WRAPPED}, ProbeTimeouts(0.3, 0.01), show_codes=True)).values()
    assert shown.guess.told is not None
    assert (shown.guess.told["text"], shown.guess.told["taken_off"]) == ("999999199001010016", "STX, ETX, ]Q1")
    assert r"\x02]Q1999999199001010016\x03" in shown.line()


async def test_a_port_in_use_and_a_missing_port_are_reported(tmp_path: Path) -> None:
    with PtyWire(tmp_path / "port") as wire, open_port(str(wire.link), 9600):
        busy, absent = await probe_all([str(wire.link), str(tmp_path / "absent")])
    assert "another program has it open" in busy.line()
    assert "No such file" in absent.line()


def test_the_proposal_is_toml_for_the_settings() -> None:
    def found(driver: str, port: str, baud: int = 115200) -> ProbeResult:
        return ProbeResult(port, port, Guess(driver, baud, None))

    text = proposed_settings(
        [
            found("gy-mcu90640", "/dev/serial/by-id/a"),
            found("gy-614v", "usb@1-1", 9600),
            found("", "usb@1-2"),
            found("modbus-relay", "usb@1-3", 9600),
            found("tof10120", "usb@1-4", 9600),
            found("qr-line", "usb:1eab:0006"),
        ]
    )
    assert tomllib.loads(text) == {
        "thermometer": {"driver": "gy-mcu90640", "port": "/dev/serial/by-id/a", "baud": 115200},
        "gate": {"driver": "modbus-relay", "port": "usb@1-3"},
        "ranger": {"driver": "tof10120", "port": "usb@1-4", "baud": 9600},
        "reader": {"driver": "qr-line", "port": "usb:1eab:0006", "baud": 115200},
    }
    assert '# driver = "gy-614v"' in text
    assert proposed_settings([found("", "usb@1-2")]) == ""


def test_every_rate_of_every_device_is_tried() -> None:
    assert set(BAUDS) == {baud for protocol in PROTOCOLS.values() for baud in protocol.bauds}

"""Names of serial ports that survive a reboot, a replug and a second device of the same kind."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from drivers.contract import PartState
from drivers.errors import BadSetting, DeviceLost
from drivers.serial_line.ports import PortInfo, check_name, find, stable_name
from drivers.serial_line.serial_line import SerialLine
from drivers.simulated.devices.sensor_frames import gy_mcu90614
from drivers.simulated.devices.wire import PtyWire
from drivers.thermometers.gy_mcu90614 import GyMcu90614
from drivers.thermometers.serial_thermometer import SerialThermometer
from drivers.thermometers.stuck_sensor import MinimumVariation
from tests.drivers.driver_bench import eventually, running, state

FTDI = PortInfo("/dev/ttyUSB1", "/dev/serial/by-id/usb-FTDI_A50285BI", 0x0403, 0x6001, "A50285BI", "1-1.2", "FT232R")
LEFT = PortInfo("/dev/ttyUSB0", "/dev/serial/by-id/usb-1a86_USB_Serial", 0x1A86, 0x7523, "", "1-1.3", "USB Serial")
RIGHT = PortInfo("/dev/ttyUSB2", "", 0x1A86, 0x7523, "", "1-1.4", "USB Serial")
READER = PortInfo("/dev/ttyACM0", "", 0x1EAB, 0x0006, "0001", "1-1.1:1.0", "NLS")
ONBOARD = PortInfo("/dev/ttyS0")
PORTS = [FTDI, LEFT, RIGHT, READER, ONBOARD]


@pytest.mark.parametrize(
    ("name", "device"),
    [
        ("usb:0403:6001", "/dev/ttyUSB1"),
        ("usb:0403:6001:A50285BI", "/dev/ttyUSB1"),
        ("usb:1EAB:0006", "/dev/ttyACM0"),
        ("usb@1-1.4", "/dev/ttyUSB2"),
        ("usb@1-1.1", "/dev/ttyACM0"),
        ("usb@1-1.1:1.0", "/dev/ttyACM0"),
        ("/dev/serial/by-id/usb-FTDI_A50285BI", "/dev/serial/by-id/usb-FTDI_A50285BI"),
    ],
)
def test_a_name_leads_to_its_port(name: str, device: str) -> None:
    assert find(name, PORTS) == device


@pytest.mark.parametrize("name", ["usb:0403:6001:OTHER", "usb@1-1.9", "usb:ffff:0001"])
def test_a_port_that_is_not_there_is_lost(name: str) -> None:
    with pytest.raises(DeviceLost, match="no port matches"):
        find(name, PORTS)


def test_an_ambiguous_name_is_reported_with_the_alternative() -> None:
    with pytest.raises(DeviceLost, match=r"ttyUSB0 and /dev/ttyUSB2; name one by usb@LOCATION"):
        find("usb:1a86:7523", PORTS)


@pytest.mark.parametrize("name", ["", "usb", "usb:", "usb:1a86", "usb:xyzw:7523", "usb@", "usb@hub"])
def test_an_invalid_name_is_refused(name: str) -> None:
    with pytest.raises(BadSetting, match=r"accepted: .*usb@LOCATION"):
        check_name(name)


def test_the_persistent_name_is_proposed() -> None:
    assert [stable_name(port, PORTS) for port in PORTS] == [
        "/dev/serial/by-id/usb-FTDI_A50285BI",
        "usb@1-1.3",  # no serial number: by the socket
        "usb@1-1.4",
        "usb:1eab:0006:0001",
        "/dev/ttyS0",
    ]
    assert stable_name(FTDI, [FTDI, FTDI]) == "usb@1-1.2"  # a serial number that two devices share is none


async def test_a_device_that_comes_back_under_another_number_is_read_again(tmp_path: Path) -> None:
    bus: list[PortInfo] = []
    line = SerialLine(
        "thermometer", "usb:1a86:7523", bauds=(9600,), silence_s=2.0, find_port=lambda name: find(name, bus)
    )
    thermometer = SerialThermometer(line, GyMcu90614(), MinimumVariation(60.0, 0.009))
    wire = PtyWire(tmp_path / "ttyUSB0")
    async with running(thermometer):
        await eventually(lambda: "no port matches usb:1a86:7523" in thermometer.health.detail)
        for number in range(3):
            wire.plug(tmp_path / f"ttyUSB{number}")
            bus[:] = [PortInfo(str(wire.link), vendor_id=0x1A86, product_id=0x7523)]
            before = thermometer.readings.sequence
            while thermometer.readings.sequence == before:
                wire.write(gy_mcu90614(30 + number, 25.0))
                await asyncio.sleep(0.02)
            wire.read()
            wire.unplug()
            bus.clear()
            await state(thermometer, PartState.LOST)
            assert thermometer.readings.value.object_c == 30 + number

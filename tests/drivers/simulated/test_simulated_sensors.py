"""The firmware side of every protocol: replies to the commands of the manuals, whole or split."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from drivers.simulated.devices.gate import SimulatedModbusBoard
from drivers.simulated.devices.sensor_firmware import SensorFirmware
from drivers.simulated.devices.sensor_frames import modbus_crc
from drivers.simulated.devices.table import SENSORS
from drivers.simulated.devices.wire import PtyWire
from tests.limits import HANG_S

SPOT = "5A5A4504 0D7A 09C4 51"


def sensor(driver: str) -> SensorFirmware:
    """A sensor that measures the values of the worked frames."""
    before = {"tof10120": 450, "evo-mini": 450, "tofsense": 2221, "pyrousb": 36.5}
    return SENSORS[driver](lambda: before.get(driver, 34.5))


def said(it: SensorFirmware, command: str) -> list[str]:
    """Its replies in hex to a command received byte by byte."""
    return [answer.hex() for byte in bytes.fromhex(command) for answer in it.feed(bytes((byte,)))]


@pytest.mark.parametrize(
    ("driver", "command", "answer"),
    [
        ("gy-mcu90640", "A55501FB", "5A5A5F13"),
        ("gy-mcu90614", "A515BA", SPOT),
        ("gy-614v", "A4060301AE", "A4060301AE"),
        ("gy-614v", "A4030707B5", "A4030707 62 0D7A 09C4 0DAC 24"),
        ("cjmcu-90614", "66660256", "66660204 0D7A 09C4 54"),
        ("pyrousb", "01040012000191CF", "010402 016D 79 4D"),
        ("optris", "01", "0541"),
        ("optris", "02", "04E2"),
        ("optris", "8403B631", "03B6"),
        ("tofsense", "5710FFFF00FFFF63", "5700FF00 9E8F0000 AD0800 00 0300 FF 3A"),
    ],
)
def test_an_answer(driver: str, command: str, answer: str) -> None:
    assert said(sensor(driver), "00 FF" + command) == [bytes.fromhex(answer).hex()]


@pytest.mark.parametrize(
    ("driver", "command"),
    [
        ("gy-mcu90614", "A515BB"),
        ("gy-614v", "A4030707B6"),
        ("gy-614v", "A4030E07BC"),  # past the last register
        ("pyrousb", "01040012000191CE"),
        ("tofsense", "5710FFFF00FFFF64"),
    ],
)
def test_a_damaged_command_is_not_answered(driver: str, command: str) -> None:
    assert said(sensor(driver), command) == []


def test_a_query_ends_continuous_mode_until_it_is_restarted() -> None:
    for driver, ask, start in (("gy-mcu90614", "A515BA", "A545EA"), ("cjmcu-90614", "66660256", "66660156")):
        it = sensor(driver)
        assert it.frame()
        assert len(said(it, ask)) == 1
        assert not it.frame()
        assert said(it, start) == []
        assert it.frame()


def test_saved_settings_survive_a_power_cycle_and_others_do_not() -> None:
    spot = sensor("gy-mcu90614")
    said(spot, "A552F7")
    assert spot.frame()
    spot.power_up()
    assert not spot.frame()
    registers = sensor("gy-614v")
    for command, kept in (("A406075F10", "62"), ("A406075F10 A406055504", "5f")):
        said(registers, command)
        assert said(registers, "A4030701AF")[0][8:10] == "5f"
        registers.power_up()
        assert said(registers, "A4030701AF")[0][8:10] == kept


def test_the_evo_thermal_waits_for_activation_and_acknowledges_commands() -> None:
    it = sensor("evo-thermal-33")
    assert not it.frame()
    assert said(it, "00520201DE")[0].startswith("1452ff")
    assert not it.frame()
    assert said(it, "00520201DF")[0].startswith("145200")
    assert len(it.frame()) == 2070
    assert said(it, "00516230")[0].startswith("145100")
    it.power_up()
    assert not it.frame()


def test_the_evo_mini_sends_bytes_on_command_with_its_number_of_pixels() -> None:
    it = sensor("evo-mini")
    assert not it.frame()
    assert said(it, "0011024C")[0].startswith("121100")
    assert it.frame().hex() == "5401c2da"
    said(it, "002103B2")
    assert len(it.frame()) == 6
    said(it, "002102B5")
    assert len(it.frame()) == 10
    said(it, "00110145")
    assert not it.frame()


def reply_to(it: SensorFirmware, request: str) -> str:
    """Its reply to a Modbus request."""
    (answer,) = said(it, request + modbus_crc(bytes.fromhex(request)).hex())
    return answer


def test_the_pyrousb_keeps_to_its_registers() -> None:
    it = sensor("pyrousb")
    assert reply_to(it, "010400120004").startswith("010408" + "016d" * 2 + "00fa" + "0000")
    assert reply_to(it, "01060018251C").startswith("01060018251c")
    assert reply_to(it, "010300180001").startswith("010302251c")
    assert reply_to(it, "010400FF0001").startswith("018402")
    assert reply_to(it, "010600120001").startswith("018602")


def test_the_tof10120_takes_an_interval() -> None:
    it = sensor("tof10120")
    assert it.feed(b"s2-") == it.feed(b"20#") == []
    assert it.frame() == b"450mm\r\n"


async def test_a_relay_board_switches_toggles_and_switches_all(tmp_path: Path) -> None:
    with PtyWire(tmp_path / "port") as wire:
        board = SimulatedModbusBoard(wire)
        task = asyncio.create_task(board.run())
        host = os.open(wire.link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)

        async def send(request: str, relays: str) -> None:
            """Send a request that is echoed, and check the relays."""
            sent = bytes.fromhex(request)
            os.write(host, sent)
            async with asyncio.timeout(HANG_S):
                while len(board.requests) == len(done):
                    await asyncio.sleep(0.005)
            done.append(sent)
            assert "".join("-x"[on] for on in board.relays) == relays
            assert os.read(host, 100)[:6] == sent[:6]

        done: list[bytes] = []
        await send("01050000FF008C3A", "x-------")
        await send("010500005500F29A", "--------")
        await send("010500FFFF00BC0A", "xxxxxxxx")
        await send("010500000000CDCA", "-xxxxxxx")
        await send("010F000000080100FE95", "--------")
        await send("0105020000078DB0", "x-------")
        assert board.pulses == 1
        os.close(host)
        task.cancel()

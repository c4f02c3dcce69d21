from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import modbus
from drivers.contract import PartState
from drivers.errors import BadSetting, DeviceLost, DeviceRefused
from drivers.gate import MODBUS_READ_RELAYS, lcus_command, make_gate, modbus_pulse
from drivers.simulated.wire import PtyWire
from tests.drivers.driver_bench import eventually, heard, running, state


def test_lcus_commands() -> None:
    assert [lcus_command(1, on=True).hex(), lcus_command(1, on=False).hex()] == ["a00101a2", "a00100a1"]
    assert [lcus_command(2, on=True).hex(), lcus_command(2, on=False).hex()] == ["a00201a3", "a00200a2"]


def test_modbus_frames() -> None:
    assert modbus_pulse(1, 700) == bytes.fromhex("010502000007 8DB0")
    assert modbus_pulse(1, 500) == modbus_pulse(1, 401) == bytes.fromhex("010502000005 0C71")
    assert bytes.fromhex("010100000008 3DCC") == MODBUS_READ_RELAYS
    assert modbus.request(1, 5, 0, 0xFF00) == bytes.fromhex("01050000FF00 8C3A")
    assert modbus.request(1, 5, 0xFF, 0) == bytes.fromhex("010500FF0000 FDFA")
    assert modbus.crc16(bytes.fromhex("010F000000080100")) == bytes.fromhex("FE95")


def with_crc(body: str) -> bytes:
    return bytes.fromhex(body) + modbus.crc16(bytes.fromhex(body))


def test_modbus_answers() -> None:
    asked = modbus_pulse(1, 700)
    assert modbus.answer(asked, asked, 8) == 0
    assert modbus.answer(asked, asked[:7], 8) is None
    assert modbus.answer(asked, asked[:7] + b"\0", 8) is None
    assert modbus.answer(asked, with_crc("018502"), 8) == 2
    assert modbus.answer(asked, with_crc("028502"), 8) is None


@given(st.binary(max_size=20))
def test_any_bytes_are_survived(received: bytes) -> None:
    assert modbus.answer(MODBUS_READ_RELAYS, received, 6) in {None, 0, *range(256)}


async def test_lcus_gate_is_off_at_first_held_open_and_off_again(tmp_path: Path) -> None:
    gate = make_gate(driver="lcus", port=str(tmp_path / "port"), channel=2)
    on, off = lcus_command(2, on=True), lcus_command(2, on=False)
    with PtyWire(tmp_path / "port") as wire:
        async with running(gate):
            await state(gate, PartState.OK)
            await heard(wire, off)
            first = asyncio.create_task(gate.pulse(100))
            await heard(wire, on)
            await gate.pulse(200)
            assert first.done()
            assert await heard(wire, off) == on + off
            holding = asyncio.create_task(gate.pulse(60_000))
            await heard(wire, on)
            holding.cancel()
            await heard(wire, off)


async def test_lcus_gate_that_is_unplugged_cannot_open(tmp_path: Path) -> None:
    gate = make_gate(driver="lcus", port=str(tmp_path / "port"))
    with PtyWire(tmp_path / "port") as wire:
        async with running(gate):
            await state(gate, PartState.OK)
            wire.unplug()
            await state(gate, PartState.LOST, 0.5)
            with pytest.raises(DeviceLost):
                await gate.pulse(100)


async def relay_board(wire: PtyWire, asked: list[bytes], exception: bool = False) -> None:
    """A Modbus relay: echoes a pulse or refuses it, and tells the state of its relays."""
    received = b""
    while True:
        received += wire.read()
        if len(received) >= 8:
            request, received = received[:8], received[8:]
            asked.append(request)
            if request[1] == modbus.READ_COILS:
                wire.write(with_crc("01010100"))
            else:
                wire.write(with_crc("018502") if exception else request)
        await asyncio.sleep(0.005)


async def test_modbus_gate_lets_the_board_time_the_pulse(tmp_path: Path) -> None:
    gate = make_gate(driver="modbus-relay", port=str(tmp_path / "port"))
    asked: list[bytes] = []
    with PtyWire(tmp_path / "port") as wire:
        async with running(gate):
            board = asyncio.create_task(relay_board(wire, asked))
            await state(gate, PartState.OK)
            await gate.pulse(300)
            assert modbus_pulse(1, 300) in asked
            assert gate.counters["pulses"] == 1
            board.cancel()
            with pytest.raises(DeviceLost, match="does not answer"):
                await gate.pulse(300)
            await state(gate, PartState.LOST)


async def test_modbus_gate_says_that_the_board_refuses(tmp_path: Path) -> None:
    gate = make_gate(driver="modbus-relay", port=str(tmp_path / "port"), channel=8)
    with PtyWire(tmp_path / "port") as wire:
        async with running(gate):
            board = asyncio.create_task(relay_board(wire, [], exception=True))
            await state(gate, PartState.OK)
            with pytest.raises(DeviceRefused, match="exception 2"):
                await gate.pulse(300)
            board.cancel()
    assert gate.counters["pulses"] == 0


async def test_no_gate_counts_only() -> None:
    gate = make_gate(driver="none")
    async with running(gate):
        await eventually(lambda: gate.health.state is PartState.OK)
        await gate.pulse(10)
    assert gate.counters["pulses"] == 1


@pytest.mark.parametrize(
    ("options", "named"),
    [({"driver": "servo"}, "lcus, modbus-relay, none"), ({"driver": "lcus", "channel": 0}, "1 to 8")],
)
def test_wrong_settings_name_what_is_accepted(options: dict[str, object], named: str) -> None:
    with pytest.raises(BadSetting, match=named):
        make_gate(port="/dev/ttyUSB0", **options)  # type: ignore[arg-type]


async def test_an_impossible_pulse_is_refused() -> None:
    with pytest.raises(BadSetting, match="60000"):
        await make_gate(driver="none").pulse(0)

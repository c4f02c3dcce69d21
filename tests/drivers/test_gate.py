from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.contract import Gate, PartState
from drivers.errors import BadSetting, DeviceLost, DeviceRefused
from drivers.gates.lcus import lcus_command
from drivers.gates.modbus_relay import MODBUS_READ_INPUTS, MODBUS_READ_RELAYS, modbus_pulse, modbus_switch
from drivers.gates.table import make_gate
from drivers.serial_line import modbus
from drivers.simulated.devices.gate import SimulatedModbusBoard
from drivers.simulated.devices.wire import PtyWire
from tests.drivers.driver_bench import eventually, heard, running, state, walk_through
from tests.limits import HANG_S


def test_lcus_commands() -> None:
    assert [lcus_command(1, on=True).hex(), lcus_command(1, on=False).hex()] == ["a00101a2", "a00100a1"]
    assert [lcus_command(2, on=True).hex(), lcus_command(2, on=False).hex()] == ["a00201a3", "a00200a2"]


def test_modbus_frames() -> None:
    assert modbus_pulse(1, 700) == bytes.fromhex("010502000007 8DB0")
    assert modbus_pulse(1, 500) == modbus_pulse(1, 401) == bytes.fromhex("010502000005 0C71")
    assert bytes.fromhex("010100000008 3DCC") == MODBUS_READ_RELAYS
    assert modbus_switch(1, on=True) == bytes.fromhex("01050000FF00 8C3A")
    assert modbus_switch(1, on=False) == bytes.fromhex("010500000000 CDCA")
    assert MODBUS_READ_INPUTS[:6] == bytes.fromhex("010200000008")
    assert modbus.request(1, 5, 0xFF, 0) == bytes.fromhex("010500FF0000 FDFA")
    assert modbus.crc16(bytes.fromhex("010F000000080100")) == bytes.fromhex("FE95")


def with_crc(body: str) -> bytes:
    return bytes.fromhex(body) + modbus.crc16(bytes.fromhex(body))


def test_modbus_answers() -> None:
    request = modbus_pulse(1, 700)
    assert modbus.answer(request, request, 8) == 0
    assert modbus.answer(request, request[:7], 8) is None
    assert modbus.answer(request, request[:7] + b"\0", 8) is None
    assert modbus.answer(request, with_crc("018502"), 8) == 2
    assert modbus.answer(request, with_crc("028502"), 8) is None
    assert modbus.answer(request, modbus_switch(2, on=False), 8) is None
    assert modbus.answer(MODBUS_READ_INPUTS, with_crc("01020105"), 6) == 0


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
            await state(gate, PartState.LOST)
            with pytest.raises(DeviceLost):
                await gate.pulse(100)


@asynccontextmanager
async def board(folder: Path, channels: int = 8) -> AsyncIterator[SimulatedModbusBoard]:
    """A Modbus relay board on the port in `folder`."""
    with PtyWire(folder / "port") as wire:
        simulated = SimulatedModbusBoard(wire, channels)
        task = asyncio.create_task(simulated.run())
        try:
            yield simulated
        finally:
            task.cancel()


async def test_modbus_gate_lets_the_board_time_the_pulse(tmp_path: Path) -> None:
    gate = make_gate(driver="modbus-relay", port=str(tmp_path / "port"))
    async with board(tmp_path) as simulated, running(gate):
        await state(gate, PartState.OK)
        opening = asyncio.create_task(gate.pulse(300))
        await eventually(lambda: simulated.relays[0])
        await opening
        await eventually(lambda: not simulated.relays[0])
        assert modbus_pulse(1, 300) in simulated.requests
        assert (gate.counters["pulses"], simulated.pulses) == (1, 1)
        assert not await gate.passed(0.1)
        simulated.mute = True
        with pytest.raises(DeviceLost, match="does not answer"):
            await gate.pulse(300)
        await state(gate, PartState.LOST)
        simulated.mute = False
        await state(gate, PartState.OK)


async def test_modbus_gate_reports_that_the_board_refuses(tmp_path: Path) -> None:
    gate = make_gate(driver="modbus-relay", port=str(tmp_path / "port"), channel=8)
    async with board(tmp_path, channels=4), running(gate):
        with pytest.raises(DeviceRefused, match="pulse of relay 8 with exception 2"):
            await pulsed(gate)
    assert gate.counters["pulses"] == 0


async def pulsed(gate: Gate) -> None:
    """A pulse as soon as the port is open."""
    await eventually(lambda: gate.counters["opened"] > 0)
    await gate.pulse(100)


async def test_a_passage_is_distinguished_from_an_open_gate(tmp_path: Path) -> None:
    gate = make_gate(driver="modbus-relay", port=str(tmp_path / "port"), passage_input=3)
    async with board(tmp_path) as simulated, running(gate):
        await state(gate, PartState.OK)
        await simulated.walk_through(0.2, sensor=3)  # no pulse yet
        await gate.pulse(100)
        assert not await gate.passed(0.3)
        await gate.pulse(100)
        walking = asyncio.create_task(walk_through(simulated, sensor=3))
        assert await gate.passed(HANG_S)
        await walking
        await gate.pulse(100)
        assert not await gate.passed(0.2)


async def test_a_board_without_inputs_reports_broken_and_still_opens(tmp_path: Path) -> None:
    gate = make_gate(driver="modbus-relay", port=str(tmp_path / "port"), passage_input=1)
    async with board(tmp_path, channels=4), running(gate):
        await state(gate, PartState.BROKEN)
        assert "no inputs" in gate.health.detail
        await gate.pulse(100)  # but the gate opens


@pytest.mark.parametrize("driver", ["lcus", "none"])
async def test_without_a_sensor_no_passage_is_reported(tmp_path: Path, driver: str) -> None:
    assert not await make_gate(driver=driver, port=str(tmp_path / "port")).passed(60)


async def test_the_lamp_is_a_relay_of_its_own_and_off_when_the_port_opens(tmp_path: Path) -> None:
    gate = make_gate(driver="modbus-relay", port=str(tmp_path / "port"), lamp_channel=2)
    async with board(tmp_path) as simulated:
        async with running(gate):
            await state(gate, PartState.OK)
            assert simulated.requests[0] == modbus_switch(2, on=False)
            await gate.light(on=True)
            assert simulated.relays == [False, True, *[False] * 6]
            await gate.pulse(100)
            await gate.light(on=False)
            assert not any(simulated.relays)
            await gate.light(on=True)
        await eventually(lambda: not any(simulated.relays))  # and when it closes


async def test_the_lamp_of_an_lcus_board(tmp_path: Path) -> None:
    gate = make_gate(driver="lcus", port=str(tmp_path / "port"), lamp_channel=2)
    with PtyWire(tmp_path / "port") as wire:
        async with running(gate):
            await state(gate, PartState.OK)
            both_off = lcus_command(1, on=False) + lcus_command(2, on=False)
            assert await heard(wire, both_off) == both_off
            await gate.light(on=True)
            assert await heard(wire, lcus_command(2, on=True)) == lcus_command(2, on=True)


async def test_no_gate_counts_only() -> None:
    gate = make_gate(driver="none")
    async with running(gate):
        await eventually(lambda: gate.health.state is PartState.OK)
        await gate.pulse(10)
    assert gate.counters["pulses"] == 1


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"driver": "servo"}, "lcus, modbus-relay, none"),
        ({"driver": "lcus", "channel": 0}, "1 to 8"),
        ({"driver": "lcus", "lamp_channel": 9}, "0 to 8"),
        ({"driver": "lcus", "lamp_channel": 1}, "cannot both be relay 1"),
        ({"driver": "lcus", "passage_input": 1}, "no inputs"),
    ],
)
def test_wrong_settings_name_what_is_accepted(options: dict[str, object], named: str) -> None:
    with pytest.raises(BadSetting, match=named):
        make_gate(port="/dev/ttyUSB0", **options)  # type: ignore[arg-type]


async def test_an_impossible_pulse_is_refused() -> None:
    with pytest.raises(BadSetting, match="60000"):
        await make_gate(driver="none").pulse(0)

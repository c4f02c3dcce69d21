"""Every protocol under every fault, with real drivers on simulated devices: counted, no false reading, recovered."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drivers.contract import (
    CardRead,
    CardUnreadable,
    CodeRead,
    CodeUnreadable,
    DistanceReading,
    PartState,
    SpotReading,
    ThermalFrame,
)
from drivers.distance.table import make_ranger
from drivers.errors import DeviceLost
from drivers.gates.modbus_relay import ModbusGate
from drivers.gates.table import make_gate
from drivers.readers.sam_v_reader import SamVReader
from drivers.readers.table import make_reader
from drivers.serial_line.serial_line import SerialLine
from drivers.simulated.devices.faults import FAULTS as FAULTS_BY_NAME
from drivers.simulated.devices.faults import Drift, Fault, FaultyWire, Late, Renumber, Stuck, Unplug
from drivers.simulated.devices.gate import SimulatedModbusBoard, SimulatedRelay
from drivers.simulated.devices.qr import SimulatedQrReader
from drivers.simulated.devices.sam_v import SimulatedSamV
from drivers.simulated.devices.table import SENSORS, SimulatedSensor
from drivers.simulated.people import id_cards
from drivers.thermometers.serial_thermometer import SerialThermometer
from drivers.thermometers.stuck_sensor import MinimumVariation
from drivers.thermometers.table import MODELS
from drivers.tools.device_protocols import PROTOCOLS
from edge_agent.domain.passage import TemperatureReading
from edge_agent.measurement.core_temperature import shipped
from edge_agent.measurement.thermometer_drift import PEOPLE, ThermometerDriftDetector
from sync.id_number import check_digit
from tests.drivers.driver_bench import eventually, running, state

SKIN_C = (31.5, 33.1, 34.4, 35.7, 36.2, 37.9)
FAR_MM = (437, 662, 880, 1251, 1483)
NUMBERS = [digits + check_digit(digits) for digits in (f"99999919900101{each:03}" for each in range(1, 900))]
FAULTS = 3  # affected frames before the check
FEW_FAULTS = 2  # where each lost reply costs a timeout of a second
ARRAYS = {name for name, model in MODELS.items() if model.is_array}
UNCHECKED = {"optris", "tof10120", "qr-line"}  # no checksum: damage can give a reading
SILENCES = {
    "late": 0.1,
    "too late": 2.5,
}  # in units of the silence that ends a frame; a delayed line waits twice as long
HARMLESS = {"glue", "late"}
PORT: list[Fault] = [Unplug(0.05), Renumber(0.05)]
Simulation = Callable[[], Coroutine[Any, Any, None]]


@dataclass(slots=True)
class Rig:
    """One real part, the simulated device on its wire, the values the device measured, and the readings of the part."""

    wire: FaultyWire
    part: Any
    simulations: list[Simulation]
    sent: set[object] = field(default_factory=set)
    given: list[object] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        return self.part.counters  # type: ignore[no-any-return]

    async def news(self) -> None:
        """Wait for a reading of a value measured from now on."""
        given = len(self.given)
        await eventually(lambda: len(self.given) > given + 1)


def of(reading: object) -> object:
    """The measured value a reading stands for, None where no such value was measured."""
    match reading:
        case (_, it):
            return of(it)
        case ThermalFrame(pixels_c=pixels_c):
            return nearest(SKIN_C, float(pixels_c[0, 0])) if np.ptp(pixels_c) < 0.01 else None
        case SpotReading(object_c=object_c):
            return nearest(SKIN_C, object_c)
        case DistanceReading(distance_mm=distance_mm):
            return distance_mm
        case CardRead(number=number):
            return number
        case CodeRead(text=text):
            return text
    raise TypeError(type(reading).__name__)


def nearest(values: tuple[float, ...], expected: float) -> float | None:
    """The one of `values` that equals `expected` to a tenth."""
    return next((value for value in values if abs(value - expected) < 0.06), None)


def sensor_rig(driver: str, wire: FaultyWire, minimum_variation: MinimumVariation | None = None) -> Rig:
    rng, before = random.Random(driver), SKIN_C if driver in MODELS else FAR_MM
    return rig_of(driver, wire, lambda: rng.choice(before), minimum_variation)


def rig_of(
    driver: str, wire: FaultyWire, measure: Callable[[], float], minimum_variation: MinimumVariation | None
) -> Rig:
    device = SimulatedSensor(wire, SENSORS[driver], measure, rate_hz=40 if driver in ARRAYS else 100)
    protocol, port = PROTOCOLS[driver], str(wire.by_id)
    if driver not in MODELS:
        return Rig(wire, make_ranger(driver=driver, port=port), [device.run], set(FAR_MM))
    line = protocol.line("thermometer", port)
    parser, minimum_variation = MODELS[driver].protocol.parser(), minimum_variation or MODELS[driver].minimum_variation
    queries = [query for query in protocol.queries if query not in protocol.unrecorded_queries]
    return Rig(
        wire,
        SerialThermometer(line, parser, minimum_variation, queries=queries, query_interval_s=0.005),
        [device.run],
        set(SKIN_C),
    )


def card_rig(wire: FaultyWire) -> Rig:
    reader = SimulatedSamV(wire)
    line = SerialLine("card_reader", str(wire.by_id), bauds=(115200,), silence_s=4.0, quiet_s=0.2)
    part = SamVReader(line, poll_s=0.01)

    async def people() -> None:
        """Present one card after the other, each until it was read or for 0.5 s."""
        for number in NUMBERS:
            reader.present(id_cards.citizen(number))
            cards = part.cards.sequence
            with suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await part.cards.after(cards)
            reader.lift()
            queries = len(reader.queries)
            with suppress(TimeoutError):
                await eventually(lambda queries=queries: len(reader.queries) > queries + 1, 2.0)  # type: ignore[misc]

    return Rig(wire, part, [reader.run, people], set(NUMBERS))


def code_rig(wire: FaultyWire) -> Rig:
    reader, rig = SimulatedQrReader(wire), Rig(wire, make_reader(driver="qr-line", port=str(wire.by_id)), [])

    async def people() -> None:
        """Show new codes continuously."""
        for number in count():
            wire.read()
            reader.show(f"SHC1:{number}")
            await asyncio.sleep(0.01)

    rig.simulations.append(people)
    return rig


def gate_rig(driver: str, wire: FaultyWire) -> Rig:
    board = SimulatedRelay(wire) if driver == "lcus" else SimulatedModbusBoard(wire)
    rig = Rig(wire, make_gate(driver=driver, port=str(wire.by_id)), [board.run], {"opened"})

    async def people() -> None:
        """Open the gate repeatedly; each confirmed pulse must have been executed by the board."""
        while True:
            pulses = board.pulses
            with suppress(DeviceLost, TimeoutError):
                await rig.part.pulse(30)
                if driver == "lcus":  # confirms nothing
                    await eventually(lambda pulses=pulses: board.pulses > pulses, 0.2)
                rig.given.append("opened" if board.pulses > pulses else "made up")
            await asyncio.sleep(0.02)

    rig.simulations.append(people)
    return rig


RIGS: dict[str, Callable[[FaultyWire], Rig]] = {
    **{driver: partial(sensor_rig, driver) for driver in SENSORS},
    "sam-v": card_rig,
    "qr-line": code_rig,
    "lcus": partial(gate_rig, "lcus"),
    "modbus-relay": partial(gate_rig, "modbus-relay"),
}
SAYS_NOTHING = {"lcus"}
AWAITED = {"sam-v", "modbus-relay"}


@asynccontextmanager
async def living(rig: Rig) -> AsyncIterator[Rig]:
    """Run the device, its users and the part for the duration of the block."""
    slot = getattr(rig.part, "readings", None) or getattr(rig.part, "cards", None) or getattr(rig.part, "codes", None)

    async def listen() -> None:
        sequence = 0
        while slot is not None:
            sequence, reading = await slot.after(sequence)
            if not isinstance(reading, CardUnreadable | CodeUnreadable):
                rig.given.append(of(reading))

    with rig.wire:
        async with running(rig.part), asyncio.TaskGroup() as tasks:
            started = [tasks.create_task(life()) for life in (*rig.simulations, listen)]
            await rig.news()
            yield rig
            for task in started:
                task.cancel()


def fault_named(name: str, driver: str) -> Fault:
    return Late(SILENCES[name] * PROTOCOLS[driver].quiet_s) if name in SILENCES else FAULTS_BY_NAME[name]()


@pytest.mark.parametrize("name", ["garbage", "drop", "glue", "wrong-checksum", *SILENCES])
@pytest.mark.parametrize("driver", [driver for driver in RIGS if driver not in SAYS_NOTHING])
async def test_a_damaged_line(tmp_path: Path, driver: str, name: str) -> None:
    fault = fault_named(name, driver)
    async with living(RIGS[driver](FaultyWire(tmp_path, seed=1))) as rig:
        before = dict(rig.counts)
        rig.wire.set_fault(fault)
        await eventually(lambda: rig.wire.affected >= (FEW_FAULTS if driver in AWAITED else FAULTS))
        if name not in HARMLESS and driver not in UNCHECKED and not isinstance(rig.part, ModbusGate):
            await eventually(lambda: rig.counts["resync_bytes"] > before["resync_bytes"])
        rig.wire.set_fault(None)
        await rig.news()  # resynchronised
        await state(rig.part, PartState.OK)
        after = rig.counts
    if driver not in UNCHECKED:
        assert set(rig.given) <= rig.sent
    if isinstance(rig.part, ModbusGate):
        return  # counts pulses, not bytes
    lost = after["resync_bytes"] - before["resync_bytes"]
    assert after["frames"] > before["frames"]
    if driver not in UNCHECKED or name == "glue":
        assert (lost == 0) is (name in HARMLESS)
    if name == "wrong-checksum" and driver not in UNCHECKED:
        assert after["bad_checksum"] > before["bad_checksum"]


@pytest.mark.parametrize("fault", PORT, ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize("driver", RIGS)
async def test_a_port_that_goes(tmp_path: Path, driver: str, fault: Fault) -> None:
    async with living(RIGS[driver](FaultyWire(tmp_path, seed=1))) as rig:
        rig.wire.set_fault(fault)
        await state(rig.part, PartState.LOST)
        await state(rig.part, PartState.OK)
        await rig.news()
        assert rig.counts["opened"] == 2
        assert (rig.wire.link.name == "ttyUSB0") is isinstance(fault, Unplug)
    if driver != "qr-line":
        assert set(rig.given) <= rig.sent


@pytest.mark.parametrize("driver", [driver for driver in MODELS if driver in SENSORS])
async def test_a_thermometer_that_is_stuck_is_broken_until_it_varies(tmp_path: Path, driver: str) -> None:
    minimum_variation = MinimumVariation(window_s=0.2, spread_c=MODELS[driver].minimum_variation.spread_c)
    async with living(sensor_rig(driver, FaultyWire(tmp_path, seed=1), minimum_variation)) as rig:
        rig.wire.set_fault(Stuck())
        await state(rig.part, PartState.BROKEN)
        given = len(rig.given)
        frames = rig.counts["frames"]
        await eventually(lambda: rig.counts["frames"] > frames + 5)
        assert len(rig.given) == given
        rig.wire.set_fault(None)
        await state(rig.part, PartState.OK)
        await rig.news()


@pytest.mark.parametrize("driver", [driver for driver in MODELS if driver in SENSORS])
async def test_a_thermometer_that_drifts_is_seen_by_its_crowd(tmp_path: Path, driver: str) -> None:
    rng, usual_c = random.Random(1), shipped().usual_skin_c("face_max")
    rig = rig_of(driver, FaultyWire(tmp_path, seed=1), lambda: rng.gauss(usual_c, 0.3), None)
    crowd: list[float] = []
    slot = rig.part.readings
    watch = ThermometerDriftDetector()
    expected: list[str] = []

    def passes(reading: Any) -> None:
        skin_c = float(reading.pixels_c.max()) if driver in ARRAYS else reading.object_c
        crowd.append(skin_c)
        person = TemperatureReading(36.8, 0.3, skin_c, 23.0, 4, "test", {"face_max": skin_c}, 0.0)
        if news := watch.note(person, 9):
            expected.append(news)

    async def people() -> None:
        sequence = 0
        while True:
            sequence, reading = await slot.after(sequence)
            passes(reading)

    rig.simulations.append(people)
    async with living(rig):
        await eventually(lambda: len(crowd) > PEOPLE)
        assert expected == []
        rig.wire.set_fault(Drift(step=0.1))
        await eventually(lambda: bool(expected))
        assert rig.part.health.state is PartState.OK  # a drift appears as warmer people
    assert "face_max is +" in expected[0]

"""Simulates any supported device on a pty, with the people who use it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from itertools import count
from random import Random
from typing import Any

from drivers.simulated.devices.faults import Fault, FaultyWire
from drivers.simulated.devices.gate import SimulatedModbusBoard, SimulatedRelay
from drivers.simulated.devices.qr import SimulatedQrReader
from drivers.simulated.devices.sam_v import SimulatedSamV
from drivers.simulated.devices.table import SENSORS, SimulatedSensor
from drivers.simulated.people import id_cards

SKIN_C, FAR_MM = (34.6, 0.4), (600.0, 40.0)  # mean and standard deviation
RANGERS = ("tof10120", "evo-mini", "tofsense")
RATE_HZ = 4.0
SHOWN_EVERY_S = 2.0
NUMBERS = ("999999199001010016", "999999199001010024")  # of an unassigned area: no real person
LISTEN_EVERY_S = 0.01

Simulation = Callable[[FaultyWire, Random], Coroutine[Any, Any, None]]


async def simulate_device(driver: str, wire: FaultyWire, seed: int) -> None:
    """Simulate the device of `driver` on `wire` until cancelled."""
    rng = Random(seed)  # noqa: S311 - a repeatable device, not a secret
    if driver in OTHER_DEVICES:
        await OTHER_DEVICES[driver](wire, rng)
    middle, scatter = FAR_MM if driver in RANGERS else SKIN_C
    await SimulatedSensor(wire, SENSORS[driver], lambda: rng.gauss(middle, scatter), RATE_HZ).run()


async def toggle_fault(wire: FaultyWire, fault: Fault, each_s: float) -> None:
    """Switch `fault` on and off on `wire`, `each_s` seconds each, until cancelled."""
    while True:
        wire.set_fault(fault)
        await asyncio.sleep(each_s)
        wire.set_fault(None)
        await asyncio.sleep(each_s)


async def _cards(wire: FaultyWire, rng: Random) -> None:
    reader = SimulatedSamV(wire)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(reader.run(), name="card reader")
        while True:
            reader.present(id_cards.citizen(rng.choice(NUMBERS)))
            await asyncio.sleep(SHOWN_EVERY_S)
            reader.lift()
            await asyncio.sleep(SHOWN_EVERY_S)


async def _codes(wire: FaultyWire, _rng: Random) -> None:
    reader, looks = SimulatedQrReader(wire), round(SHOWN_EVERY_S / LISTEN_EVERY_S)
    for look in count():
        wire.read()
        if not look % looks:
            reader.show(f"SHC1:{look // looks}")
        await asyncio.sleep(LISTEN_EVERY_S)


OTHER_DEVICES: dict[str, Simulation] = {
    "sam-v": _cards,
    "qr-line": _codes,
    "lcus": lambda wire, _rng: SimulatedRelay(wire).run(),
    "modbus-relay": lambda wire, _rng: SimulatedModbusBoard(wire).run(),
}
DRIVERS = (*SENSORS, *OTHER_DEVICES)

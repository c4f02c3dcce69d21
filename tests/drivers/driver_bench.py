"""Helpers of the driver tests: a part that runs for the duration of a block, and waits with a time limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from itertools import pairwise

import numpy as np

from drivers.contract import Part, PartState
from drivers.simulated.devices.gate import SimulatedModbusBoard
from drivers.simulated.devices.wire import PtyWire
from tests.limits import HANG_S


@asynccontextmanager
async def running(part: Part) -> AsyncIterator[None]:
    """Run `part` as a task; re-raises its exceptions."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(part.run())
        try:
            yield
        finally:
            task.cancel()


async def eventually(condition: Callable[[], bool], limit_s: float = HANG_S) -> None:
    """Wait until `condition` holds."""
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0.01)


async def state(part: Part, wanted: PartState) -> None:
    """Wait until `part` is in the state `wanted`."""
    await eventually(lambda: part.health.state is wanted)


async def heard(wire: PtyWire, wanted: bytes) -> bytes:
    """Everything the host wrote, once it ends with `wanted`."""
    data = bytearray()

    def complete() -> bool:
        data.extend(wire.read())
        return data.endswith(wanted)

    await eventually(complete)
    return bytes(data)


async def walk_through(board: SimulatedModbusBoard, sensor: int = 1) -> None:
    """Break the beam on input `sensor` until the host must have sampled it, then close it."""
    board.inputs[sensor - 1] = True
    answered = len(board.requests)
    await eventually(lambda: len(board.requests) > answered + 1)
    board.inputs[sensor - 1] = False


def pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """`data` cut at the given places, in order."""
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(edges)]


def array_frame(hundredths: list[int], ambient: int) -> bytes:
    """A GY-MCU90640 frame, built word by word as the manual says."""
    words = [0x5A5A, 0x0602, *(value & 0xFFFF for value in (*hundredths, ambient))]
    words.append(sum(words) & 0xFFFF)
    return b"".join(word.to_bytes(2, "little") for word in words)


def noisy_frame(seed: int) -> bytes:
    """A GY-MCU90640 frame of a room at 24 °C with sensor noise."""
    noise = np.random.default_rng(seed).normal(2400, 10, 768)
    return array_frame([round(value) for value in noise], 2450)


def spot_frame(object_: int, ambient: int) -> bytes:
    """A GY-MCU90614 frame, built byte by byte."""
    frame = b"\x5a\x5a\x45\x04" + object_.to_bytes(2, "big", signed=True) + ambient.to_bytes(2, "big", signed=True)
    return frame + bytes((sum(frame) & 0xFF,))

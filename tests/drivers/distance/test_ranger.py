"""A distance sensor as a part: over a wire that is whole, cut into bytes, lossy, silent and plugged in again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from drivers.contract import DistanceReading, PartState, Ranger, RangeState
from drivers.distance.evo_mini import START_UP
from drivers.distance.table import DISTANCE_SENSORS, make_ranger
from drivers.errors import BadSetting
from drivers.simulated.devices import sensor_frames
from drivers.simulated.devices.wire import PtyWire
from tests.drivers.driver_bench import heard, running, state
from tests.limits import HANG_S

FRAMES: dict[str, Callable[[int], bytes]] = {
    "tof10120": sensor_frames.tof10120,
    "evo-mini": sensor_frames.evo_mini,
    "tofsense": sensor_frames.tofsense,
}


async def next_after(ranger: Ranger, sequence: int) -> DistanceReading:
    async with asyncio.timeout(HANG_S):
        _, reading = await ranger.readings.after(sequence)
    return reading


async def opened(ranger: Ranger, times: int = 1) -> None:
    """Wait until the driver has opened the port so many times and listens."""
    async with asyncio.timeout(HANG_S):
        while ranger.counters["opened"] < times:
            await asyncio.sleep(0.01)


def test_every_sensor_is_tried() -> None:
    assert FRAMES.keys() == DISTANCE_SENSORS.keys()


@pytest.mark.parametrize("driver", FRAMES)
async def test_a_distance_is_read_whole_byte_by_byte_and_out_of_noise(tmp_path: Path, driver: str) -> None:
    ranger, frame = make_ranger(driver=driver, port=str(tmp_path / "port")), FRAMES[driver]
    assert (ranger.name, ranger.health.state) == ("ranger", PartState.STARTING)
    with PtyWire(tmp_path / "port") as wire:
        async with running(ranger):
            await opened(ranger)
            wire.write(frame(650))
            whole = await next_after(ranger, 0)
            assert (whole.distance_m, whole.state) == (0.65, RangeState.MEASURED)
            assert ranger.health.state is PartState.OK
            for byte in frame(660):
                wire.write(bytes((byte,)))
                await asyncio.sleep(0)
            assert (await next_after(ranger, 1)).distance_mm == 660
            wire.write(frame(670)[:-2] + b"\xff\xff" + frame(680))  # the end of a frame is lost
            assert (await next_after(ranger, 2)).distance_mm == 680
    assert ranger.counters["frames"] == 3
    assert ranger.counters["resync_bytes"] > 0


async def test_a_sensor_that_is_plugged_in_again_starts_up_again(tmp_path: Path) -> None:
    ranger = make_ranger(driver="evo-mini", port=str(tmp_path / "port"))
    with PtyWire(tmp_path / "port") as wire:
        async with running(ranger):
            assert await heard(wire, START_UP[-1]) == b"".join(START_UP)
            wire.write(sensor_frames.evo_mini(700))
            await state(ranger, PartState.OK)
            wire.unplug()
            await state(ranger, PartState.LOST)
            wire.plug()
            await heard(wire, START_UP[-1])
            wire.write(sensor_frames.evo_mini(710))
            await state(ranger, PartState.OK)
            assert (await next_after(ranger, 1)).distance_mm == 710
    assert ranger.counters["opened"] == 2


async def test_a_silent_sensor_is_lost(tmp_path: Path) -> None:
    ranger = make_ranger(driver="tofsense", port=str(tmp_path / "port"))
    with PtyWire(tmp_path / "port") as wire:
        async with running(ranger):
            await opened(ranger)
            wire.write(sensor_frames.tofsense(700))
            await state(ranger, PartState.OK)
            await state(ranger, PartState.LOST)
            assert "no valid data" in ranger.health.detail


@pytest.mark.parametrize(
    ("raw_mm", "kind"), [(0xFFFF, RangeState.TOO_FAR), (0, RangeState.TOO_NEAR), (1, RangeState.NO_MEASURE)]
)
async def test_what_is_out_of_range_is_a_reading_without_a_distance(
    tmp_path: Path, raw_mm: int, kind: RangeState
) -> None:
    ranger = make_ranger(driver="evo-mini", port=str(tmp_path / "port"))
    with PtyWire(tmp_path / "port") as wire:
        async with running(ranger):
            await opened(ranger)
            wire.write(sensor_frames.evo_mini(raw_mm))
            reading = await next_after(ranger, 0)
            assert (reading.state, reading.distance_m) == (kind, None)
            assert ranger.health.state is PartState.OK


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"driver": "lidar"}, "accepted: evo-mini, tof10120, tofsense"),
        ({"driver": "tofsense", "baud": 9600}, "921600, 115200"),
        ({"driver": "tof10120", "baud": 115200}, "accepted: 9600"),
    ],
)
def test_wrong_settings_name_what_is_accepted(options: dict[str, object], named: str) -> None:
    with pytest.raises(BadSetting, match=named):
        make_ranger(port="/dev/ttyUSB0", **options)  # type: ignore[arg-type]

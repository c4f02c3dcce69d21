from __future__ import annotations

import asyncio
import time
from pathlib import Path

import numpy as np
import pytest

from drivers.contract import PartState, SpotReading, ThermalFrame
from drivers.errors import BadSetting
from drivers.serial_line.serial_line import SerialLine
from drivers.simulated.devices.sensor_frames import optris
from drivers.simulated.devices.wire import PtyWire
from drivers.thermometers.gy_mcu90614 import QUERY, GyMcu90614
from drivers.thermometers.gy_mcu90640 import START_UP, GyMcu90640
from drivers.thermometers.optris import QUERIES, QUERY_HEAD, Optris
from drivers.thermometers.serial_thermometer import SerialThermometer
from drivers.thermometers.stuck_sensor import MinimumVariation
from drivers.thermometers.table import MODELS, make_thermometer
from tests.drivers.driver_bench import array_frame, eventually, heard, noisy_frame, running, spot_frame, state
from tests.limits import HANG_S


async def test_array_starts_up_reads_is_lost_and_heals(tmp_path: Path) -> None:
    thermometer = make_thermometer(driver="gy-mcu90640", port=str(tmp_path / "port"))
    assert thermometer.health.state == "starting"
    with PtyWire(tmp_path / "port") as wire:
        async with running(thermometer):
            assert await heard(wire, START_UP[-1]) == b"".join(START_UP)
            wire.write(noisy_frame(1))
            _, reading = await asyncio.wait_for(thermometer.readings.after(0), HANG_S)
            assert isinstance(reading, ThermalFrame)
            assert abs(reading.pixels_c.mean() - 24) < 0.1
            assert thermometer.health.state is PartState.OK

            wire.unplug()
            await state(thermometer, PartState.LOST)
            wire.plug()
            await heard(wire, START_UP[-1])
            wire.write(noisy_frame(2))
            await state(thermometer, PartState.OK)
    assert thermometer.counters["frames"] == 2
    assert thermometer.counters["opened"] == 2


async def test_readings_that_do_not_change_are_dropped(tmp_path: Path) -> None:
    line = SerialLine("thermometer", str(tmp_path / "port"), bauds=(115200,), silence_s=2.0)
    thermometer = SerialThermometer(line, GyMcu90640(), MinimumVariation(window_s=0.1, spread_c=0.02))
    still = array_frame([3650] * 768, 2500)
    with PtyWire(tmp_path / "port") as wire:
        async with running(thermometer):
            while thermometer.health.state is not PartState.BROKEN:
                wire.write(still)
                await asyncio.sleep(0.02)
            given = thermometer.readings.sequence
            wire.write(still)
            await eventually(lambda: thermometer.counters["frames"] > given + 1)
            assert thermometer.readings.sequence == given
            wire.write(noisy_frame(1))
            await state(thermometer, PartState.OK)
            reading = thermometer.readings.value
            assert isinstance(reading, ThermalFrame)
            assert np.std(reading.pixels_c) > 0


async def test_a_sensor_that_sends_on_request_is_queried(tmp_path: Path) -> None:
    line = SerialLine("thermometer", str(tmp_path / "port"), bauds=(9600,), silence_s=2.0)
    thermometer = SerialThermometer(
        line, GyMcu90614(), MinimumVariation(60.0, 0.009), queries=(QUERY,), query_interval_s=0.02
    )
    with PtyWire(tmp_path / "port") as wire:
        async with running(thermometer):
            for number, object_ in enumerate((3450, 3460)):
                await heard(wire, QUERY)
                wire.write(spot_frame(object_, 2500))
                _, reading = await asyncio.wait_for(thermometer.readings.after(number), HANG_S)
                assert isinstance(reading, SpotReading)
                assert reading.object_c == object_ / 100


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"driver": "mlx"}, "gy-mcu90614, gy-mcu90640"),
        ({"driver": "gy-mcu90640", "baud": 9600}, "115200, 460800"),
        ({"driver": "gy-mcu90614", "mirror": True}, "false"),
    ],
)
def test_wrong_settings_name_what_is_accepted(options: dict[str, object], named: str) -> None:
    with pytest.raises(BadSetting, match=named):
        make_thermometer(port="/dev/ttyUSB0", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("driver", MODELS)
def test_every_row_of_the_table_can_be_made(driver: str) -> None:
    assert make_thermometer(driver=driver, port="/dev/ttyUSB0").name == "thermometer"


async def test_after_a_delay_a_reply_is_still_matched_with_its_query(tmp_path: Path) -> None:
    line = SerialLine("thermometer", str(tmp_path / "port"), bauds=(9600,), silence_s=None)
    parser, expected = Optris(), []

    def take(data: bytes, at_s: float) -> bool:
        expected.extend(reading.object_c for reading in parser.feed(data, at_s))
        return bool(data)

    def query_sent(query: bytes) -> None:
        """Reply immediately, then delay the event loop until the next query is due."""
        parser.query_sent(query)
        wire.write(optris(25.0 if query == QUERY_HEAD else 36.0))
        asyncio.get_running_loop().call_soon(time.sleep, 0.03)

    with PtyWire(tmp_path / "port") as wire:
        async with asyncio.TaskGroup() as tasks:
            living = [tasks.create_task(line.run(take))]
            await eventually(lambda: line.device_health.health.state is PartState.OK)
            living.append(tasks.create_task(line.ask(QUERIES, 0.01, query_sent)))
            await eventually(lambda: len(expected) > 5)
            for task in living:
                task.cancel()
    assert set(expected) == {36.0}

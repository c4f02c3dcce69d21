"""Repeatedly unplugs a thermometer and plugs it in with another port name; prints JSON, exits with 1 on a failure.

The port is configured by its USB identity, as in the settings. The bus is simulated and the port is a pseudo-terminal;
the driver is the real one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psutil

from drivers.serial_line.ports import PortInfo, find
from drivers.serial_line.serial_line import SerialLine
from drivers.simulated.devices.sensor_frames import gy_mcu90614
from drivers.simulated.devices.wire import PtyWire
from drivers.thermometers import gy_mcu90614 as module
from drivers.thermometers.serial_thermometer import SerialThermometer
from drivers.thermometers.table import SPOT_VARIATION

NAME = "usb:1a86:7523"
BACK_LIMIT_S = 3.0
LONGEST_AWAY_S = 1.5
FRAME_EVERY_S = 0.02


class Bus:
    """One USB socket with its device and the port name of the device."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._wire = PtyWire(folder / "none")
        self._number = 0

    def find(self, name: str) -> str:
        """The current path of the port `name`."""
        there = [PortInfo(str(self._wire.link), vendor_id=0x1A86, product_id=0x7523)] if self._wire.plugged else []
        return find(name, there)

    def plug(self) -> None:
        """Add the port with a new name."""
        self._number += 1
        self._wire.plug(self._folder / f"ttyUSB{self._number}")

    def unplug(self) -> None:
        """Remove the port."""
        self._wire.unplug()

    async def speak(self) -> None:
        """Send readings until cancelled."""
        rng = random.Random(1)
        while True:
            self._wire.write(gy_mcu90614(36 + rng.uniform(-0.5, 0.5), 25.0))
            self._wire.read()
            await asyncio.sleep(FRAME_EVERY_S)


async def replug(cycles: int, folder: Path) -> dict[str, object]:
    """Seconds from plugging in to the first reading, and the number of open files."""
    bus, rng, process = Bus(folder), random.Random(1), psutil.Process()
    line = SerialLine(
        "thermometer", NAME, bauds=module.BAUDS, silence_s=2.0, start_up=module.START_UP, find_port=bus.find
    )
    thermometer = SerialThermometer(line, module.GyMcu90614(), SPOT_VARIATION)
    backs_s: list[float] = []
    files: list[int] = []
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(thermometer.run()), tasks.create_task(bus.speak())]
        for _ in range(cycles):
            plugged_s, sequence = time.monotonic(), thermometer.readings.sequence
            bus.plug()
            await asyncio.wait_for(thermometer.readings.after(sequence), 10 * BACK_LIMIT_S)
            backs_s.append(time.monotonic() - plugged_s)
            files.append(process.num_fds())
            bus.unplug()
            await asyncio.sleep(rng.uniform(0.05, LONGEST_AWAY_S))
        for task in running:
            task.cancel()
    return {
        "cycles": cycles,
        "back_s": {"median": round(statistics.median(backs_s), 2), "max": round(max(backs_s), 2)},
        "open_files": {"first": files[0], "last": files[-1], "most": max(files)},
        "good": max(backs_s) <= BACK_LIMIT_S and files[-1] <= files[0],
    }


def main() -> None:
    """Print the measurements."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--cycles", type=int, default=1000)
    logging.disable(logging.ERROR)  # the driver logs two lines per cycle
    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(replug(options.parse_args().cycles, Path(folder)))
    print(json.dumps(report, indent=2))
    sys.exit(not report["good"])


if __name__ == "__main__":
    main()

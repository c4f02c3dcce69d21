"""The settings accept exactly the drivers of the tables."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import msgspec

from config.settings import RangerDriver, Settings, ThermometerDriver
from drivers.distance.table import DISTANCE_SENSORS
from drivers.simulated.devices.table import SENSORS
from drivers.tools.device_protocols import PROTOCOLS, THERMOMETERS, settings_section
from tests.drivers.families import FAMILIES

ROOT = Path(__file__).parents[2]


def test_the_settings_name_the_thermometers_of_the_table() -> None:
    assert set(get_args(ThermometerDriver)) == set(THERMOMETERS)


def test_the_settings_name_the_distance_sensors_of_the_table() -> None:
    assert set(get_args(RangerDriver)) == {"none", *DISTANCE_SENSORS}


def test_every_device_belongs_in_a_section_that_takes_it() -> None:
    for driver in PROTOCOLS:
        section = settings_section(driver)
        settings = msgspec.convert({section: {"driver": driver}}, Settings, strict=True)
        assert getattr(settings, section).driver == driver


SAME_WIRE = {"optris-hr": "optris"}  # the wire of another row with another scale


def test_every_driver_is_fuzzed_simulated_and_described() -> None:
    """What is listed nowhere in the code: the families of the fuzz, the simulated sensors, two documents."""
    wires = {SAME_WIRE.get(driver, driver) for driver in PROTOCOLS}
    described = (ROOT / "docs" / "devices.md").read_text(encoding="utf-8")
    example = (ROOT / "config" / "sentinel.example.toml").read_text(encoding="utf-8")
    assert wires <= {family.driver for family in FAMILIES}
    assert {SAME_WIRE.get(driver, driver) for driver in THERMOMETERS} | set(DISTANCE_SENSORS) == set(SENSORS)
    assert [driver for driver in PROTOCOLS if f"`{driver}`" not in described] == []
    assert [driver for driver in THERMOMETERS if driver not in example] == []

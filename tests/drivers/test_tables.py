"""The settings accept exactly the drivers of the tables."""

from __future__ import annotations

from typing import get_args

import msgspec

from config.settings import RangerDriver, Settings, ThermometerDriver
from drivers.distance.table import DISTANCE_SENSORS
from drivers.tools.device_protocols import PROTOCOLS, THERMOMETERS, settings_section


def test_the_settings_name_the_thermometers_of_the_table() -> None:
    assert set(get_args(ThermometerDriver)) == set(THERMOMETERS)


def test_the_settings_name_the_distance_sensors_of_the_table() -> None:
    assert set(get_args(RangerDriver)) == {"none", *DISTANCE_SENSORS}


def test_every_device_belongs_in_a_section_that_takes_it() -> None:
    for driver in PROTOCOLS:
        section = settings_section(driver)
        settings = msgspec.convert({section: {"driver": driver}}, Settings, strict=True)
        assert getattr(settings, section).driver == driver

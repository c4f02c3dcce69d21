"""The thermal array of this box: whether it has one, and what a recording of it shows."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from config.settings import ThermometerSettings
from drivers.contract import ThermalFrame
from drivers.serial_line.recording import open_recording
from drivers.thermometers.table import MODELS
from drivers.tools.replay import Replay
from edge_agent.calibration.errors import BadCalibration


def check_array(chosen: ThermometerSettings) -> None:
    """Raises BadCalibration where the thermometer of the settings has no picture."""
    if not MODELS[chosen.driver].is_array:
        raise BadCalibration(
            f"{chosen.driver} 只测一个点，没有热像，无需对准。",
            f"{chosen.driver} measures one spot and has no picture: there is nothing to align.",
        )


def recorded(path: Path, chosen: ThermometerSettings) -> list[ThermalFrame]:
    """The pictures in a recording of this array, the way round that its driver hands them on.

    Raises BadCalibration, or BadSetting where the file cannot be read.
    """
    recording = open_recording(path)
    if recording.driver not in ("", chosen.driver):
        raise BadCalibration(
            f"{path} 是 {recording.driver} 的记录，而本机是 {chosen.driver}。",
            f"{path} was recorded of a {recording.driver}, and this box has a {chosen.driver}.",
        )
    protocol = MODELS[chosen.driver].protocol
    replay = Replay(replace(protocol, parser=partial(protocol.parser, mirror=chosen.mirror)))
    return [reading for _, reading in replay.readings(recording.pieces()) if isinstance(reading, ThermalFrame)]

"""The thermal array of this box and recordings of it."""

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
    """Raises BadCalibration if the configured thermometer is not an array."""
    if not MODELS[chosen.driver].is_array:
        raise BadCalibration(
            f"{chosen.driver} 只测一个点，没有热像，无需对准。",
            f"{chosen.driver} measures a single spot, not a picture: there is nothing to align.",
        )


def recorded_frames(path: Path, chosen: ThermometerSettings) -> list[ThermalFrame]:
    """The frames in a recording of this array, oriented as the driver delivers them.

    Raises BadCalibration, or BadSetting for an unreadable file.
    """
    recording = open_recording(path)
    if recording.driver not in ("", chosen.driver):
        raise BadCalibration(
            f"{path} 是 {recording.driver} 的记录，而本机是 {chosen.driver}。",
            f"{path} was recorded from a {recording.driver}, but this box has a {chosen.driver}.",
        )
    protocol = MODELS[chosen.driver].protocol
    replay = Replay(replace(protocol, parser=partial(protocol.parser, mirror=chosen.mirror)))
    return [reading for _, reading in replay.readings(recording.pieces()) if isinstance(reading, ThermalFrame)]

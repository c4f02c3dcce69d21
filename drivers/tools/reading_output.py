"""Readings in engineering units as plain values, for JSON and for people."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from drivers.contract import CardRead, CodeRead, DistanceReading, SpotReading, ThermalFrame
from drivers.gates.commands import ALL, RelayCommand

Plain = dict[str, Any]


def to_dict(reading: object, *, pixels: bool = False) -> Plain:
    """What `reading` says, without when; `pixels` adds every value of a thermal frame, row by row.

    About a person where it comes from a code or a card: for whoever asked for it, never for a log.
    """
    match reading:
        case ThermalFrame():
            return _of_frame(reading, pixels)
        case SpotReading(object_c, ambient_c):
            return {"object_c": object_c, "ambient_c": ambient_c}
        case DistanceReading(distance_mm, state):
            return {"distance_mm": distance_mm, "state": state.value}
        case CodeRead(text):
            return {"text": text}
        case CardRead():
            fields = {name: value for name, value in asdict(reading).items() if name != "taken_at_s"}
            return {name: value if value is None else str(value) for name, value in fields.items()}
        case RelayCommand():
            return _of_command(reading)
        case _:
            raise TypeError(f"{type(reading).__name__} is no reading")


def _of_frame(frame: ThermalFrame, pixels: bool) -> Plain:
    rows, cols = frame.pixels_c.shape
    told: Plain = {
        "rows": rows,
        "cols": cols,
        "ambient_c": round(frame.ambient_c, 2),
        "max_c": round(float(frame.pixels_c.max()), 2),
        "min_c": round(float(frame.pixels_c.min()), 2),
        "mean_c": round(float(frame.pixels_c.mean(dtype=float)), 3),
    }
    if pixels:
        told["pixels_c"] = [[round(value, 2) for value in row] for row in frame.pixels_c.tolist()]
    return told


def _of_command(command: RelayCommand) -> Plain:
    told: Plain = {"channel": "all" if command.channel == ALL else command.channel}
    if command.pulse_ms is not None:
        return told | {"pulse_ms": command.pulse_ms}
    return told | ({"toggle": True} if command.on is None else {"on": command.on})


def to_line(told: Plain) -> str:
    """Plain values in one line of a terminal; text from outside cannot move its cursor."""
    return "  ".join(f"{name} {_word(value)}" for name, value in told.items())


def _word(value: object) -> str:
    if isinstance(value, str):
        return value if value.isprintable() else json.dumps(value)
    return "-" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)

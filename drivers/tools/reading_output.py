"""Formats readings: as plain values for JSON, and as a line of text."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from drivers.contract import CardRead, DistanceReading, SpotReading, ThermalFrame
from drivers.gates.relay_commands import ALL, RelayCommand
from drivers.readers.qr_line import ScannedLine
from drivers.thermometers.dead_pixels import describe

PlainValues = dict[str, Any]


def to_dict(reading: object, *, pixels: bool = False) -> PlainValues:
    """The fields of `reading` without its time; `pixels` adds every pixel of a thermal frame, row by row.

    The result of a code or a card is personal data and must not be logged. Raises TypeError for other objects.
    """
    match reading:
        case ThermalFrame():
            return _frame_to_dict(reading, pixels)
        case SpotReading(object_c, ambient_c):
            return {"object_c": object_c, "ambient_c": ambient_c}
        case DistanceReading(distance_mm, state):
            return {"distance_mm": distance_mm, "state": state.value}
        case ScannedLine():
            return _line_to_dict(reading)
        case CardRead():
            fields = {name: value for name, value in asdict(reading).items() if name != "taken_at_s"}
            return {name: value if value is None else str(value) for name, value in fields.items()}
        case RelayCommand():
            return _command_to_dict(reading)
        case _:
            raise TypeError(f"{type(reading).__name__} is not a reading")


def _frame_to_dict(frame: ThermalFrame, pixels: bool) -> PlainValues:
    rows, cols = frame.pixels_c.shape
    values: PlainValues = {
        "rows": rows,
        "cols": cols,
        "ambient_c": round(frame.ambient_c, 2),
        "max_c": round(float(frame.pixels_c.max()), 2),
        "min_c": round(float(frame.pixels_c.min()), 2),
        "mean_c": round(float(frame.pixels_c.mean(dtype=float)), 3),
    }
    if frame.left_out:
        values["left_out"] = describe(frame.left_out)
    if pixels:
        values["pixels_c"] = [[round(value, 2) for value in row] for row in frame.pixels_c.tolist()]
    return values


def _line_to_dict(line: ScannedLine) -> PlainValues:
    return {
        "result": line.result.value,
        "text": line.text,
        "raw": escaped(line.raw),
        "taken_off": ", ".join(line.taken_off) or None,
    }


def escaped(raw: bytes) -> str:
    """Bytes as text: printable ASCII as it is, every other byte as an escape such as `\\x02`."""
    return "".join(chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in raw)


def _command_to_dict(command: RelayCommand) -> PlainValues:
    values: PlainValues = {"channel": "all" if command.channel == ALL else command.channel}
    if command.pulse_ms is not None:
        return values | {"pulse_ms": command.pulse_ms}
    return values | ({"toggle": True} if command.on is None else {"on": command.on})


def to_line(values: PlainValues) -> str:
    """The values as one line for a terminal; control characters in text are escaped."""
    return "  ".join(f"{name} {_format_value(value)}" for name, value in values.items())


def _format_value(value: object) -> str:
    if isinstance(value, str):
        return value if value.isprintable() else json.dumps(value)
    return "-" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)

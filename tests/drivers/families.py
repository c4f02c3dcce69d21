"""Every decodable kind of device, with valid frames: the input of fuzzing and property tests."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from drivers.gates.lcus import lcus_command
from drivers.gates.modbus_relay import modbus_pulse, modbus_switch
from drivers.serial_line.framing import Parser
from drivers.simulated.devices import sensor_frames
from drivers.simulated.devices.gy_mcu90640_module import encode_frame
from drivers.simulated.devices.sam_v import card_answer
from drivers.simulated.people import id_cards
from drivers.tools.device_protocols import PROTOCOLS
from drivers.tools.reading_output import PlainValues, to_dict

POOL = 6  # frames per family


@dataclass(frozen=True, slots=True)
class Family:
    """`frame` makes a valid frame; `strong` is True for a checksum of at least 16 bits."""

    driver: str
    frame: Callable[[random.Random], bytes]
    strong: bool = False

    def parser(self) -> Parser[Any]:
        return PROTOCOLS[self.driver].parser()

    def values(self, frame: bytes, *, pixels: bool = True) -> PlainValues:
        """The values of a valid frame."""
        parser = self.parser()
        (reading,) = [*parser.feed(frame, 0.0), *parser.feed(b"", 0.0)]
        return to_dict(reading, pixels=pixels)


def _room(rng: random.Random, size: int) -> Any:
    return np.random.default_rng(rng.getrandbits(32)).normal(rng.uniform(22, 30), 0.5, size).round(2)


def _skin(rng: random.Random) -> float:
    return round(rng.uniform(30, 41), 1)


def _code(rng: random.Random) -> bytes:
    return f"SHC1:{rng.getrandbits(40)}\r\n".encode()


FAMILIES = [
    Family("gy-mcu90640", lambda rng: encode_frame(_room(rng, 768), 25.0), strong=True),
    Family("gy-mcu90614", lambda rng: sensor_frames.gy_mcu90614(_skin(rng), 25.0)),
    Family("gy-614v", lambda rng: sensor_frames.gy_614v(_skin(rng), 25.0)),
    Family("cjmcu-90614", lambda rng: sensor_frames.cjmcu_90614(_skin(rng), 25.0)),
    Family("evo-thermal-33", lambda rng: sensor_frames.evo_thermal_33(_room(rng, 1024), 25.0), strong=True),
    Family("pyrousb", lambda rng: sensor_frames.pyrousb(_skin(rng), 25.0), strong=True),
    Family("optris", lambda rng: sensor_frames.optris(_skin(rng))),
    Family("tof10120", lambda rng: sensor_frames.tof10120(rng.randint(100, 1800))),
    Family("evo-mini", lambda rng: sensor_frames.evo_mini(rng.randint(30, 3300))),
    Family("tofsense", lambda rng: sensor_frames.tofsense(rng.randint(20, 8000))),
    Family(
        "sam-v", lambda rng: card_answer(id_cards.citizen("999999199001010016", name="测试" + "甲" * rng.randint(0, 9)))
    ),
    Family("qr-line", _code),
    Family("lcus", lambda rng: lcus_command(rng.randint(1, 8), on=rng.random() < 0.5)),
    Family(
        "modbus-relay",
        lambda rng: rng.choice([modbus_pulse, lambda channel, _ms: modbus_switch(channel, on=True)])(
            rng.randint(1, 8), 100 * rng.randint(1, 30)
        ),
        strong=True,
    ),
]
BY_DRIVER = {family.driver: family for family in FAMILIES}


@cache
def pool(driver: str) -> list[bytes]:
    """Some valid frames, all different."""
    rng = random.Random(driver)
    frames: dict[bytes, None] = {}
    while len(frames) < POOL:
        frames[BY_DRIVER[driver].frame(rng)] = None
    return list(frames)


def mutated(frame: bytes, rng: random.Random) -> bytes:
    """`frame` as damaged by a bad line: bytes changed, lost, duplicated or inserted, truncated, or noise."""
    data = bytearray(frame)
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(data) + 1)
        match rng.randrange(6):
            case 0:
                data[place : place + 1] = rng.randbytes(1)
            case 1:
                del data[place : place + rng.randint(1, 4)]
            case 2:
                data[place:place] = data[place : place + rng.randint(1, 8)]
            case 3:
                data[place:place] = rng.randbytes(rng.randint(1, 8))
            case 4:
                del data[place:]
            case 5:
                del data[:place]
    return bytes(data)

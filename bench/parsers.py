"""Feeds damaged bytes to the parser of every device family; prints JSON, exits with 1 on a failure.

An input is two damaged frames and then a good one, cut into random pieces, and then silence. No exception may be
raised, the buffer must not exceed one frame, and memory must not grow. The good frame must be found: immediately, or,
if damaged bytes before it were taken for a frame that includes its start (`swallowed`), when it is repeated after the
silence. A checksum of 16 bits or more may lose as many frames as expected by chance for 16 bits; with 8 bits or none it
is more. `invented` counts readings that no good frame contains, from damage that the checksum did not detect. The time
to parse the largest frame is measured as well.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import random
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import psutil

from drivers.serial_line.framing import FrameParser
from drivers.thermometers.gy_mcu90640 import GyMcu90640
from drivers.tools.reading_output import PlainValues, to_dict
from tests.drivers.families import FAMILIES, Family, mutated, pool

DAMAGED = 2  # frames per input
CHANCE = 2**-16  # probability that a 16-bit checksum accepts a damaged frame
GROWTH_LIMIT_MB = 4.0
WARM_UP = 0.1  # share of the inputs after which memory must not grow
PAUSE_S = 60.0  # between inputs: code readers ignore immediate repeats


@dataclass(slots=True)
class Tally:
    """Results of one family."""

    inputs: int = 0
    megabytes: float = 0.0
    invented: int = 0  # readings that were never sent
    swallowed: int = 0  # good frames lost to damaged bytes before them
    swallowed_limit: int | None = None  # for a checksum of 16 bits or more
    failed: int = 0  # good frames that were not found again after the silence
    longest_buffer: int = 0
    memory_growth_mb: float = 0.0

    @property
    def good(self) -> bool:
        """Whether the family meets the limits."""
        by_chance = self.swallowed_limit is None or self.swallowed <= self.swallowed_limit
        return by_chance and not self.failed and self.memory_growth_mb < GROWTH_LIMIT_MB


class Fuzz:
    """Feeds damaged input to the parser of one family."""

    def __init__(self, family: Family, seed: int) -> None:
        self._family = family
        self._rng = random.Random(f"{seed} {family.driver}")
        self._parser = family.parser()
        self.tally = Tally()
        self._frames = [(frame, family.values(frame, pixels=False)) for frame in pool(family.driver)]
        self._sent = [expected for _, expected in self._frames]

    def run(self, inputs: int) -> Tally:
        """Feed `inputs` inputs."""
        process, warm_mb = psutil.Process(), 0.0
        if self._family.strong:
            self.tally.swallowed_limit = math.ceil(inputs * DAMAGED * CHANCE)
        for number in range(inputs):
            if number == int(inputs * WARM_UP):
                gc.collect()
                warm_mb = process.memory_info().rss / 1e6
            self._one((number + 1) * PAUSE_S)
        gc.collect()
        self.tally.memory_growth_mb = round(process.memory_info().rss / 1e6 - warm_mb, 2)
        self.tally.megabytes = round(self.tally.megabytes, 1)
        return self.tally

    def _one(self, at_s: float) -> None:
        frame, expected = self._rng.choice(self._frames)
        damaged = b"".join(mutated(self._rng.choice(self._frames)[0], self._rng) for _ in range(DAMAGED))
        if not self._found(expected, damaged + frame, at_s):
            self.tally.swallowed += 1
            self.tally.failed += not self._found(expected, frame, at_s + PAUSE_S / 2)
        self.tally.inputs += 1
        self.tally.megabytes += (len(damaged) + len(frame)) / 1e6

    def _found(self, expected: PlainValues, data: bytes, at_s: float) -> bool:
        readings = [to_dict(reading) for reading in self._all(data, at_s)]
        self.tally.invented += sum(reading not in self._sent for reading in readings)
        return readings[-1:] == [expected]

    def _all(self, data: bytes, at_s: float) -> list[Any]:
        """The readings of the parser for `data`, split at random, and for the silence after it."""
        edges = [0, *sorted(self._rng.randrange(len(data) + 1) for _ in range(self._rng.randrange(4))), len(data)]
        readings: list[Any] = []
        for start, end in pairwise(edges):
            if end > start:
                readings += self._parser.feed(data[start:end], at_s)
                if isinstance(self._parser, FrameParser):
                    self.tally.longest_buffer = max(self.tally.longest_buffer, self._parser.buffered_bytes)
        return [*readings, *self._parser.feed(b"", at_s)]


def array_frame_us(rounds: int = 2000) -> dict[str, float]:
    """Microseconds to parse a GY-MCU90640 frame."""
    (frame, *_), parser = pool("gy-mcu90640"), GyMcu90640()
    times_us = []
    for _ in range(rounds):
        started_ns = time.perf_counter_ns()
        parser.feed(frame, 0.0)
        times_us.append((time.perf_counter_ns() - started_ns) / 1000)
    return {"median": round(statistics.median(times_us), 1), "p99": round(sorted(times_us)[int(rounds * 0.99)], 1)}


def main() -> None:
    """Print the measurements."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--inputs", type=int, default=100_000, help="inputs per family")
    options.add_argument("--family", choices=[family.driver for family in FAMILIES], action="append")
    options.add_argument("--seed", type=int, default=1)
    chosen = options.parse_args()
    wanted = [family for family in FAMILIES if family.driver in (chosen.family or [family.driver])]
    tallies = {family.driver: Fuzz(family, chosen.seed).run(chosen.inputs) for family in wanted}
    report = {"array_frame_us": array_frame_us(), "families": {name: asdict(it) for name, it in tallies.items()}}
    print(json.dumps(report, indent=2))
    sys.exit(not all(tally.good for tally in tallies.values()))


if __name__ == "__main__":
    main()

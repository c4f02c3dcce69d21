"""A day at the gates: arrival times and passage records."""

from __future__ import annotations

import math
import secrets
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from random import Random

from sync.contract.health import Colour, Freshness, LookupOutcome
from sync.contract.records import (
    AlarmRaised,
    Clock,
    Health,
    Mask,
    PassageClosed,
    PassageDecided,
    Record,
    Temperature,
)

_PEAKS = ((7.75, 0.9, 3.2), (12.2, 0.8, 1.0), (18.3, 1.3, 3.0))  # hour, width in hours, height above the base level
_BASE = 0.25
_DAY_H = 24.0
_ALARMS = 0.01  # share of passages that raise an alarm


def _intensity(hour: float) -> float:
    return _BASE + sum(height * math.exp(-(((hour - at) / width) ** 2)) for at, width, height in _PEAKS)


_MEAN = sum(_intensity(minute / 60) for minute in range(1440)) / 1440
_BUSIEST = max(_intensity(minute / 60) for minute in range(1440)) / _MEAN


def intensity(share_of_day: float) -> float:
    """Arrival rate at this share of the day (0 to 1), as a multiple of the mean of the day."""
    return _intensity(share_of_day % 1.0 * _DAY_H) / _MEAN


def arrivals_s(random: Random, per_hour: float, length_s: float) -> Iterator[float]:
    """Arrival times in seconds, in a day that passes in `length_s`, with a mean of `per_hour`."""
    at_s = 0.0
    while (at_s := at_s + random.expovariate(per_hour / 3600 * _BUSIEST)) < length_s:
        if random.random() * _BUSIEST < intensity(at_s / length_s):
            yield at_s


def passage(random: Random) -> tuple[list[Record], Record]:
    """The records of one passage: those of its decision, and the record of its end."""
    passage_id, now = uuid.uuid4().hex, _clock()
    fever = random.random() < _ALARMS
    decided = PassageDecided(
        passage_id=passage_id,
        follows=None,
        decided=now,
        checkpoint="gate",
        lane="1",
        direction="in",
        verdict="refuse" if fever else "admit",
        reasons=("fever",) if fever else ("green_code",),
        credential="code",
        person_key=secrets.token_hex(32),
        temperature=Temperature(38.1 if fever else 36.4, 0.2, 34.6 if fever else 33.1, 22.0, 8, "forehead-1"),
        mask=Mask("correct", 0.98, 5),
        health=Health(LookupOutcome.FOUND, "replica", Freshness.FRESH, 3.0, Colour.GREEN, now.wall, now.wall),
        policy_version=1,
        arrival_to_decision_ms=random.randint(120, 300),
    )
    alarms = [
        AlarmRaised(alarm_id=uuid.uuid4().hex, raised=now, kind="fever", subject=passage_id, detail="")
        for _ in range(fever)
    ]
    closed = PassageClosed(
        passage_id=passage_id, closed=now, outcome="opened", arrival_to_prompt_ms=250, gate_opened=not fever
    )
    return [decided, *alarms], closed


@cache
def _boot_id() -> str:
    """One for each run of the simulation."""
    return uuid.uuid4().hex


def _clock() -> Clock:
    return Clock(datetime.now(UTC), _boot_id(), time.monotonic_ns() // 1_000_000, in_sync=True)

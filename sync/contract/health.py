"""Health statuses as the platform publishes them and the box stores them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec

# A time without a UTC offset is rejected on the wire: it cannot be compared with the clock.
Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class Colour(StrEnum):
    """Colour of a health code; separate from LookupOutcome, so that a failed look-up is never green."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"
    GREY = "grey"  # no colour assigned yet


class TestResult(StrEnum):
    """Result of the newest nucleic-acid test."""

    __test__ = False  # not a pytest class

    NEGATIVE = "negative"
    POSITIVE = "positive"
    PENDING = "pending"
    NONE = "none"


class HealthStatus(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """Health status of one person at `as_of`; `lists` are names as in `contract.lists`, such as `watch`.

    `exempt_until`: the end of an exemption `exempt:REASON` in `lists`, which `exempt_by` granted. Since 0.3; an older
    box ignores exemptions.
    """

    person_key: str = msgspec.field()
    colour: Colour
    as_of: Instant
    sampled_at: Instant | None = None
    reported_at: Instant | None = None
    result: TestResult = TestResult.NONE
    lists: tuple[str, ...] = ()
    version: int = 0
    exempt_until: Instant | None = None
    exempt_by: str = ""


class Freshness(StrEnum):
    """Age class of the directory since its last confirmed checkpoint."""

    FRESH = "fresh"  # <= 60 s
    AGING = "aging"  # <= 15 min
    STALE = "stale"  # <= 24 h
    EXPIRED = "expired"  # older, or never confirmed


class LookupOutcome(StrEnum):
    """How a look-up ended."""

    FOUND = "found"
    NOT_FOUND = "not_found"  # the platform answered that it does not know the person
    FAILED = "failed"  # the platform could not be reached, or its answer was invalid
    TIMED_OUT = "timed_out"  # no answer within the time budget


class Lookup(msgspec.Struct, frozen=True):
    """Result of one look-up; `age_s` is the age of the data, `source` is `replica`, `platform` or `none`."""

    outcome: LookupOutcome
    status: HealthStatus | None
    freshness: Freshness
    age_s: float
    source: str

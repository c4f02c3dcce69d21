"""When a broadcast comes round: the five fields of a cron line, in the box's own time.

Minute, hour, day of the month, month, day of the week (0 or 7 is Sunday); each `*`, a number, `a-b`, a list, or any of
these with `/step`. As in cron, where both day fields are set either is enough. Written here rather than taken from a
library: all that is asked of it is whether a minute matches.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))
_MINUTE = timedelta(minutes=1)


class BadSchedule(ValueError):
    """The line is not a schedule; the message names its field and what is accepted."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The minutes, hours, days, months and weekdays (Sunday is 0) that match; None of a day field matches every day."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int] | None
    months: frozenset[int]
    weekdays: frozenset[int] | None

    @classmethod
    def parse(cls, line: str) -> Schedule:
        """The schedule in `line`. Raises BadSchedule."""
        fields = line.split()
        if len(fields) != len(_FIELDS):
            raise BadSchedule(f"a schedule has {len(_FIELDS)} fields, not {len(fields)}")
        minutes, hours, days, months, weekdays = (
            _numbers(field, *limits) for field, limits in zip(fields, _FIELDS, strict=True)
        )
        return cls(
            minutes,
            hours,
            None if fields[2] == "*" else days,
            months,
            None if fields[4] == "*" else frozenset(day % 7 for day in weekdays),
        )

    def matches(self, moment: datetime) -> bool:
        """Whether the minute of `moment` is one of the schedule's."""
        return (
            moment.minute in self.minutes
            and moment.hour in self.hours
            and moment.month in self.months
            and self._day_matches(moment)
        )

    def next(self, moment: datetime, within: timedelta) -> datetime | None:
        """The first matching minute after that of `moment`, None where there is none `within`."""
        minute = moment.replace(second=0, microsecond=0) + _MINUTE
        until = moment + within
        while minute <= until:
            if self.matches(minute):
                return minute
            minute += _MINUTE if minute.hour in self.hours else timedelta(minutes=60 - minute.minute)
        return None

    def _day_matches(self, moment: datetime) -> bool:
        weekday = moment.isoweekday() % 7
        if self.days is None or self.weekdays is None:
            return (self.days is None or moment.day in self.days) and (
                self.weekdays is None or weekday in self.weekdays
            )
        return moment.day in self.days or weekday in self.weekdays


def _numbers(field: str, name: str, low: int, high: int) -> frozenset[int]:
    found: set[int] = set()
    for part in field.split(","):
        span, slash, step = part.partition("/")
        start, dash, end = span.partition("-")
        if span == "*":
            start, end = str(low), str(high)
        elif not dash:
            end = str(high) if slash else start
        if not all(number.isascii() and number.isdecimal() and len(number) < 4 for number in (start, end, step or "1")):
            raise BadSchedule(f"{name} {part!r}: expected *, a number, a span a-b or one of them with /step")
        if not low <= int(start) <= int(end) <= high or int(step or 1) < 1:
            raise BadSchedule(f"{name} {part!r}: accepted: {low} to {high}")
        found.update(range(int(start), int(end) + 1, int(step or 1)))
    return frozenset(found)

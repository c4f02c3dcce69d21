"""One row of a directory file: what each field accepts, and the update that it makes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec import UNSET, UnsetType

from sync.contract.health import Colour, HealthStatus, TestResult
from sync.contract.identity import checked_number, is_zeroed, person_key
from sync.contract.lists import ListClass, class_of_list, is_granted
from sync.id_number import InvalidNumber
from sync.platform.directory.store import Update

LIST_SEPARATOR = ";"
REQUIRED = ("number", "colour", "as_of")
_LISTS = ("lists", "exempt_until", "exempt_by")
_TEST = ("sampled_at", "reported_at", "result")
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_AHEAD = timedelta(minutes=5)  # of this clock; a later time would make true data of the next hours older than this row
_LONG_NUMBER = re.compile("[0-9]{6}")
_LIST_NAME = re.compile("[A-Za-z0-9_.:-]{1,60}")
_TIME = "a time with its offset, such as 2022-04-01T08:00:00+08:00, and not in the future"
# What each field accepts. A reason contains only these words: a value may be a document number in the wrong column.
ACCEPTED = {
    "number": "a document number",
    "colour": f"one of {', '.join(Colour)}",
    "as_of": _TIME,
    "sampled_at": _TIME,
    "reported_at": _TIME,
    "result": f"one of {', '.join(TestResult)}",
    "lists": f"names without long numbers, in CSV with {LIST_SEPARATOR} between them",
    "exempt_until": "a time with its offset, at most 72 h after as_of, with exempt:REASON in lists and exempt_by",
    "exempt_by": "who granted the exemption, at most 80 characters without long numbers",
}
_KNOWN_LISTS = f"accepted: {', '.join(ListClass)}, each also with a sub-category, such as key_worker:cold_chain"


class RowRejected(Exception):
    """A row cannot be imported; the message gives the reason without quoting the row."""


def requirement(name: str) -> str:
    """What the field `name` must be."""
    return f"{name}: must be {ACCEPTED[name]}"


class PersonRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The fields of a row; UNSET: the file does not state it, so the directory keeps its value."""

    number: str
    colour: Colour
    as_of: datetime
    sampled_at: datetime | UnsetType | None = UNSET
    reported_at: datetime | UnsetType | None = UNSET
    result: TestResult | UnsetType = UNSET
    lists: tuple[str, ...] | UnsetType = UNSET
    exempt_until: datetime | UnsetType | None = UNSET
    exempt_by: str | UnsetType = UNSET

    def __repr__(self) -> str:
        return "PersonRow(...)"

    @property
    def is_zeroed(self) -> bool:
        """Whether the number ends as a spreadsheet leaves it, though its check digit is right."""
        return is_zeroed(checked_number(self.number))

    def update(self, community_key: bytes) -> Update:
        """The update of the person. Raises RowRejected."""
        try:
            number = checked_number(self.number)
        except InvalidNumber as exc:
            raise RowRejected(f"number: {exc}") from None
        stated = {name: value for name in (*_TEST, *_LISTS) if (value := getattr(self, name)) is not UNSET}
        for name in ("as_of", "sampled_at", "reported_at"):
            if (time := stated.get(name, self.as_of)) is not None and not _is_past(time):
                raise RowRejected(requirement(name))
        status = HealthStatus(
            person_key=person_key(community_key, number), colour=self.colour, as_of=self.as_of, **stated
        )
        _check_lists(status)
        return Update(status, _unstated(stated))


def _unstated(stated: Iterable[str]) -> frozenset[str]:
    """The fields of the test, and those of the lists, of which `stated` has none: each group belongs together."""
    groups = (group for group in (_TEST, _LISTS) if not set(group).intersection(stated))
    return frozenset(name for group in groups for name in group)


def _is_past(time: datetime) -> bool:
    return time.tzinfo is not None and _EARLIEST <= time <= datetime.now(UTC) + _AHEAD


def _check_lists(status: HealthStatus) -> None:
    """Raise RowRejected for a list that no rule knows, and for an exemption without reason, end or grantor."""
    for name in status.lists:
        if _LONG_NUMBER.search(name):
            raise RowRejected(requirement("lists"))
        if class_of_list(name) is None or name.endswith(":"):
            shown = repr(name) if _LIST_NAME.fullmatch(name) else "a name with characters other than a-z, 0-9, _ and :"
            raise RowRejected(f"lists: {shown} is unknown; {_KNOWN_LISTS}")
    by, until = status.exempt_by, status.exempt_until
    if len(by) > 80 or not by.isprintable() or _LONG_NUMBER.search(by):
        raise RowRejected(requirement("exempt_by"))
    states_one = until is not None or by or any(class_of_list(name) is ListClass.EXEMPT for name in status.lists)
    if states_one and not (_has_offset(until) and by and is_granted(status.lists, status.as_of, until)):
        raise RowRejected(requirement("exempt_until"))


def _has_offset(time: datetime | None) -> bool:
    return time is not None and time.tzinfo is not None

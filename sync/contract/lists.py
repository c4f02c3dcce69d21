"""Names of lists, `CLASS` or `CLASS:SUB_CATEGORY`; a rule for a class applies to every sub-category."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum

EXEMPTION_LIMIT = timedelta(hours=72)
_SEPARATOR = ":"
_PLAIN = re.compile("[A-Za-z0-9_.-]{1,40}")
_LONG_NUMBER = re.compile("[0-9]{6}")


class ListClass(StrEnum):
    """Classes of lists. A name of another class has no rule: it is refused at import and counted at the gate."""

    WATCH = "watch"  # home management: staff are called
    KEY_WORKER = "key_worker"  # an overdue test is a reminder, if the policy says so
    WHITE = "white"  # registered as living, working or trading here: a membership, which overrides nothing
    EXEMPT = "exempt"  # `exempt:REASON` with an end: the code and the test are not judged, except red and positive


_BY_NAME = {each.value: each for each in ListClass}


def class_of_list(name: str) -> ListClass | None:
    """The class of the list `name`; None if no rule knows it."""
    return _BY_NAME.get(name.partition(_SEPARATOR)[0])


def unknown_lists(names: Iterable[str]) -> list[str]:
    """The names that no rule knows."""
    return [name for name in names if class_of_list(name) is None]


def label_of_list(name: str) -> str:
    """The class part of a list name for counters and messages; `other` if it may contain personal data."""
    head = name.partition(_SEPARATOR)[0]
    return head if _PLAIN.fullmatch(head) and not _LONG_NUMBER.search(head) else "other"


def is_exemption(name: str) -> bool:
    """Whether the list `name` is an exemption with a reason: `exempt:REASON`."""
    return class_of_list(name) is ListClass.EXEMPT and bool(name.partition(_SEPARATOR)[2].strip())


def is_granted(names: Iterable[str], granted: datetime, until: datetime | None) -> bool:
    """Whether `names` contain an exemption with a reason, granted at `granted` for at most EXEMPTION_LIMIT."""
    if until is None or not any(map(is_exemption, names)):
        return False
    return timedelta(0) < until - granted <= EXEMPTION_LIMIT

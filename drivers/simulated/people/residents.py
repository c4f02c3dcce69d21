"""Residents of the simulated community: document numbers of no real person, and their rows in the directory."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from random import Random

from sync.id_number import check_digit

UNASSIGNED_AREA = "999999"


def document_number(birth: date, order: int) -> str:
    """A valid number (GB 11643-1999), unassigned area; `order` 1..999 distinguishes people of the same birthday."""
    first_17 = f"{UNASSIGNED_AREA}{birth:%Y%m%d}{order:03d}"
    return first_17 + check_digit(first_17)


@dataclass(frozen=True, slots=True)
class Resident:
    """One person in the directory of the platform."""

    number: str = field(repr=False)
    colour: str = "green"
    result: str = "negative"
    sampled_h_ago: float = 12.0
    lists: tuple[str, ...] = ()

    def row(self, now: datetime) -> dict[str, object]:
        """The person's row of the platform's directory, as imported from JSONL; times are relative to `now`."""
        sampled = now - timedelta(hours=self.sampled_h_ago)
        return {
            "number": self.number,
            "colour": self.colour,
            "as_of": (now - timedelta(minutes=5)).isoformat(timespec="seconds"),
            "sampled_at": sampled.isoformat(timespec="seconds"),
            "reported_at": (sampled + timedelta(hours=min(6.0, self.sampled_h_ago / 2))).isoformat(timespec="seconds"),
            "result": self.result,
            "lists": list(self.lists),
        }


def _cast_number(order: int) -> str:
    return document_number(date(1990, 1, 1), order)


HEALTHY = tuple(Resident(_cast_number(order), sampled_h_ago=2.0 * order) for order in range(1, 6))
FORGETFUL = Resident(_cast_number(11), sampled_h_ago=6.0)  # comes without a mask
FEVERISH = (Resident(_cast_number(12)), Resident(_cast_number(13), sampled_h_ago=20.0))
OVERDUE = Resident(_cast_number(14), sampled_h_ago=80.0)
YELLOW = Resident(_cast_number(15), colour="yellow")
WATCHED = (Resident(_cast_number(16), lists=("watch",)), Resident(_cast_number(17), lists=("watch",)))
CAST = (*HEALTHY, FORGETFUL, *FEVERISH, OVERDUE, YELLOW, *WATCHED)
STRANGERS = tuple(_cast_number(order) for order in range(901, 911))  # not in the directory


def people(now: datetime, fillers: int = 200, seed: int = 1) -> list[dict[str, object]]:
    """Directory rows as of `now` (with time zone): the cast of the street and `fillers` healthy neighbours."""
    if now.tzinfo is None:
        raise ValueError("now must have a time zone")
    random = Random(seed)  # noqa: S311 - a repeatable street, not a secret
    return [resident.row(now) for resident in (*CAST, *(_neighbour(index, random) for index in range(fillers)))]


def _neighbour(index: int, random: Random) -> Resident:
    birth = date(1935, 1, 1) + timedelta(days=index * 97 % 30_000)
    lists = ("white:medical",) if random.random() < 0.05 else ()
    return Resident(document_number(birth, 500 + index % 400), sampled_h_ago=random.uniform(1.0, 30.0), lists=lists)

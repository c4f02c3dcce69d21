"""Who may say and hear what, made from the table of lanes: what the rules of every broker are written from."""

from __future__ import annotations

from dataclasses import dataclass

from sync.contract.channels import CHANNEL_RULES, Direction
from sync.contract.topics import DISTRICT_CHANNELS, ROOT, Channel, check_name


@dataclass(frozen=True, slots=True)
class Access:
    """Topic filters that one kind of client may write and read; everything else is refused."""

    writes: tuple[str, ...]
    reads: tuple[str, ...]


def of_box(district: str, box: str) -> Access:
    """A box speaks on its own lanes and hears its own and its district's. `box` is the broker's word for its name.

    It hears its own state too, by which it notices another device of its name.
    """
    own = [lane for lane in Channel if lane not in DISTRICT_CHANNELS]
    return Access(
        writes=tuple(_topic(district, box, lane) for lane in own if _goes(lane, Direction.UP)),
        reads=(
            *(_topic(district, box, lane) for lane in own if _goes(lane, Direction.DOWN) or lane is Channel.STATE),
            *(_topic(district, box, lane) for lane in Channel if lane in DISTRICT_CHANNELS),
        ),
    )


def of_platform(district: str) -> Access:
    """The platform says what boxes hear and hears what boxes say, of every box of the district."""
    return Access(
        writes=tuple(_topic(district, "+", lane) for lane in Channel if _goes(lane, Direction.DOWN)),
        reads=tuple(_topic(district, "+", lane) for lane in Channel if _goes(lane, Direction.UP)),
    )


def _goes(lane: Channel, direction: Direction) -> bool:
    return CHANNEL_RULES[lane].direction in (direction, Direction.BOTH)


def _topic(district: str, box: str, lane: Channel) -> str:
    parts = [ROOT, check_name(district), *([] if lane in DISTRICT_CHANNELS else [box]), lane.value]
    return "/".join([*parts, "+"] if lane is Channel.COMMAND else parts)

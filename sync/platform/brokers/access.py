"""Topic permissions of boxes and of the platform, from the table of channels; brokers format them as rules."""

from __future__ import annotations

from dataclasses import dataclass

from sync.contract.channels import CHANNEL_RULES, Direction
from sync.contract.topics import DISTRICT_CHANNELS, ROOT, Channel, check_name


@dataclass(frozen=True, slots=True)
class Access:
    """Topic filters that one kind of client may publish and subscribe to; everything else is denied."""

    writes: tuple[str, ...]
    reads: tuple[str, ...]


def box_access(district: str, box: str) -> Access:
    """A box publishes on its own channels and subscribes to its own and its district's.

    `box` is the broker's placeholder for the name of the box. A box also reads its own state, by which it detects
    another device with its name.
    """
    own = [channel for channel in Channel if channel not in DISTRICT_CHANNELS]
    return Access(
        writes=tuple(_topic(district, box, channel) for channel in own if _has_direction(channel, Direction.UP)),
        reads=(
            *(
                _topic(district, box, channel)
                for channel in own
                if _has_direction(channel, Direction.DOWN) or channel is Channel.STATE
            ),
            *(_topic(district, box, channel) for channel in Channel if channel in DISTRICT_CHANNELS),
        ),
    )


def platform_access(district: str) -> Access:
    """The platform publishes what boxes read and reads what boxes publish, for every box of the district."""
    return Access(
        writes=tuple(_topic(district, "+", channel) for channel in Channel if _has_direction(channel, Direction.DOWN)),
        reads=tuple(_topic(district, "+", channel) for channel in Channel if _has_direction(channel, Direction.UP)),
    )


def _has_direction(channel: Channel, direction: Direction) -> bool:
    return CHANNEL_RULES[channel].direction in (direction, Direction.BOTH)


def _topic(district: str, box: str, channel: Channel) -> str:
    parts = [ROOT, check_name(district), *([] if channel in DISTRICT_CHANNELS else [box]), channel.value]
    return "/".join([*parts, "+"] if channel is Channel.COMMAND else parts)

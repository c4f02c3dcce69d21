"""Every topic of the wire: built, parsed and checked in one place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from sync.errors import BadMessage

ROOT = "sentinel/v1"
NAME_PATTERN = "[a-z0-9-]{1,40}"
_NAME = re.compile(NAME_PATTERN)


class Channel(StrEnum):
    """What a topic is for; box channels first, then those of a whole district."""

    STATE = "state"  # up, retained: the box's birth and its will
    ALARM = "alarm"  # up, before everything else
    PASSAGE = "passage"  # up, live records
    BACKLOG = "backlog"  # up, up to 100 historical records a message
    HEALTH = "health"  # up, every 30 s
    ACK = "ack"  # down: committed at the platform
    QUERY = "query"  # up: one person, asked for now
    ANSWER = "answer"  # down: response topic of `query`
    DIRECTORY = "directory"  # both: cursor requests up, pages down
    DESIRED = "desired"  # down, retained: configuration wanted
    REPORTED = "reported"  # up: configuration in force
    COMMAND = "command"  # down: one command, its name in the topic
    REVOCATION = "revocation"  # district, down: applied before anything else
    BROADCAST = "broadcast"  # district, down: said to everybody
    PLATFORM = "platform"  # district, down, retained: the platform itself is alive


DISTRICT_CHANNELS = frozenset({Channel.REVOCATION, Channel.BROADCAST, Channel.PLATFORM})


def check_name(name: str) -> str:
    """`name` of a district, box or command as it may stand in a topic; ValueError when it may not."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"a name in a topic must match {NAME_PATTERN}, not {name!r}")
    return name


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic; `str()` and `parse()` are its wire form."""

    district: str
    channel: Channel
    box: str | None = None
    command: str | None = None

    def __post_init__(self) -> None:
        check_name(self.district)
        if (self.box is None) != (self.channel in DISTRICT_CHANNELS):
            raise ValueError(
                f"{self.channel} is a channel of a {'district' if self.channel in DISTRICT_CHANNELS else 'box'}"
            )
        if (self.command is not None) != (self.channel is Channel.COMMAND):
            raise ValueError("a command channel, and only that, has a command name")
        for name in (self.box, self.command):
            if name is not None:
                check_name(name)

    def __str__(self) -> str:
        return "/".join(
            part for part in (ROOT, self.district, self.box, self.channel, self.command) if part is not None
        )

    @classmethod
    def parse(cls, text: str) -> Topic:
        """The topic that `text` names; raises BadMessage."""
        head, _, tail = text.partition(f"{ROOT}/")
        try:
            match [head, *tail.split("/")]:
                case ["", district, channel]:
                    return cls(district, Channel(channel))
                case ["", district, box, channel]:
                    return cls(district, Channel(channel), box)
                case ["", district, box, channel, command]:
                    return cls(district, Channel(channel), box, command)
        except ValueError as exc:
            raise BadMessage(f"topic: {exc}") from exc
        raise BadMessage("topic: not one of this contract")


def source_from(district: str, box: str | None) -> str:
    """CloudEvents source of a box, or of the platform of a district when `box` is None."""
    return f"{ROOT}/{check_name(district)}/{check_name(box) if box is not None else 'platform'}"


def every_box(district: str, channel: Channel) -> str:
    """Filter for one channel of all boxes of a district."""
    return f"{ROOT}/{check_name(district)}/+/{channel}"


def every_command(district: str, box: str) -> str:
    """Filter for all commands to one box."""
    return f"{ROOT}/{check_name(district)}/{check_name(box)}/{Channel.COMMAND}/+"


def shared(group: str, topic_filter: str) -> str:
    """Filter by which the members of `group` share the messages among them."""
    return f"$share/{check_name(group)}/{topic_filter}"

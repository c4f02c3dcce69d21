"""Builds, parses and validates every MQTT topic."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from sync.errors import BadMessage

ROOT = "sentinel/v1"
NAME_PATTERN = "[a-z0-9-]{1,40}"
_NAME = re.compile(NAME_PATTERN)


class Channel(StrEnum):
    """The purpose of a topic: first the channels of a box, then those of a district."""

    STATE = "state"  # up, retained: birth and will of the box
    ALARM = "alarm"  # up, with priority over all others
    PASSAGE = "passage"  # up, live records
    BACKLOG = "backlog"  # up, up to 100 delayed records a message
    HEALTH = "health"  # up, every 30 s
    ACK = "ack"  # down: records that the platform has committed
    QUERY = "query"  # up: status of one person
    ANSWER = "answer"  # down: response topic of `query`
    DIRECTORY = "directory"  # both: requests up, pages down
    DESIRED = "desired"  # down, retained: desired configuration
    REPORTED = "reported"  # up: active configuration and results of commands
    COMMAND = "command"  # down: one command, its name in the topic
    REVOCATION = "revocation"  # district, down: revoked statuses, ahead of their directory page
    BROADCAST = "broadcast"  # district, down: announcements
    PLATFORM = "platform"  # district, down, retained: state of the platform itself


DISTRICT_CHANNELS = frozenset({Channel.REVOCATION, Channel.BROADCAST, Channel.PLATFORM})


def check_name(name: str) -> str:
    """Return `name` of a district, box or command; ValueError when it is not valid in a topic."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"a name in a topic must match {NAME_PATTERN}, not {name!r}")
    return name


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic; `str()` and `parse()` convert to and from its wire form."""

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
            raise ValueError("the command channel, and only this channel, has a command name")
        for name in (self.box, self.command):
            if name is not None:
                check_name(name)

    def __str__(self) -> str:
        return "/".join(
            part for part in (ROOT, self.district, self.box, self.channel, self.command) if part is not None
        )

    @classmethod
    def parse(cls, text: str) -> Topic:
        """Parse the wire form. Raises BadMessage."""
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
        raise BadMessage("topic: not part of the contract")


def source_from(district: str, box: str | None) -> str:
    """CloudEvents source of a box, or of the platform of the district if `box` is None."""
    return f"{ROOT}/{check_name(district)}/{check_name(box) if box is not None else 'platform'}"


def every_box(district: str, channel: Channel) -> str:
    """Filter for one channel of all boxes of a district."""
    return f"{ROOT}/{check_name(district)}/+/{channel}"


def every_command(district: str, box: str) -> str:
    """Filter for all commands to one box."""
    return f"{ROOT}/{check_name(district)}/{check_name(box)}/{Channel.COMMAND}/+"


def shared(group: str, topic_filter: str) -> str:
    """Shared subscription: each message is delivered to one member of `group`."""
    return f"$share/{check_name(group)}/{topic_filter}"

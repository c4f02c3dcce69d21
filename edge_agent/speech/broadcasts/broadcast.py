"""One message for everybody, as it comes from the city; whoever hands it over has checked its signature."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta

from config.catalogue import LANGUAGES, columns
from config.prompts.speech import plain

SHOWN_COLUMNS = 96
SPOKEN_CHARACTERS = 300
KEPT_CHARACTERS = 1000
AUDIO_CAP_BYTES = 10_000_000
_STOPS = "。！？；.!?;，,、 "

Instant = Annotated[datetime, Meta(tz=True)]


class Priority(StrEnum):
    """How much a broadcast interrupts."""

    NORMAL = "normal"  # below prompts, not in quiet hours
    EMERGENCY = "emergency"  # before everything, at full volume, on every screen, again and again while it is valid


class Audio(msgspec.Struct, frozen=True):
    """Sound to fetch; what comes must have this length and sum."""

    url: Annotated[str, Meta(max_length=500)]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    bytes: Annotated[int, Meta(ge=1, le=AUDIO_CAP_BYTES)]


class Broadcast(msgspec.Struct, frozen=True, kw_only=True):
    """Something to tell everybody while it is valid.

    `texts` by language; `audio` is played in the place of a spoken text. `schedule` is a cron line of five fields in
    the box's own time; without one it is told once, as soon as it is valid.
    """

    broadcast_id: Annotated[str, Meta(pattern="^[A-Za-z0-9-]{1,64}$")]
    texts: dict[str, str]
    valid_from: Instant
    valid_until: Instant
    priority: Priority = Priority.NORMAL
    schedule: str | None = None
    audio: Audio | None = None


class OfferResult(StrEnum):
    """What became of an offered broadcast or command."""

    TAKEN = "taken"
    REPLACED = "replaced"  # one of the same id was there
    FULL = "full"  # no room: an emergency takes the place of the normal one that came last, a normal one is refused
    OVER = "over"  # not valid any more
    BAD_SCHEDULE = "bad_schedule"
    EMPTY = "empty"  # no text in a language of the box


class TakesBroadcasts(Protocol):
    """Where the city link hands broadcasts over; it answers at once and keeps a bounded number."""

    def offer(self, broadcast: Broadcast) -> OfferResult: ...

    def withdraw(self, broadcast_id: str) -> bool: ...


def trimmed(broadcast: Broadcast) -> Broadcast:
    """`broadcast` with plain texts of a length that can be kept, in the languages of this box alone."""
    texts = {
        language: plain(broadcast.texts[language])[:KEPT_CHARACTERS]
        for language in LANGUAGES
        if language in broadcast.texts
    }
    return msgspec.structs.replace(broadcast, texts=texts)


def shown(text: str) -> str:
    """`text` as a screen may show it: plain, and no wider than SHOWN_COLUMNS."""
    whole = plain(text)
    if columns(whole) <= SHOWN_COLUMNS:
        return whole
    kept, width = [], 0
    for character in whole:
        width += columns(character)
        if width > SHOWN_COLUMNS - 1:
            break
        kept.append(character)
    return _to_a_stop("".join(kept)) + "…"


def spoken(text: str) -> str:
    """`text` as a voice may say it: plain, and no longer than SPOKEN_CHARACTERS."""
    whole = plain(text)
    return whole if len(whole) <= SPOKEN_CHARACTERS else _to_a_stop(whole[:SPOKEN_CHARACTERS])


def _to_a_stop(text: str) -> str:
    """`text` up to its last stop, where that leaves most of it."""
    end = max(text.rfind(stop) for stop in _STOPS)
    return text[:end].rstrip(_STOPS) if end > len(text) // 2 else text

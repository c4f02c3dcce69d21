"""How a broadcast of the platform is shown and spoken, and who accepts and plays it."""

from __future__ import annotations

from datetime import time
from enum import Enum, StrEnum
from typing import Protocol

import msgspec

from config.catalogue import LANGUAGES, columns
from config.prompts.speech import plain
from drivers.contract import Clip
from sync.contract.orders import Broadcast

SHOWN_COLUMNS = 96
SPOKEN_CHARACTERS = 300
KEPT_CHARACTERS = 1000
_STOPS = "。！？；.!?;，,、 "


class OfferResult(StrEnum):
    """The answer to an offered broadcast."""

    TAKEN = "taken"
    REPLACED = "replaced"  # one of the same id was there
    FULL = "full"  # no room: an emergency replaces the newest normal one, a normal one is rejected
    OVER = "over"  # not valid any more
    BAD_SCHEDULE = "bad_schedule"
    EMPTY = "empty"  # no text in a language of the box


class PlaybackResult(Enum):
    """Result of playing the sound of a broadcast."""

    WHOLE = "whole"
    CUT_SHORT = "cut_short"  # by an emergency
    NOT = "not"  # the speaker is lost


class PlaysBroadcasts(Protocol):
    """Plays the sound of broadcasts: `speech.announcer.Announcer`."""

    def is_quiet(self, at: time) -> bool:
        """Whether no broadcast but an emergency may be played at this time of day."""

    async def broadcast(self, clip: Clip, language: str) -> PlaybackResult:
        """Play `clip` and return when it is over."""

    async def emergency(self, clip: Clip, language: str) -> bool:
        """Play `clip` at full volume in place of all other sound; returns whether it was heard."""


class TakesBroadcasts(Protocol):
    """Accepts broadcasts from the link; answers at once and stores a bounded number."""

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

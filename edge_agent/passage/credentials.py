"""Turns scanned codes and identity cards into credentials and passes them to the tracker."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time

from drivers.contract import CardRead, CardReader, CardUnreadable, CodeRead, CodeReader, CodeUnreadable
from drivers.readers.errors import CodeError, CodeUnknown
from drivers.readers.health_code import Provider
from edge_agent.domain.passage import AgeGroup, Credential, CredentialKind, CredentialProblem, Moment
from edge_agent.passage.person_tracker import PersonTracker
from sync.contract.identity import person_key

_TWICE_S = 5.0


class CredentialDeduplicator:
    """Passes credentials to the tracker; the same person from two readers within five seconds counts once."""

    def __init__(self, tracker: PersonTracker) -> None:
        self._tracker = tracker
        self._reader = ""
        self._last: Credential | None = None

    def add(self, credential: Credential, reader: str) -> None:
        """Add a credential that was presented to the device named `reader`."""
        last = self._last
        if (
            last is not None
            and reader != self._reader
            and credential.person_key is not None
            and credential.person_key == last.person_key
            and credential.presented_at_s - last.presented_at_s < _TWICE_S
        ):
            return
        self._reader, self._last = reader, credential
        self._tracker.add_credential(credential)


async def feed_codes(
    reader: CodeReader,
    provider: Provider,
    community_key: bytes,
    reception: CredentialDeduplicator,
    now: Callable[[], Moment],
    *,
    held_up: bool = True,
) -> None:
    """Turn every scanned code into a credential until cancelled; the number is hashed away at once.

    `held_up`: a code that is unknown or cannot be read was presented on purpose and is unreadable. Else it may be on a
    poster and is ignored.
    """
    sequence = 0
    while True:
        sequence, code = await reader.codes.after(sequence)
        credential = None if isinstance(code, CodeUnreadable) else credential_from(code, provider, community_key, now())
        if credential is not None:
            reception.add(credential, reader.name)
        elif held_up:
            unreadable = Credential(CredentialKind.CODE, code.taken_at_s, problem=CredentialProblem.UNREADABLE)
            reception.add(unreadable, reader.name)


async def feed_cards(
    reader: CardReader, community_key: bytes, reception: CredentialDeduplicator, now: Callable[[], Moment]
) -> None:
    """Turn every identity card into a credential until cancelled; the number is hashed away at once."""
    sequence = 0
    while True:
        sequence, card = await reader.cards.after(sequence)
        reception.add(credential_of_card(card, community_key, now()), reader.name)


def credential_from(code: CodeRead, provider: Provider, community_key: bytes, now: Moment) -> Credential | None:
    """The credential behind a scanned code, None where no provider knows it; a bad one identifies no person."""
    try:
        parsed = provider(code.text)
    except CodeUnknown:
        return None
    except CodeError:
        return Credential(CredentialKind.CODE, code.taken_at_s, problem=CredentialProblem.UNREADABLE)
    kind = CredentialKind(parsed.kind.value)
    return Credential(
        kind,
        code.taken_at_s,
        person_key(community_key, parsed.number),
        age=None if parsed.born is None else AgeGroup.at(parsed.born, now),
        valid_from=_instant(parsed.issued_at_s),
        valid_until=_instant(parsed.expires_at_s),
    )


def credential_of_card(card: CardRead | CardUnreadable, community_key: bytes, now: Moment) -> Credential:
    """The credential that a card is, valid from its first day's midnight to its last day's, both in local time."""
    if isinstance(card, CardUnreadable):
        return Credential(CredentialKind.CARD, card.taken_at_s, problem=CredentialProblem.UNREADABLE)
    zone = datetime.now().astimezone().tzinfo
    return Credential(
        CredentialKind.CARD,
        card.taken_at_s,
        person_key(community_key, card.number),
        age=AgeGroup.at(card.birth, now),
        valid_from=datetime.combine(card.valid_from, time.min, zone),
        valid_until=None if card.valid_until is None else datetime.combine(card.valid_until, time.max, zone),
    )


def _instant(unix_s: int | None) -> datetime | None:
    """`unix_s` as an instant; one that no calendar holds lies further off than any clock's error."""
    try:
        return None if unix_s is None else datetime.fromtimestamp(unix_s, UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.max.replace(tzinfo=UTC)

"""Carries what parts give to the presence: one small loop a part."""

from __future__ import annotations

import time
from datetime import date, datetime

from drivers.contract import CardRead, CardReader, CardUnreadable, CodeRead, CodeReader, Thermometer
from drivers.readers.errors import CodeError, CodeUnknown
from drivers.readers.health_code import Provider
from edge_agent.domain.passage import AgeGroup, Credential, CredentialKind, CredentialProblem
from edge_agent.measurement.face_detection import FaceDetectionLoop
from edge_agent.passage.person_tracker import PersonTracker
from sync.contract.identity import person_key

_TWICE_S = 5.0  # the same person from two readers within this time was shown once


class CredentialDeduplicator:
    """Hands credentials to the presence; a code that camera and scanner both saw, or a card beside it, counts once."""

    def __init__(self, presence: PersonTracker) -> None:
        self._presence = presence
        self._reader = ""
        self._last: Credential | None = None

    def add(self, credential: Credential, reader: str) -> None:
        """Take in what the part named `reader` was shown."""
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
        self._presence.add_credential(credential)


async def feed_sightings(sight: FaceDetectionLoop, presence: PersonTracker) -> None:
    """Show every sighting to the presence until cancelled."""
    sequence = 0
    while True:
        sequence, sighting = await sight.sightings.after(sequence)
        presence.add_detections(sighting)


async def feed_readings(thermometer: Thermometer, presence: PersonTracker) -> None:
    """Show every thermometer reading to the presence until cancelled."""
    sequence = 0
    while True:
        sequence, reading = await thermometer.readings.after(sequence)
        presence.add_reading(reading)


async def feed_codes(
    reader: CodeReader,
    provider: Provider,
    community_key: bytes,
    reception: CredentialDeduplicator,
    *,
    held_up: bool = True,
) -> None:
    """Turn every scanned code into a credential until cancelled; the number is hashed away at once.

    `held_up`: a code that no provider knows was held up by mistake. Else it may be a poster, and is nobody's.
    """
    sequence = 0
    while True:
        sequence, code = await reader.codes.after(sequence)
        credential = credential_from(code, provider, community_key)
        if credential is not None:
            reception.add(credential, reader.name)
        elif held_up:
            unreadable = Credential(CredentialKind.CODE, code.taken_at_s, problem=CredentialProblem.UNREADABLE)
            reception.add(unreadable, reader.name)


async def feed_cards(reader: CardReader, community_key: bytes, reception: CredentialDeduplicator) -> None:
    """Turn every identity card into a credential until cancelled; the number is hashed away at once."""
    sequence = 0
    while True:
        sequence, card = await reader.cards.after(sequence)
        reception.add(credential_of_card(card, community_key, _today()), reader.name)


def credential_from(code: CodeRead, provider: Provider, community_key: bytes) -> Credential | None:
    """The credential behind a scanned code, None where no provider knows it; a bad or expired one identifies nobody."""
    try:
        parsed = provider(code.text)
    except CodeUnknown:
        return None
    except CodeError:
        return Credential(CredentialKind.CODE, code.taken_at_s, problem=CredentialProblem.UNREADABLE)
    kind = CredentialKind(parsed.kind.value)
    if parsed.expires_at_s is not None and parsed.expires_at_s <= time.time():
        return Credential(kind, code.taken_at_s, problem=CredentialProblem.EXPIRED)
    age = None if parsed.born is None else AgeGroup.from_birth_date(parsed.born, _today())
    return Credential(kind, code.taken_at_s, person_key(community_key, parsed.number), age=age)


def credential_of_card(card: CardRead | CardUnreadable, community_key: bytes, today: date) -> Credential:
    """The credential that a card is; one outside its period of validity identifies nobody."""
    if isinstance(card, CardUnreadable):
        return Credential(CredentialKind.CARD, card.taken_at_s, problem=CredentialProblem.UNREADABLE)
    if not card.is_valid_on(today):
        return Credential(CredentialKind.CARD, card.taken_at_s, problem=CredentialProblem.EXPIRED)
    key = person_key(community_key, card.number)
    return Credential(CredentialKind.CARD, card.taken_at_s, key, age=AgeGroup.from_birth_date(card.birth, today))


def _today() -> date:
    return datetime.now().astimezone().date()

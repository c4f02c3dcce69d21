"""Carries what parts give to the presence: one small loop a part."""

from __future__ import annotations

import time

from drivers.contract import CodeRead, CodeReader, Thermometer
from drivers.readers.errors import CodeError
from drivers.readers.health_code import Provider
from edge_agent.domain import Credential, CredentialKind, CredentialProblem
from edge_agent.presence import Presence
from edge_agent.sight import Sight
from sync.contract.identity import person_key


async def feed_sightings(sight: Sight, presence: Presence) -> None:
    """Show every sighting to the presence until cancelled."""
    sequence = 0
    while True:
        sequence, sighting = await sight.sightings.after(sequence)
        presence.see(sighting)


async def feed_readings(thermometer: Thermometer, presence: Presence) -> None:
    """Show every thermometer reading to the presence until cancelled."""
    sequence = 0
    while True:
        sequence, reading = await thermometer.readings.after(sequence)
        presence.feel(reading)


async def feed_codes(reader: CodeReader, provider: Provider, community_key: bytes, presence: Presence) -> None:
    """Turn every scanned code into a credential until cancelled; the number is hashed away at once."""
    sequence = 0
    while True:
        sequence, code = await reader.codes.after(sequence)
        presence.show(credential_of(code, provider, community_key))


def credential_of(code: CodeRead, provider: Provider, community_key: bytes) -> Credential:
    """The credential behind a scanned code; an unreadable or expired one identifies nobody."""
    try:
        parsed = provider(code.text)
    except CodeError:
        return Credential(CredentialKind.CODE, code.taken_at_s, problem=CredentialProblem.UNREADABLE)
    kind = CredentialKind(parsed.kind.value)
    if parsed.expires_at_s is not None and parsed.expires_at_s <= time.time():
        return Credential(kind, code.taken_at_s, problem=CredentialProblem.EXPIRED)
    return Credential(kind, code.taken_at_s, person_key(community_key, parsed.number))

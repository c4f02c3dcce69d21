"""What a record carries of a passage comes back as it was, for all that a decision rests on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from config.settings import BoxSettings
from edge_agent.domain.passage import (
    AgeGroup,
    Credential,
    CredentialKind,
    CredentialProblem,
    Decision,
    MaskReading,
    Measurement,
    Moment,
    Passage,
    Reason,
    TemperatureClass,
    TemperatureReading,
    Verdict,
)
from edge_agent.records.conversion import (
    credential_from,
    decided_record,
    lookup_from,
    measurement_from,
    moment_from,
)
from models.detections import MaskState
from sync.contract.health import Colour, Freshness, HealthStatus, Lookup, LookupOutcome, TestResult
from sync.contract.records import PassageDecided

NOW = datetime(2022, 4, 1, 8, 0, tzinfo=UTC)
KEY = "ab" * 32
FIRST, LAST = NOW.replace(year=2020, tzinfo=None), NOW.replace(year=2030, tzinfo=None)
WELL = Measurement(TemperatureReading(36.5, 0.2, 33.0, 22.0, 8, "test/1"), MaskReading(None, 0.0, 0))
NUMBERS = st.none() | st.floats(-50, 50)
INSTANTS = st.datetimes(FIRST, LAST, timezones=st.just(UTC))
MILLISECONDS = st.integers(0, 10**9).map(lambda ms: ms / 1000)

MEASUREMENTS = st.builds(
    Measurement,
    st.builds(
        TemperatureReading,
        estimate_c=NUMBERS,
        uncertainty_c=NUMBERS,
        skin_c=NUMBERS,
        ambient_c=NUMBERS,
        samples=st.integers(0, 99),
        method=st.sampled_from(["two-lines/3", "test/1"]),
        regions=st.dictionaries(st.sampled_from(["canthi", "face_max"]), st.floats(20, 45)),
        correction_c=st.floats(-5, 5),
        distance_m=NUMBERS,
        fever_probability=st.none() | st.floats(0, 1),
        outside=st.sampled_from([(), ("skin_low",), ("ambient", "distance")]),
    ),
    st.builds(MaskReading, st.none() | st.sampled_from(MaskState), st.floats(0, 1), st.integers(0, 99)),
    st.booleans(),
    st.booleans(),
)
CREDENTIALS = st.none() | st.builds(
    Credential,
    st.sampled_from(CredentialKind),
    st.just(0.0),
    st.just(KEY),
    st.none() | st.sampled_from(CredentialProblem),
    st.none() | st.sampled_from(AgeGroup),
)
STATUSES = st.builds(
    HealthStatus,
    st.just(KEY),
    st.sampled_from(Colour),
    INSTANTS,
    st.none() | INSTANTS,
    st.none() | INSTANTS,
    st.sampled_from(TestResult),
    st.sampled_from([(), ("watch",), ("white:resident", "key_worker:cold_chain")]),
    exempt_until=st.none() | INSTANTS,
)
MOMENTS = st.builds(Moment, INSTANTS, MILLISECONDS, st.just("boot"), st.booleans(), st.none() | MILLISECONDS)


def lookup(status: HealthStatus | None, freshness: Freshness, tenths: int) -> Lookup:
    outcome = LookupOutcome.FAILED if status is None else LookupOutcome.FOUND
    return Lookup(outcome, status, freshness, tenths / 10, "replica")


LOOKUPS = st.builds(lookup, st.none() | STATUSES, st.sampled_from(Freshness), st.integers(0, 10**6))


def recorded(**parts: Any) -> PassageDecided:
    """The record of a passage with these parts, after its journey as JSON."""
    passage = Passage(
        **{
            "passage_id": "p",
            "follows": None,
            "decided": Moment(NOW, 100.0, "boot", True, 0.1),
            "credential": Credential(CredentialKind.CODE, 0.0, KEY),
            "measurement": Measurement(
                TemperatureReading(36.5, 0.2, 33.0, 22.0, 8, "test/1"), MaskReading(None, 0.0, 0)
            ),
            "lookup": lookup(None, Freshness.FRESH, 0),
            "decision": Decision(Verdict.ASSIST, (Reason.LOOKUP_FAILED,), TemperatureClass.NORMAL),
            "policy_version": 1,
            "arrived_at_s": 99.0,
            **parts,
        }
    )
    return msgspec.json.decode(msgspec.json.encode(decided_record(passage, BoxSettings())), type=PassageDecided)


@given(MEASUREMENTS)
def test_a_measurement_comes_back(measurement: Measurement) -> None:
    assert measurement_from(recorded(measurement=measurement)) == measurement


@given(CREDENTIALS)
def test_a_credential_comes_back_without_its_time(credential: Credential | None) -> None:
    assert credential_from(recorded(credential=credential)) == credential


@given(LOOKUPS)
def test_a_lookup_comes_back(known: Lookup) -> None:
    assert lookup_from(recorded(lookup=known)) == known


@given(MOMENTS)
def test_a_moment_comes_back_to_the_millisecond(moment: Moment) -> None:
    assert moment_from(recorded(decided=moment).decided) == moment


def test_a_credential_that_the_decision_found_expired_comes_back_as_expired() -> None:
    shown = Credential(CredentialKind.CARD, 0.0, KEY, valid_until=NOW - timedelta(days=1))
    record = recorded(credential=shown, decision=Decision(Verdict.RECHECK, (Reason.CARD_EXPIRED,)))
    assert credential_from(record) == replace(shown, problem=CredentialProblem.EXPIRED, valid_until=None)
    assert record.temperature.grade == TemperatureClass.NOT_MEASURED.value

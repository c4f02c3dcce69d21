"""Domain values to parts of a ledger record, and back: the two directions of each stand side by side.

Back come all values that `policy.decide` judges by. A record keeps no period of validity of a card or a code, only
that the decision found it expired.
"""

from __future__ import annotations

from msgspec import UNSET

from config.settings import BoxSettings
from edge_agent.domain.passage import (
    AgeGroup,
    Credential,
    CredentialKind,
    CredentialProblem,
    MaskReading,
    Measurement,
    Moment,
    Passage,
    TemperatureClass,
    TemperatureReading,
)
from models.detections import MaskState
from sync.contract.health import HealthStatus, Lookup
from sync.contract.records import Clock, Health, Mask, PassageDecided, Temperature

_THERMOMETER, _CAMERA = "thermometer", "camera"


def clock_record(moment: Moment) -> Clock:
    """A moment as records carry it, in whole milliseconds."""
    return Clock(
        wall=moment.wall,
        boot_id=moment.boot_id,
        monotonic_ms=round(moment.monotonic_s * 1000),
        in_sync=moment.in_sync,
        error_ms=None if moment.error_s is None else round(moment.error_s * 1000),
    )


def moment_from(clock: Clock) -> Moment:
    """The moment that `clock_record` wrote."""
    error_s = None if clock.error_ms is None else clock.error_ms / 1000
    return Moment(clock.wall, clock.monotonic_ms / 1000, clock.boot_id, clock.in_sync, error_s)


def temperature_record(reading: TemperatureReading, grade: TemperatureClass) -> Temperature:
    """A temperature as records carry it, with the grade that the decision gave it."""
    return Temperature(
        estimate_c=reading.estimate_c,
        uncertainty_c=reading.uncertainty_c,
        skin_c=reading.skin_c,
        ambient_c=reading.ambient_c,
        samples=reading.samples,
        method=reading.method,
        grade=grade.value,
        regions=dict(reading.regions),
        correction_c=reading.correction_c,
        distance_m=reading.distance_m,
        fever_probability=reading.fever_probability,
        outside=reading.outside,
    )


def temperature_from(temperature: Temperature) -> TemperatureReading:
    """The reading that `temperature_record` wrote."""
    return TemperatureReading(
        estimate_c=temperature.estimate_c,
        uncertainty_c=temperature.uncertainty_c,
        skin_c=temperature.skin_c,
        ambient_c=temperature.ambient_c,
        samples=temperature.samples,
        method=temperature.method,
        regions=temperature.regions,
        correction_c=temperature.correction_c or 0.0,
        distance_m=temperature.distance_m,
        fever_probability=temperature.fever_probability,
        outside=temperature.outside,
    )


def mask_record(reading: MaskReading) -> Mask:
    """A mask reading as records carry it."""
    return Mask(state=reading.state.value if reading.state else None, share=reading.share, frames=reading.frames)


def mask_from(mask: Mask) -> MaskReading:
    """The reading that `mask_record` wrote."""
    return MaskReading(MaskState(mask.state) if mask.state else None, mask.share, mask.frames)


def parts_lost_record(measurement: Measurement) -> tuple[str, ...]:
    """The names of the parts that were lost while this was measured."""
    lost = {_THERMOMETER: measurement.thermometer_lost, _CAMERA: measurement.camera_lost}
    return tuple(part for part, is_lost in lost.items() if is_lost)


def measurement_from(record: PassageDecided) -> Measurement:
    """The measurement that `record` rests on: temperature, mask and the lost parts."""
    return Measurement(
        temperature=temperature_from(record.temperature),
        mask=mask_from(record.mask),
        thermometer_lost=_THERMOMETER in record.parts_lost,
        camera_lost=_CAMERA in record.parts_lost,
    )


def health_record(lookup: Lookup) -> Health:
    """A look-up with its answer as records carry it."""
    status = lookup.status
    return Health(
        lookup=lookup.outcome,
        source=lookup.source,
        freshness=lookup.freshness,
        age_s=round(lookup.age_s, 1),
        colour=status.colour if status else None,
        as_of=status.as_of if status else None,
        sampled_at=status.sampled_at if status else None,
        reported_at=status.reported_at if status else None,
        result=status.result if status else None,
        lists=status.lists if status else (),
        exempt_until=(status.exempt_until if status else None) or UNSET,
    )


def lookup_from(record: PassageDecided) -> Lookup:
    """The look-up that `health_record` wrote, about the person of `record`."""
    known = record.health
    status = None
    if known.colour is not None and known.as_of is not None and known.result is not None:
        status = HealthStatus(
            person_key=record.person_key or "",
            colour=known.colour,
            as_of=known.as_of,
            sampled_at=known.sampled_at,
            reported_at=known.reported_at,
            result=known.result,
            lists=known.lists,
            exempt_until=known.exempt_until or None,
        )
    return Lookup(known.lookup, status, known.freshness, known.age_s, known.source)


def credential_from(record: PassageDecided) -> Credential | None:
    """The credential of `record`, None where none was shown; the time at which it was shown is not recorded."""
    if record.credential is None:
        return None
    problem = CredentialProblem(record.credential_problem) if record.credential_problem else None
    age = AgeGroup(record.age) if record.age else None
    return Credential(CredentialKind(record.credential), 0.0, record.person_key, problem, age)


def decided_record(passage: Passage, box: BoxSettings) -> PassageDecided:
    """The record of a verdict and of all that it rests on."""
    credential, decision = passage.credential, passage.decision
    return PassageDecided(
        passage_id=passage.passage_id,
        follows=passage.follows,
        decided=clock_record(passage.decided),
        checkpoint=box.checkpoint,
        lane=box.lane,
        direction=box.direction,
        verdict=decision.verdict.value,
        reasons=tuple(reason.value for reason in decision.reasons),
        credential=credential.kind.value if credential else None,
        person_key=credential.person_key if credential else None,
        temperature=temperature_record(passage.measurement.temperature, decision.grade),
        mask=mask_record(passage.measurement.mask),
        health=health_record(passage.lookup),
        policy_version=passage.policy_version,
        attempt=passage.attempt,
        credential_problem=passage.credential_problem.value if passage.credential_problem else None,
        parts_lost=parts_lost_record(passage.measurement),
        age=credential.age.value if credential and credential.age else None,
        arrival_to_decision_ms=round((passage.decided.monotonic_s - passage.arrived_at_s) * 1000),
    )

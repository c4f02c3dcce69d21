"""The verdict: a pure function of the measurement, the health status, the policy and the time.

Every rule returns findings; a finding is a verdict with its reason. The gravest verdict wins and all reasons are kept,
those of the winning verdict first.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from edge_agent.domain.passage import (
    AgeGroup,
    Credential,
    CredentialKind,
    CredentialProblem,
    Decision,
    MaskReading,
    Measurement,
    Moment,
    Reason,
    TemperatureClass,
    TemperatureReading,
    Verdict,
)
from edge_agent.measurement.core_temperature import SKIN_LOW
from edge_agent.policy.rules import MaskRule, Policy, TemperatureRule
from models.detections import MaskState
from sync.contract.health import Colour, HealthStatus, Lookup, LookupOutcome, TestResult
from sync.contract.lists import ListClass, class_of_list, is_granted

Finding = tuple[Verdict, Reason]

_COLOUR_REASONS = {
    Colour.YELLOW: Reason.CODE_YELLOW,
    Colour.RED: Reason.CODE_RED,
    Colour.GREY: Reason.CODE_UNASSIGNED,
}
_PROBLEMS = {  # of a card, else of a code
    (False, CredentialProblem.EXPIRED): Reason.CODE_EXPIRED,
    (False, CredentialProblem.UNREADABLE): Reason.CODE_UNREADABLE,
    (True, CredentialProblem.EXPIRED): Reason.CARD_EXPIRED,
    (True, CredentialProblem.UNREADABLE): Reason.CARD_UNREADABLE,
}
_ON_PAPER = {Reason.TEST_EXPIRED, Reason.TEST_MISSING, Reason.TEST_PENDING}
_PLATFORM_AHEAD = timedelta(minutes=5)  # how far the platform's clock may be ahead; beyond it the box's clock is wrong
_UNLIMITED_S = 1e12  # more than any two times differ


def decide(
    measurement: Measurement,
    credential: Credential | None,
    lookup: Lookup,
    policy: Policy,
    now: Moment,
    attempt: int = 1,
) -> Decision:
    """The verdict on one person; `attempt` counts this passage and the ones it rechecks."""
    grade = _grade_temperature(measurement, policy.temperature)
    findings = [
        *_judge_measurement(measurement, grade, policy),
        *_judge_credential(credential, lookup, policy, now),
    ]
    findings.sort(key=lambda finding: -finding[0].gravity)
    verdict = findings[0][0] if findings else Verdict.ADMIT
    reasons = tuple(dict.fromkeys(reason for _, reason in findings)) or (Reason.ALL_CLEAR,)
    if verdict is Verdict.RECHECK and attempt > policy.recheck.limit:
        return Decision(Verdict.ASSIST, (Reason.RECHECK_LIMIT_REACHED, *reasons), grade)
    return Decision(verdict, reasons, grade)


def _grade_temperature(measurement: Measurement, rule: TemperatureRule) -> TemperatureClass:
    """The class of the temperature; outside the fitted range it is never normal."""
    reading = measurement.temperature
    if reading.estimate_c is None or measurement.thermometer_lost:
        return TemperatureClass.NOT_MEASURED
    if reading.estimate_c >= rule.fever_c:
        return TemperatureClass.HIGH
    if reading.estimate_c < rule.low_c or SKIN_LOW in reading.outside:
        return TemperatureClass.LOW
    return TemperatureClass.NOT_MEASURED if reading.outside else TemperatureClass.NORMAL


def _judge_measurement(measurement: Measurement, grade: TemperatureClass, policy: Policy) -> list[Finding]:
    findings: list[Finding] = []
    if measurement.thermometer_lost:
        findings += _part_finding(policy.parts.thermometer_lost, Reason.THERMOMETER_LOST)
    elif policy.temperature.required:
        findings += _judge_temperature(measurement.temperature, grade, policy.temperature)
    if measurement.camera_lost:
        findings += _part_finding(policy.parts.camera_lost, Reason.CAMERA_LOST)
    elif policy.mask.required:
        findings += _judge_mask(measurement.mask, policy.mask)
    return findings


def _part_finding(rule: str, reason: Reason) -> list[Finding]:
    return [] if rule == "skip" else [(Verdict(rule), reason)]


def _judge_temperature(reading: TemperatureReading, grade: TemperatureClass, rule: TemperatureRule) -> list[Finding]:
    if reading.estimate_c is None or reading.uncertainty_c is None:
        return [(Verdict.RECHECK, Reason.TEMPERATURE_MISSING)]
    if grade is TemperatureClass.HIGH:
        return [(Verdict.ASSIST, Reason.FEVER)]
    if grade is TemperatureClass.LOW:
        return [(Verdict.RECHECK, Reason.TEMPERATURE_LOW)]
    if grade is TemperatureClass.NOT_MEASURED and rule.outside != "decide":
        return [(Verdict(rule.outside), Reason.TEMPERATURE_MISSING)]
    if reading.estimate_c + rule.recheck_margin_u * reading.uncertainty_c >= rule.fever_c:
        return [(Verdict.RECHECK, Reason.TEMPERATURE_UNCERTAIN)]
    return []


def _judge_mask(reading: MaskReading, rule: MaskRule) -> list[Finding]:
    if reading.state is None or reading.frames < rule.min_frames or reading.share < rule.min_share:
        return [(Verdict.RECHECK, Reason.MASK_UNJUDGED)]
    if reading.state is MaskState.NONE:
        return [(Verdict.RECHECK, Reason.MASK_MISSING)]
    if reading.state is MaskState.INCORRECT:
        return [(Verdict.RECHECK, Reason.MASK_INCORRECT)]
    return []


def _judge_credential(credential: Credential | None, lookup: Lookup, policy: Policy, now: Moment) -> list[Finding]:
    if credential is None:
        return [(Verdict.ASSIST, Reason.NO_CREDENTIAL)]
    if credential.problem is not None:
        return [(Verdict.RECHECK, _PROBLEMS[credential.kind is CredentialKind.CARD, credential.problem])]
    return _judge_validity(credential, policy, now) or _judge_lookup(credential, lookup, policy, now)


def _judge_validity(credential: Credential, policy: Policy, now: Moment) -> list[Finding]:
    """Expired (or not valid yet) by a clock in sync; unsure by another one, or nearer to a limit than its error."""
    error, start, end = _clock_error(policy, now), credential.valid_from, credential.valid_until
    outside = max(  # by how much the clock is outside; negative inside
        timedelta.min if start is None else start - now.wall,
        timedelta.min if end is None else now.wall - end,
    )
    if outside < -error:
        return []
    if now.in_sync and outside > error:
        return [(Verdict.RECHECK, _PROBLEMS[credential.kind is CredentialKind.CARD, CredentialProblem.EXPIRED])]
    return [(Verdict.ASSIST, Reason.CLOCK_UNSURE)]


def _judge_lookup(credential: Credential, lookup: Lookup, policy: Policy, now: Moment) -> list[Finding]:
    if lookup.outcome is LookupOutcome.NOT_FOUND:
        return [(Verdict(policy.lookup.not_found), Reason.PERSON_UNKNOWN)]
    if lookup.outcome is not LookupOutcome.FOUND or lookup.status is None:
        return [(Verdict(policy.lookup.failed), Reason.LOOKUP_FAILED)]
    may_show_paper = credential.age in (AgeGroup.CHILD, AgeGroup.ELDER) and policy.ages.paper == "assist"
    judged = _judge_status(lookup.status, policy, now)
    return [*_judge_age(lookup, policy), *(_staff_for_paper(judged) if may_show_paper else judged)]


def _staff_for_paper(findings: list[Finding]) -> list[Finding]:
    """ASSIST in place of a rejection that a test result on paper could change."""
    return [(Verdict.ASSIST if reason in _ON_PAPER else verdict, reason) for verdict, reason in findings]


def _judge_age(lookup: Lookup, policy: Policy) -> list[Finding]:
    rule = getattr(policy.freshness, lookup.freshness.value)
    return [] if rule == "decide" else [(Verdict(rule), Reason.DATA_TOO_OLD)]


def _judge_status(status: HealthStatus, policy: Policy, now: Moment) -> list[Finding]:
    findings: list[Finding] = []
    assumed = timedelta(seconds=policy.clock.unknown_error_s)
    if status.as_of - now.wall - _PLATFORM_AHEAD > (_clock_error(policy, now) if now.error_s is not None else assumed):
        findings.append((Verdict.ASSIST, Reason.CLOCK_UNSURE))
    if _is_listed(status, ListClass.WATCH):
        findings.append((Verdict(policy.lists.watch), Reason.WATCH_LIST))
    if _is_exempt(status, policy, now):
        return [*findings, (Verdict.ADMIT, Reason.EXEMPT)]
    if status.colour is not Colour.GREEN:
        findings.append((Verdict(getattr(policy.code, status.colour.value)), _COLOUR_REASONS[status.colour]))
    if policy.test.required:
        findings += _judge_test(status, policy, now)
    return findings


def _is_listed(status: HealthStatus, list_class: ListClass) -> bool:
    """Whether the person is on the list of this class, or of one of its sub-categories."""
    return any(class_of_list(name) is list_class for name in status.lists)


def _is_exempt(status: HealthStatus, policy: Policy, now: Moment) -> bool:
    """Whether an exemption applies: certainly not over, and never for a red code or a positive result."""
    if status.colour is Colour.RED or status.result is TestResult.POSITIVE:
        return False
    until = status.exempt_until
    granted = is_granted(status.lists, status.as_of, until)
    return granted and until is not None and now.wall + _clock_error(policy, now) < until


def _judge_test(status: HealthStatus, policy: Policy, now: Moment) -> list[Finding]:
    if status.result is TestResult.POSITIVE:
        return [(Verdict.ASSIST, Reason.TEST_POSITIVE)]
    if status.result is TestResult.PENDING:
        return [(Verdict.REFUSE, Reason.TEST_PENDING)]
    counted_from = status.sampled_at if policy.test.counted_from == "sampling" else status.reported_at
    if status.result is TestResult.NONE or counted_from is None:
        return [(Verdict.REFUSE, Reason.TEST_MISSING)]
    return _judge_test_age(counted_from, status, policy, now)


def _judge_test_age(counted_from: datetime, status: HealthStatus, policy: Policy, now: Moment) -> list[Finding]:
    error = _clock_error(policy, now)
    age, valid = now.wall - counted_from, timedelta(hours=policy.test.valid_h)
    if age < -error or abs(age - valid) <= error:
        return [(Verdict.ASSIST, Reason.CLOCK_UNSURE)]
    if age <= valid:
        return []
    if _is_listed(status, ListClass.KEY_WORKER) and policy.lists.key_worker == "remind":
        return [(Verdict.ADMIT, Reason.TEST_OVERDUE)]
    return [(Verdict.REFUSE, Reason.TEST_EXPIRED)]


def _clock_error(policy: Policy, now: Moment) -> timedelta:
    """Maximum error of the wall clock, at least the policy's assumption where the clock is not in sync.

    Without limit where nothing has confirmed the clock since the box started: it may have stood still before.
    """
    assumed_s = policy.clock.unknown_error_s
    if now.error_s is None:
        error_s = assumed_s if now.in_sync else _UNLIMITED_S
    else:
        error_s = now.error_s if now.in_sync else max(now.error_s, assumed_s)
    return timedelta(seconds=min(error_s, _UNLIMITED_S))

"""The verdict, rule by rule; a failure of any kind never admits."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from edge_agent.policy.decide import decide
from edge_agent.policy.rules import AgeRule, ListRule, Policy, load_policy
from models.detections import MaskState
from sync.contract.health import Colour, Freshness, HealthStatus, Lookup, LookupOutcome, TestResult

POLICY = load_policy(None)
NOW = Moment(datetime(2026, 11, 23, 8, 0, tzinfo=UTC), 1000.0, "boot", in_sync=True, error_s=0.05)
WELL = Measurement(TemperatureReading(36.7, 0.3, 35.4, 23.0, 4, "test/1"), MaskReading(MaskState.CORRECT, 0.95, 5))
SHOWN = Credential(CredentialKind.CODE, 999.0, "key")
STATUS = HealthStatus(
    person_key="key",
    colour=Colour.GREEN,
    as_of=NOW.wall,
    sampled_at=NOW.wall - timedelta(hours=12),
    reported_at=NOW.wall - timedelta(hours=6),
    result=TestResult.NEGATIVE,
)
FOUND = Lookup(LookupOutcome.FOUND, STATUS, Freshness.FRESH, 3.0, "replica")


def judged(
    measurement: Measurement = WELL,
    credential: Credential | None = SHOWN,
    lookup: Lookup = FOUND,
    policy: Policy = POLICY,
    now: Moment = NOW,
    attempt: int = 1,
) -> Decision:
    """The decision without its grade, which has a test of its own."""
    decision = decide(measurement, credential, lookup, policy, now, attempt)
    return replace(decision, grade=TemperatureClass.NOT_MEASURED)


def status(**changes: object) -> Lookup:
    return msgspec.structs.replace(FOUND, status=msgspec.structs.replace(STATUS, **changes))


def warm(estimate_c: float | None) -> Measurement:
    return replace(WELL, temperature=replace(WELL.temperature, estimate_c=estimate_c))


def outside(*names: str, estimate_c: float = 36.7) -> Measurement:
    return replace(WELL, temperature=replace(WELL.temperature, estimate_c=estimate_c, outside=names))


def masked(state: MaskState | None, share: float = 0.95, frames: int = 5) -> Measurement:
    return replace(WELL, mask=MaskReading(state, share, frames))


def test_a_healthy_masked_resident_is_admitted() -> None:
    assert judged() == Decision(Verdict.ADMIT, (Reason.ALL_CLEAR,))


@pytest.mark.parametrize(
    ("measurement", "expected"),
    [
        (warm(37.3), (Verdict.ASSIST, Reason.FEVER)),
        (warm(37.29), (Verdict.RECHECK, Reason.TEMPERATURE_UNCERTAIN)),
        (warm(34.9), (Verdict.RECHECK, Reason.TEMPERATURE_LOW)),
        (warm(None), (Verdict.RECHECK, Reason.TEMPERATURE_MISSING)),
        (outside("skin_low"), (Verdict.RECHECK, Reason.TEMPERATURE_LOW)),
        (outside("ambient"), (Verdict.ASSIST, Reason.TEMPERATURE_MISSING)),
        (outside("ambient", estimate_c=38.0), (Verdict.ASSIST, Reason.FEVER)),
        (masked(MaskState.NONE), (Verdict.RECHECK, Reason.MASK_MISSING)),
        (masked(MaskState.INCORRECT), (Verdict.RECHECK, Reason.MASK_INCORRECT)),
        (masked(None, 0.0, 0), (Verdict.RECHECK, Reason.MASK_UNJUDGED)),
        (masked(MaskState.CORRECT, 0.5), (Verdict.RECHECK, Reason.MASK_UNJUDGED)),
        (masked(MaskState.CORRECT, 0.95, 1), (Verdict.RECHECK, Reason.MASK_UNJUDGED)),
        (replace(WELL, thermometer_lost=True), (Verdict.ASSIST, Reason.THERMOMETER_LOST)),
        (replace(WELL, camera_lost=True), (Verdict.ASSIST, Reason.CAMERA_LOST)),
    ],
)
def test_measurements(measurement: Measurement, expected: tuple[Verdict, Reason]) -> None:
    decision = judged(measurement)
    assert (decision.verdict, decision.reasons[0]) == expected


@pytest.mark.parametrize(
    ("lookup", "expected"),
    [
        (status(colour=Colour.YELLOW), (Verdict.ASSIST, Reason.CODE_YELLOW)),
        (status(colour=Colour.RED), (Verdict.REFUSE, Reason.CODE_RED)),
        (status(colour=Colour.GREY), (Verdict.ASSIST, Reason.CODE_UNASSIGNED)),
        (status(lists=("watch",)), (Verdict.ASSIST, Reason.WATCH_LIST)),
        (status(result=TestResult.POSITIVE), (Verdict.ASSIST, Reason.TEST_POSITIVE)),
        (status(result=TestResult.PENDING), (Verdict.REFUSE, Reason.TEST_PENDING)),
        (status(result=TestResult.NONE), (Verdict.REFUSE, Reason.TEST_MISSING)),
        (status(sampled_at=None), (Verdict.REFUSE, Reason.TEST_MISSING)),
        (status(sampled_at=NOW.wall - timedelta(hours=49)), (Verdict.REFUSE, Reason.TEST_EXPIRED)),
        (status(sampled_at=NOW.wall + timedelta(hours=1)), (Verdict.ASSIST, Reason.CLOCK_UNSURE)),
        (
            status(sampled_at=NOW.wall - timedelta(hours=49), lists=("key_worker",)),
            (Verdict.ADMIT, Reason.TEST_OVERDUE),
        ),
        (
            Lookup(LookupOutcome.NOT_FOUND, None, Freshness.FRESH, 1, "platform"),
            (Verdict.ASSIST, Reason.PERSON_UNKNOWN),
        ),
        (Lookup(LookupOutcome.FAILED, None, Freshness.STALE, 1, "none"), (Verdict.ASSIST, Reason.LOOKUP_FAILED)),
        (Lookup(LookupOutcome.TIMED_OUT, None, Freshness.FRESH, 1, "none"), (Verdict.ASSIST, Reason.LOOKUP_FAILED)),
        (msgspec.structs.replace(FOUND, freshness=Freshness.EXPIRED), (Verdict.ASSIST, Reason.DATA_TOO_OLD)),
        (msgspec.structs.replace(FOUND, freshness=Freshness.STALE), (Verdict.ADMIT, Reason.ALL_CLEAR)),
    ],
)
def test_what_is_known(lookup: Lookup, expected: tuple[Verdict, Reason]) -> None:
    decision = judged(lookup=lookup)
    assert (decision.verdict, decision.reasons[0]) == expected


def exempted(until_h: float = 24, lists: tuple[str, ...] = ("exempt:dialysis",), **changes: object) -> Lookup:
    """A person with a test of long ago and an exemption that was granted with the status and ends `until_h` later."""
    as_of = NOW.wall - timedelta(hours=1)
    until = as_of + timedelta(hours=until_h)
    return status(**{"as_of": as_of, "sampled_at": None, "lists": lists, "exempt_until": until, **changes})


@pytest.mark.parametrize("name", ["white", "white:medical", "white:resident", "white:exempt:x"])
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"colour": Colour.RED}, (Verdict.REFUSE, Reason.CODE_RED)),
        ({"colour": Colour.YELLOW}, (Verdict.ASSIST, Reason.CODE_YELLOW)),
        ({"result": TestResult.POSITIVE}, (Verdict.ASSIST, Reason.TEST_POSITIVE)),
        ({"result": TestResult.NONE}, (Verdict.REFUSE, Reason.TEST_MISSING)),
        ({"sampled_at": NOW.wall - timedelta(hours=49)}, (Verdict.REFUSE, Reason.TEST_EXPIRED)),
        ({}, (Verdict.ADMIT, Reason.ALL_CLEAR)),
    ],
)
def test_the_white_list_overrides_nothing(
    name: str, changes: dict[str, object], expected: tuple[Verdict, Reason]
) -> None:
    decision = judged(lookup=status(lists=(name,), **changes))
    assert decision == Decision(expected[0], (expected[1],))
    end = NOW.wall + timedelta(hours=1)
    assert judged(lookup=status(lists=(name,), exempt_until=end, **changes)) == decision


@pytest.mark.parametrize(
    ("lookup", "expected"),
    [
        (exempted(), (Verdict.ADMIT, Reason.EXEMPT)),
        (exempted(72), (Verdict.ADMIT, Reason.EXEMPT)),
        (exempted(result=TestResult.NONE), (Verdict.ADMIT, Reason.EXEMPT)),
        (exempted(colour=Colour.YELLOW), (Verdict.ADMIT, Reason.EXEMPT)),
        (exempted(colour=Colour.RED), (Verdict.REFUSE, Reason.CODE_RED)),
        (exempted(result=TestResult.POSITIVE), (Verdict.ASSIST, Reason.TEST_POSITIVE)),
        (exempted(lists=("watch:home", "exempt:dialysis")), (Verdict.ASSIST, Reason.WATCH_LIST)),
        (exempted(72.01), (Verdict.REFUSE, Reason.TEST_MISSING)),
        (exempted(1), (Verdict.REFUSE, Reason.TEST_MISSING)),  # ends now, within the error of the clock
        (exempted(-1), (Verdict.REFUSE, Reason.TEST_MISSING)),
        (exempted(exempt_until=None), (Verdict.REFUSE, Reason.TEST_MISSING)),
        (exempted(lists=("exempt",)), (Verdict.REFUSE, Reason.TEST_MISSING)),
        (exempted(lists=("exempt:",)), (Verdict.REFUSE, Reason.TEST_MISSING)),
        (exempted(lists=("exempted:dialysis",)), (Verdict.REFUSE, Reason.TEST_MISSING)),
        (exempted(lists=()), (Verdict.REFUSE, Reason.TEST_MISSING)),
    ],
)
def test_an_exemption_has_a_reason_and_an_end_and_never_covers_red_or_positive(
    lookup: Lookup, expected: tuple[Verdict, Reason]
) -> None:
    decision = judged(lookup=lookup)
    assert (decision.verdict, decision.reasons[0]) == expected


def test_an_exemption_that_a_clock_error_could_have_ended_does_not_apply() -> None:
    assert judged(lookup=exempted(1.5)).reasons == (Reason.EXEMPT,)
    unsure = replace(NOW, in_sync=False, error_s=1800.0)
    assert judged(lookup=exempted(1.5), now=unsure).verdict is not Verdict.ADMIT


@pytest.mark.parametrize("name", ["key_worker", "key_worker:cold_chain", "key_worker:port:crane"])
def test_the_rule_of_a_class_applies_to_its_sub_categories(name: str) -> None:
    late = status(sampled_at=NOW.wall - timedelta(hours=49), lists=(name,))
    assert judged(lookup=late) == Decision(Verdict.ADMIT, (Reason.TEST_OVERDUE,))
    refuse = msgspec.structs.replace(POLICY, lists=ListRule(key_worker="refuse"))
    assert judged(lookup=late, policy=refuse) == Decision(Verdict.REFUSE, (Reason.TEST_EXPIRED,))
    watched = name.replace("key_worker", "watch")
    assert judged(lookup=status(lists=(watched,))) == Decision(Verdict.ASSIST, (Reason.WATCH_LIST,))
    other = late.status and msgspec.structs.replace(late.status, lists=(name.replace("key", "keys"),))
    assert judged(lookup=msgspec.structs.replace(late, status=other)).verdict is Verdict.REFUSE


def test_nobody_is_admitted_without_a_credential() -> None:
    assert judged(credential=None) == Decision(Verdict.ASSIST, (Reason.NO_CREDENTIAL,))


@pytest.mark.parametrize(
    ("problem", "reason"),
    [(CredentialProblem.EXPIRED, Reason.CODE_EXPIRED), (CredentialProblem.UNREADABLE, Reason.CODE_UNREADABLE)],
)
def test_a_useless_code_is_asked_for_again(problem: CredentialProblem, reason: Reason) -> None:
    assert judged(credential=replace(SHOWN, problem=problem)) == Decision(Verdict.RECHECK, (reason,))


EARLY, LATE = NOW.wall - timedelta(days=1), NOW.wall + timedelta(days=1)
UNSURE = Decision(Verdict.ASSIST, (Reason.CLOCK_UNSURE,))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(CredentialKind.CODE, Reason.CODE_EXPIRED), (CredentialKind.CARD, Reason.CARD_EXPIRED)],
)
@pytest.mark.parametrize(
    ("valid_from", "valid_until", "is_expired"),
    [
        (None, None, False),
        (EARLY, LATE, False),
        (EARLY, None, False),
        (None, LATE, False),
        (LATE, None, True),
        (None, EARLY, True),
        (EARLY, datetime.max.replace(tzinfo=UTC), False),
    ],
)
def test_validity_is_judged_by_a_clock_in_sync(
    kind: CredentialKind, reason: Reason, valid_from: datetime | None, valid_until: datetime | None, is_expired: bool
) -> None:
    shown = replace(SHOWN, kind=kind, valid_from=valid_from, valid_until=valid_until)
    expected = Decision(Verdict.RECHECK, (reason,)) if is_expired else Decision(Verdict.ADMIT, (Reason.ALL_CLEAR,))
    assert judged(credential=shown) == expected


@pytest.mark.parametrize("year", [1970, 2019, 2031])
def test_a_clock_that_is_not_in_sync_calls_nothing_expired(year: int) -> None:
    now = replace(NOW, wall=NOW.wall.replace(year=year), in_sync=False, error_s=None)
    card = replace(SHOWN, kind=CredentialKind.CARD, valid_from=EARLY, valid_until=LATE)
    assert judged(credential=card, now=now) == UNSURE


def test_a_clock_that_only_the_platform_confirmed_calls_nothing_expired() -> None:
    now = replace(NOW, in_sync=False, error_s=60.0)
    assert judged(credential=replace(SHOWN, valid_until=EARLY), now=now) == UNSURE
    assert judged(credential=replace(SHOWN, valid_from=EARLY, valid_until=LATE), now=now).verdict is Verdict.ADMIT


def test_a_limit_within_the_error_of_the_clock_is_not_judged() -> None:
    assert judged(credential=replace(SHOWN, valid_until=NOW.wall + timedelta(seconds=0.01))) == UNSURE
    assert judged(credential=replace(SHOWN, valid_from=NOW.wall + timedelta(seconds=0.01))) == UNSURE


def test_data_from_the_future_show_that_the_clock_is_wrong() -> None:
    """A code that ended in 2023 must not count because the box believes that it is 2019."""
    rule = msgspec.structs.replace(POLICY.test, required=False)
    policy = msgspec.structs.replace(POLICY, test=rule)
    now = replace(NOW, wall=NOW.wall.replace(year=2019), in_sync=False, error_s=None)
    assert judged(credential=replace(SHOWN, valid_until=NOW.wall.replace(year=2023)), policy=policy, now=now) == UNSURE


@pytest.mark.parametrize(("in_sync", "error_s"), [(True, 0.05), (False, 60.0), (False, None)])
def test_a_status_of_tomorrow_shows_that_the_clock_is_wrong(in_sync: bool, error_s: float | None) -> None:
    """Also where nothing else depends on the time: no test is required, and the code states no validity."""
    policy = msgspec.structs.replace(POLICY, test=msgspec.structs.replace(POLICY.test, required=False))
    now = replace(NOW, in_sync=in_sync, error_s=error_s)
    shown = replace(SHOWN, valid_from=None, valid_until=None)
    assert judged(credential=shown, policy=policy, now=now).verdict is Verdict.ADMIT
    tomorrow = status(as_of=NOW.wall + timedelta(days=1))
    assert judged(credential=shown, lookup=tomorrow, policy=policy, now=now) == UNSURE


@pytest.mark.parametrize("age", [AgeGroup.CHILD, AgeGroup.ELDER])
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sampled_at": NOW.wall - timedelta(hours=49)}, Reason.TEST_EXPIRED),
        ({"result": TestResult.NONE}, Reason.TEST_MISSING),
        ({"result": TestResult.PENDING}, Reason.TEST_PENDING),
    ],
)
def test_staff_look_at_the_paper_of_children_and_elders(
    age: AgeGroup, changes: dict[str, object], reason: Reason
) -> None:
    shown, lookup = replace(SHOWN, age=age), status(**changes)
    assert judged(credential=shown, lookup=lookup) == Decision(Verdict.ASSIST, (reason,))
    assert judged(credential=replace(SHOWN, age=AgeGroup.ADULT), lookup=lookup).verdict is Verdict.REFUSE
    as_everybody = msgspec.structs.replace(POLICY, ages=AgeRule(paper="decide"))
    assert judged(credential=shown, lookup=lookup, policy=as_everybody).verdict is Verdict.REFUSE


def test_paper_does_not_answer_a_red_code() -> None:
    shown = replace(SHOWN, age=AgeGroup.ELDER)
    assert judged(credential=shown, lookup=status(colour=Colour.RED)).verdict is Verdict.REFUSE


@pytest.mark.parametrize(
    ("born", "age"),
    [
        (date(2004, 11, 24), AgeGroup.CHILD),
        (date(2004, 11, 23), AgeGroup.ADULT),
        (date(1962, 11, 24), AgeGroup.ADULT),
        (date(1962, 11, 23), AgeGroup.ELDER),
    ],
)
def test_a_group_begins_on_the_birthday(born: date, age: AgeGroup) -> None:
    assert AgeGroup.from_birth_date(born, date(2022, 11, 23)) is age


def test_the_gravest_verdict_wins_and_every_reason_is_kept() -> None:
    decision = judged(replace(warm(38.0), mask=MaskReading(MaskState.NONE, 1.0, 5)), lookup=status(colour=Colour.RED))
    assert decision == Decision(Verdict.ASSIST, (Reason.FEVER, Reason.CODE_RED, Reason.MASK_MISSING))


def test_staff_come_when_rechecks_are_spent() -> None:
    decision = judged(masked(MaskState.NONE), attempt=POLICY.recheck.limit + 1)
    assert decision == Decision(Verdict.ASSIST, (Reason.RECHECK_LIMIT_REACHED, Reason.MASK_MISSING))


@pytest.mark.parametrize("error_s", [3600.0, None])
def test_a_clock_that_could_flip_the_test_never_admits(error_s: float | None) -> None:
    unsure = replace(NOW, in_sync=False, error_s=error_s)
    almost_over = status(sampled_at=NOW.wall - timedelta(hours=47, minutes=30))
    assert judged(lookup=almost_over).verdict is Verdict.ADMIT
    assert judged(lookup=almost_over, now=unsure) == Decision(Verdict.ASSIST, (Reason.CLOCK_UNSURE,))


@pytest.mark.parametrize("age_h", [0.1, 10, 47])
@pytest.mark.parametrize("off_h", [1, 72])
def test_a_clock_that_stood_still_admits_no_test(age_h: float, off_h: float) -> None:
    """The box was off for `off_h` and its clock goes on from where it stopped; the test seems to be `age_h` old."""
    stopped = replace(NOW, wall=NOW.wall - timedelta(hours=off_h), in_sync=False, error_s=None)
    sampled = stopped.wall - timedelta(hours=age_h)
    lookup = status(sampled_at=sampled, reported_at=sampled, as_of=sampled)
    assert judged(lookup=lookup, now=stopped) == Decision(Verdict.ASSIST, (Reason.CLOCK_UNSURE,))
    confirmed = replace(NOW, in_sync=False, error_s=60.0)  # by the platform, which also set the time
    assert judged(lookup=status(sampled_at=NOW.wall - timedelta(hours=10)), now=confirmed).verdict is Verdict.ADMIT


@pytest.mark.parametrize("kind", list(CredentialKind))
def test_a_clock_that_nothing_confirmed_judges_no_validity(kind: CredentialKind) -> None:
    stopped = replace(NOW, in_sync=False, error_s=None)
    assert judged(credential=replace(SHOWN, kind=kind, valid_from=EARLY, valid_until=LATE), now=stopped) == UNSURE
    assert judged(credential=replace(SHOWN, kind=kind, valid_from=EARLY), now=stopped) == UNSURE


@given(error_s=st.one_of(st.none(), st.floats(0, 1e300)), age_h=st.floats(0, 1000), off_h=st.floats(0, 1e5))
def test_no_error_of_the_clock_admits_a_test_that_may_be_too_old(
    error_s: float | None, age_h: float, off_h: float
) -> None:
    """Whatever the clock shows, a test is admitted only if it is valid at every time that it may be."""
    shown = NOW.wall - timedelta(hours=off_h)
    now = replace(NOW, wall=shown, in_sync=False, error_s=error_s)
    sampled = shown - timedelta(hours=age_h)
    decision = judged(lookup=status(sampled_at=sampled, as_of=sampled), now=now)
    if decision.verdict is Verdict.ADMIT:
        assert error_s is not None
        assert age_h + error_s / 3600 <= POLICY.test.valid_h


def test_the_region_may_count_from_the_report() -> None:
    by_report = msgspec.structs.replace(POLICY, test=msgspec.structs.replace(POLICY.test, counted_from="report"))
    late = status(sampled_at=NOW.wall - timedelta(hours=60), reported_at=NOW.wall - timedelta(hours=40))
    assert judged(lookup=late).verdict is Verdict.REFUSE
    assert judged(lookup=late, policy=by_report).verdict is Verdict.ADMIT


@given(
    outcome=st.sampled_from([outcome for outcome in LookupOutcome if outcome is not LookupOutcome.FOUND]),
    freshness=st.sampled_from(list(Freshness)),
    age_s=st.floats(0, 1e6),
)
def test_a_failed_query_is_never_green(outcome: LookupOutcome, freshness: Freshness, age_s: float) -> None:
    assert judged(lookup=Lookup(outcome, None, freshness, age_s, "none")).verdict is not Verdict.ADMIT


@given(estimate_c=st.one_of(st.none(), st.floats(20, 45)), state=st.sampled_from([*MaskState, None]))
def test_only_the_well_and_masked_are_admitted(estimate_c: float | None, state: MaskState | None) -> None:
    decision = judged(replace(warm(estimate_c), mask=MaskReading(state, 0.9, 5)))
    if decision.verdict is Verdict.ADMIT:
        assert estimate_c is not None
        assert POLICY.temperature.low_c <= estimate_c < POLICY.temperature.fever_c
        assert state is MaskState.CORRECT


@pytest.mark.parametrize(
    ("measurement", "expected"),
    [
        (WELL, TemperatureClass.NORMAL),
        (warm(37.3), TemperatureClass.HIGH),
        (warm(34.9), TemperatureClass.LOW),
        (warm(None), TemperatureClass.NOT_MEASURED),
        (outside("skin_low", "ambient"), TemperatureClass.LOW),
        (outside("distance"), TemperatureClass.NOT_MEASURED),
        (outside("skin_high", estimate_c=39.5), TemperatureClass.HIGH),
        (replace(WELL, thermometer_lost=True), TemperatureClass.NOT_MEASURED),
    ],
)
def test_the_class_of_a_temperature(measurement: Measurement, expected: TemperatureClass) -> None:
    assert decide(measurement, SHOWN, FOUND, POLICY, NOW).grade is expected


def test_a_policy_may_judge_outside_the_fitted_range_by_the_widened_uncertainty() -> None:
    rule = msgspec.structs.replace(POLICY.temperature, outside="decide")
    policy = msgspec.structs.replace(POLICY, temperature=rule)
    assert judged(outside("ambient"), policy=policy).verdict is Verdict.ADMIT
    unsure = outside("ambient")
    unsure = replace(unsure, temperature=replace(unsure.temperature, uncertainty_c=1.5))
    assert judged(unsure, policy=policy).reasons == (Reason.TEMPERATURE_UNCERTAIN,)

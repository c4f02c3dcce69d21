"""The values of the gate: what was measured, what was decided and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum

from models.detections import MaskState
from sync.contract.health import Lookup

CHILD_UNDER_YEARS, ELDER_FROM_YEARS = 18, 60  # who may show paper in place of a code, by the guides of 2022


class Verdict(StrEnum):
    """What the box decides about one passage."""

    ADMIT = "admit"  # the gate opens
    RECHECK = "recheck"  # the person can correct it at once: put the mask on, be measured again
    REFUSE = "refuse"  # the rules reject the person
    ASSIST = "assist"  # staff decide

    @property
    def gravity(self) -> int:
        """Rank among the verdicts, which stand in ascending order above: the gravest of several wins."""
        return list(Verdict).index(self)


class Reason(StrEnum):
    """Why a verdict was taken; the first of several is the one that is spoken."""

    ALL_CLEAR = "all_clear"
    TEST_OVERDUE = "test_overdue"  # key worker admitted with a reminder
    EXEMPT = "exempt"  # exemption with an end: a yellow or grey code and the test are not judged
    MASK_MISSING = "mask_missing"
    MASK_INCORRECT = "mask_incorrect"
    MASK_UNJUDGED = "mask_unjudged"
    TEMPERATURE_LOW = "temperature_low"
    TEMPERATURE_UNCERTAIN = "temperature_uncertain"  # near the threshold by the stated uncertainty
    TEMPERATURE_MISSING = "temperature_missing"
    CODE_EXPIRED = "code_expired"
    CODE_UNREADABLE = "code_unreadable"
    CARD_EXPIRED = "card_expired"  # or not valid yet
    CARD_UNREADABLE = "card_unreadable"
    TEST_EXPIRED = "test_expired"
    TEST_MISSING = "test_missing"
    TEST_PENDING = "test_pending"
    CODE_RED = "code_red"
    FEVER = "fever"
    TEST_POSITIVE = "test_positive"
    CODE_YELLOW = "code_yellow"
    CODE_UNASSIGNED = "code_unassigned"
    WATCH_LIST = "watch_list"
    PERSON_UNKNOWN = "person_unknown"
    LOOKUP_FAILED = "lookup_failed"
    DATA_TOO_OLD = "data_too_old"
    CLOCK_UNSURE = "clock_unsure"  # a clock error could flip the verdict
    THERMOMETER_LOST = "thermometer_lost"
    CAMERA_LOST = "camera_lost"
    RECHECK_LIMIT_REACHED = "rechecks_spent"
    NO_CREDENTIAL = "no_credential"


_EXPIRED = {Reason.CODE_EXPIRED, Reason.CARD_EXPIRED}


class Outcome(StrEnum):
    """How a passage ended."""

    OPENED = "opened"  # the gate was opened; no sensor saw a person walk through
    PASSED = "passed"  # the gate was opened and its sensor saw a person walk through
    GATE_FAILED = "gate_failed"  # admitted, but the gate did not accept the pulse
    LEFT = "left"  # the person went away
    RETRIED = "retried"  # the person stayed and the next passage rechecks this one
    INTERRUPTED = "interrupted"  # the agent ended before the passage was closed
    STAYED = "stayed"  # the person still stood there when the limit was over


class CredentialKind(StrEnum):
    """What identified the person."""

    CODE = "code"
    CARD = "card"
    FACE = "face"


class CredentialProblem(StrEnum):
    """Why a presented credential does not identify a person."""

    EXPIRED = "expired"  # outside its period of validity, by a clock in sync
    UNREADABLE = "unreadable"


class AgeGroup(StrEnum):
    """The age of a document's holder as far as rules need it; the date of birth is not stored."""

    CHILD = "child"  # under 18
    ADULT = "adult"
    ELDER = "elder"  # 60 and older

    @classmethod
    def from_birth_date(cls, born: date, today: date) -> AgeGroup:
        """The group of a person born on `born`, by the date `today`."""
        years = today.year - born.year - ((today.month, today.day) < (born.month, born.day))
        return cls.CHILD if years < CHILD_UNDER_YEARS else cls.ELDER if years >= ELDER_FROM_YEARS else cls.ADULT

    @classmethod
    def at(cls, born: date, now: Moment) -> AgeGroup | None:
        """The group at `now`; None if the error of the clock leaves more than one open."""
        if now.earliest is None or now.latest is None:
            return None
        groups = {cls.from_birth_date(born, each.astimezone().date()) for each in (now.earliest, now.latest)}
        return groups.pop() if len(groups) == 1 else None


@dataclass(frozen=True, slots=True)
class Credential:
    """A presented credential; its number is hashed already, and the key is never in `repr`.

    `valid_from` and `valid_until` are the period that a card or a code states, None where it states none. They are
    not judged here: only `policy.decide` knows how far the clock can be trusted.
    """

    kind: CredentialKind
    presented_at_s: float
    person_key: str | None = field(repr=False, default=None)
    problem: CredentialProblem | None = None
    age: AgeGroup | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None


class TemperatureClass(StrEnum):
    """What a screening temperature says."""

    NORMAL = "normal"
    HIGH = "high"  # at or above the fever threshold
    LOW = "low"  # colder than a face: measure again
    NOT_MEASURED = "not_measured"  # no samples, or conditions for which no fit is valid


@dataclass(frozen=True, slots=True)
class TemperatureReading:
    """A screening temperature in °C with how it was obtained; `estimate_c` None means not measured.

    `skin_c` is the raw skin of the region with the most weight, `regions` of all; `correction_c` was added to them.
    `uncertainty_c` is one standard uncertainty; `outside` names what lay outside the fitted range.
    """

    estimate_c: float | None
    uncertainty_c: float | None
    skin_c: float | None
    ambient_c: float | None
    samples: int
    method: str
    regions: Mapping[str, float] = field(default_factory=dict)
    correction_c: float = 0.0
    distance_m: float | None = None
    fever_probability: float | None = None
    outside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MaskReading:
    """Mask state voted over `frames` pictures of one arrival; `state` None means not judged."""

    state: MaskState | None
    share: float
    frames: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """All that was measured of one person, and which parts were lost."""

    temperature: TemperatureReading
    mask: MaskReading
    thermometer_lost: bool = False
    camera_lost: bool = False


@dataclass(frozen=True, slots=True)
class Moment:
    """One instant on both clocks; `error_s` is the maximum error of `wall`, None when it is not known."""

    wall: datetime
    monotonic_s: float
    boot_id: str
    in_sync: bool
    error_s: float | None

    @property
    def earliest(self) -> datetime | None:
        """The earliest that it can be now; None when that is not known."""
        return self._shifted(-1)

    @property
    def latest(self) -> datetime | None:
        """The latest that it can be now; None when that is not known."""
        return self._shifted(1)

    def _shifted(self, sign: int) -> datetime | None:
        if self.error_s is None:
            return None
        try:
            return self.wall + sign * timedelta(seconds=self.error_s)
        except OverflowError:
            return None


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict with its reasons, most telling first, and the grade of the temperature that it rests on."""

    verdict: Verdict
    reasons: tuple[Reason, ...]
    grade: TemperatureClass = TemperatureClass.NOT_MEASURED


@dataclass(frozen=True, slots=True)
class Passage:
    """One person's attempt to pass, as decided."""

    passage_id: str
    follows: str | None
    decided: Moment
    credential: Credential | None
    measurement: Measurement
    lookup: Lookup
    decision: Decision
    policy_version: int
    arrived_at_s: float
    attempt: int = 1  # this passage and the ones it rechecks

    @property
    def credential_problem(self) -> CredentialProblem | None:
        """Why the credential identified no person: it was unreadable, or the decision found it expired."""
        if self.credential and self.credential.problem:
            return self.credential.problem
        return CredentialProblem.EXPIRED if _EXPIRED.intersection(self.decision.reasons) else None

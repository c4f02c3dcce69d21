"""The admission rules as data: a versioned value read from TOML."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from config.errors import SettingsError
from config.toml_file import parse_toml, read_toml

_SHIPPED = resources.files("config") / "policy.default.toml"

NonAdmitting = Literal["recheck", "refuse", "assist"]


class TemperatureRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`recheck_margin_u`: how many standard uncertainties under the threshold call for a second reading.

    `outside`: what happens where the fit does not hold (room too cold or too hot, person too far); `decide` judges the
    estimate with its widened uncertainty.
    """

    required: bool = True
    fever_c: Annotated[float, Meta(ge=36, le=40)] = 37.3
    low_c: Annotated[float, Meta(ge=30, le=36.5)] = 35.0
    recheck_margin_u: Annotated[float, Meta(ge=0, le=3)] = 0.8
    outside: Literal["decide", "recheck", "assist"] = "assist"


class MaskRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mask state counts once `min_frames` pictures voted and the winner has `min_share` of the weight."""

    required: bool = True
    min_share: Annotated[float, Meta(ge=0.34, le=1)] = 0.55
    min_frames: Annotated[int, Meta(ge=1, le=30)] = 3


class CodeRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What each colour other than green leads to; none of them can be made to admit."""

    yellow: NonAdmitting = "assist"
    red: NonAdmitting = "refuse"
    grey: NonAdmitting = "assist"


class TestRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long a negative nucleic-acid result counts, and from when."""

    __test__ = False

    required: bool = True
    valid_h: Annotated[float, Meta(gt=0, le=24 * 14)] = 48.0
    counted_from: Literal["sampling", "report"] = "sampling"


class ListRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What membership of a list leads to, by class; the rule of a class applies to its sub-categories.

    Two classes have no rule to choose: `white` is a membership, `exempt` has its limits in `sync/contract/lists.py`.
    """

    watch: NonAdmitting = "assist"
    key_worker: Literal["remind", "refuse"] = "remind"


class AgeRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`paper`: whom children (under 18) and elders (60 and older) meet where the test is missing or too old.

    They may show paper, so staff come (`assist`); `decide` treats them as everybody.
    """

    paper: Literal["decide", "assist"] = "assist"


class LookupRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Verdict where nothing is known of the person."""

    not_found: NonAdmitting = "assist"
    failed: NonAdmitting = "assist"


class FreshnessRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether knowledge of an age class may admit (`decide`) or not."""

    fresh: Literal["decide", "recheck", "refuse", "assist"] = "decide"
    aging: Literal["decide", "recheck", "refuse", "assist"] = "decide"
    stale: Literal["decide", "recheck", "refuse", "assist"] = "decide"
    expired: NonAdmitting = "assist"


class PartRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What happens to people while a part is lost; `skip` judges without it."""

    thermometer_lost: Literal["skip", "recheck", "refuse", "assist"] = "assist"
    camera_lost: Literal["skip", "recheck", "refuse", "assist"] = "assist"


class ClockRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`unknown_error_s`: the least error to assume of a clock that is not in sync.

    A clock that neither NTP nor the platform has confirmed since the box started may be wrong by any time.
    """

    unknown_error_s: Annotated[float, Meta(ge=0, le=7 * 86400)] = 3600.0


class RecheckRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many rechecks one person gets before staff come."""

    limit: Annotated[int, Meta(ge=0, le=10)] = 3


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All rules of one version."""

    version: Annotated[int, Meta(ge=1)]
    temperature: TemperatureRule = TemperatureRule()
    mask: MaskRule = MaskRule()
    code: CodeRule = CodeRule()
    test: TestRule = TestRule()
    lists: ListRule = ListRule()
    ages: AgeRule = AgeRule()
    lookup: LookupRule = LookupRule()
    freshness: FreshnessRule = FreshnessRule()
    parts: PartRule = PartRule()
    clock: ClockRule = ClockRule()
    recheck: RecheckRule = RecheckRule()


def load_policy(path: Path | None) -> Policy:
    """The policy in the TOML file at `path`, or the one that ships. Raises SettingsError."""
    try:
        if path is None:
            return msgspec.convert(parse_toml(_SHIPPED.read_text(encoding="utf-8")), Policy, strict=True)
        return msgspec.convert(read_toml(path), Policy, strict=True)
    except msgspec.ValidationError as exc:
        raise SettingsError(f"{path or _SHIPPED}: {exc}") from exc

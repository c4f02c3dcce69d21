"""From skin to an oral-equivalent temperature with its uncertainty: a fit shipped as data, no device and no clock.

Two straight lines over the mean skin of the regions, one fitted on healthy and one on febrile people: from the one to
the other as the odds of fever at that skin rise. One line for both under-reads fevers (its slope is far below 1); "skin
plus a constant" does so worse: docs/temperature.md.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from statistics import fmean
from typing import Annotated

import msgspec

from config.errors import SettingsError

REGIONS = ("forehead_center", "forehead_max", "canthi_max", "face_max")
SKIN_LOW = "skin_low"
NORMAL_95 = 1.96
_FARTHEST_LOG_ODDS = 60.0  # e^60 is certainty; beyond it exp() only overflows

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class CoreEstimate:
    """An oral-equivalent temperature in °C.

    `uncertainty_c` is one standard uncertainty. `fever_probability` is that of oral >= 37.5 °C where fevers are as
    common as in the study (9 %). `model` names the fit and the regions it used. `outside` names what lay outside the
    fitted range (skin_low, skin_high, ambient, humidity, distance); the uncertainty is widened by each.
    """

    core_c: float
    uncertainty_c: float
    fever_probability: float
    model: str
    outside: tuple[str, ...] = ()

    @property
    def interval_c(self) -> Range:
        """The 95 % interval."""
        half_c = NORMAL_95 * self.uncertainty_c
        return self.core_c - half_c, self.core_c + half_c


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Core temperature at the centre, its change for each degree of skin, and the scatter of people about it."""

    at_centre_c: float
    slope: float
    sigma_c: float

    def at(self, offset_c: float) -> float:
        return self.at_centre_c + self.slope * offset_c


class Odds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Natural log of the odds of fever at the centre, and its change for each degree of skin."""

    at_centre: float
    slope: float


class FeverBias(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bias of the estimate towards fever: a missed fever costs more than a second measurement.

    The odds count `lift` times, and raised to the power `sharpness`: the sharper, the fewer healthy
    people are estimated too high for the same lowest estimate of a high fever.
    """

    lift: Annotated[float, msgspec.Meta(gt=0)]
    sharpness: Annotated[float, msgspec.Meta(gt=0)]

    def weight(self, log_odds: float) -> float:
        """The share of the febrile line in the estimate."""
        return _probability(self.sharpness * (log_odds + math.log(self.lift)))


class RegionModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The fit for the mean skin of one set of regions; `fitted_skin_c` is in the order of `regions`."""

    regions: tuple[str, ...]
    centre_c: float
    fitted_skin_c: tuple[Range, ...]
    healthy: Line
    febrile: Line
    odds: Odds

    def __post_init__(self) -> None:
        if not self.regions or len(self.fitted_skin_c) != len(self.regions):
            raise ValueError("a model needs a region or more, and a range of fitted skin for each")

    def blend(self, skin_c: float, caution: FeverBias) -> tuple[float, float, float]:
        """The estimate in °C, the root-mean-square distance of people from it (°C), and the probability of fever."""
        offset_c = skin_c - self.centre_c
        log_odds = self.odds.at_centre + self.odds.slope * offset_c
        healthy_c, febrile_c = self.healthy.at(offset_c), self.febrile.at(offset_c)
        told_c = healthy_c + caution.weight(log_odds) * (febrile_c - healthy_c)
        fever = _probability(log_odds)
        square = (1 - fever) * (self.healthy.sigma_c**2 + (healthy_c - told_c) ** 2)
        square += fever * (self.febrile.sigma_c**2 + (febrile_c - told_c) ** 2)
        return told_c, math.sqrt(square), fever


class Fitted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Conditions under which the fit is valid."""

    ambient_c: Range
    humidity_pct: Range
    distance_m: Range


class Widening(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Standard uncertainty in °C that each unit outside the fitted range adds (in quadrature)."""

    skin_per_c: float
    ambient_per_c: float
    humidity_per_pct: float
    distance_per_m: float


class Coefficients(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One version of the fit; the first model whose regions are all given is used."""

    name: str
    fitted_on: str
    source: str
    reference: str
    people: int
    febrile_people: int
    fever_c: float
    caution: FeverBias
    fitted: Fitted
    widening: Widening
    models: tuple[RegionModel, ...]

    def __post_init__(self) -> None:
        if not set(REGIONS) <= {model.regions[0] for model in self.models if len(model.regions) == 1}:
            raise ValueError(f"each of {', '.join(REGIONS)} needs a model of its own")

    def estimate(
        self,
        regions: Mapping[str, float],
        ambient_c: float,
        humidity_pct: float | None = None,
        distance_m: float | None = None,
    ) -> CoreEstimate:
        """See `estimate_core`."""
        _check(regions, ambient_c, humidity_pct, distance_m)
        model = self._model(regions)
        skin_c = tuple(regions[name] for name in model.regions)
        core_c, sigma_c, fever_probability = model.blend(fmean(skin_c), self.caution)
        fitted, widening = self.fitted, self.widening
        below_c = max(low - value for value, (low, _) in zip(skin_c, model.fitted_skin_c, strict=True))
        above_c = max(value - high for value, (_, high) in zip(skin_c, model.fitted_skin_c, strict=True))
        added_c = {
            SKIN_LOW: max(0.0, below_c) * widening.skin_per_c,
            "skin_high": max(0.0, above_c) * widening.skin_per_c,
            "ambient": _excess(ambient_c, fitted.ambient_c) * widening.ambient_per_c,
            "humidity": _excess(humidity_pct, fitted.humidity_pct) * widening.humidity_per_pct,
            "distance": _excess(distance_m, fitted.distance_m) * widening.distance_per_m,
        }
        return CoreEstimate(
            core_c=core_c,
            uncertainty_c=math.hypot(sigma_c, *added_c.values()),
            fever_probability=fever_probability,
            model=f"{self.name} {'+'.join(model.regions)}",
            outside=tuple(name for name, added in added_c.items() if added > 0),
        )

    def leading(self, regions: Mapping[str, float]) -> str:
        """The one of `regions` with the most weight: it is shown where one skin value is shown."""
        return self._model(regions).regions[0]

    def usual_skin_c(self, region: str) -> float:
        """The median skin of the study's people at `region`."""
        return self._alone(region).centre_c

    def _model(self, regions: Mapping[str, float]) -> RegionModel:
        """The first model whose regions are all given and uncovered.

        A region colder than faces is covered by a hat, hair or glasses while another region is as warm as a face;
        where none is, the face itself is cold, and the estimate is marked `skin_low`.
        """
        bare = {name for name, skin_c in regions.items() if skin_c >= self._alone(name).fitted_skin_c[0][0]}
        return next(model for model in self.models if (bare or set(regions)).issuperset(model.regions))

    def _alone(self, region: str) -> RegionModel:
        return next(model for model in self.models if model.regions == (region,))


def estimate_core(
    regions: Mapping[str, float],
    ambient_c: float,
    humidity_pct: float | None = None,
    distance_m: float | None = None,
) -> CoreEstimate:
    """The oral-equivalent temperature of a person whose skin is `regions` (°C; any of REGIONS, at least one).

    `ambient_c` is the room's, not the sensor's. Raises ValueError for an unknown or missing region and for a value that
    is not finite.
    """
    return shipped().estimate(regions, ambient_c, humidity_pct, distance_m)


@cache
def shipped() -> Coefficients:
    """The fit that ships with the agent."""
    return load_coefficients(None)


def load_coefficients(path: Path | None) -> Coefficients:
    """The fit in the TOML file at `path`, or the one that ships. Raises SettingsError."""
    source = resources.files("config") / "temperature.default.toml" if path is None else path
    try:
        return msgspec.convert(tomllib.loads(source.read_text(encoding="utf-8")), Coefficients, strict=True)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as exc:
        raise SettingsError(f"temperature fit {path or 'temperature.default.toml'}: {exc}") from exc


def _check(regions: Mapping[str, float], ambient_c: float, *others: float | None) -> None:
    unknown = sorted(set(regions).difference(REGIONS))
    if unknown or not regions:
        raise ValueError(f"regions: expected at least one of {', '.join(REGIONS)}; got {', '.join(unknown) or 'none'}")
    given = [*regions.values(), ambient_c, *(value for value in others if value is not None)]
    if not all(math.isfinite(value) for value in given):
        raise ValueError("a temperature, humidity or distance is not a finite number")


def _probability(log_odds: float) -> float:
    return 1 / (1 + math.exp(-min(_FARTHEST_LOG_ODDS, max(-_FARTHEST_LOG_ODDS, log_odds))))


def _excess(value: float | None, bounds: Range) -> float:
    """How far `value` lies outside `bounds`; what is not known adds nothing."""
    return 0.0 if value is None else max(0.0, bounds[0] - value, value - bounds[1])

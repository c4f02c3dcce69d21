"""Fits oral temperature to skin temperature on clinical data, cross-validates the fit and prints JSON.

python -m bench.temperature ../shared/training/temperature/face_oral_flir.csv --write config/temperature.default.toml

--write stores the coefficients. All figures are computed with the code of the product,
`edge_agent.measurement.core_temperature`. Random numbers are seeded; all rounds of a person are in the same split.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_agent.measurement.core_temperature import (
    NORMAL_95,
    Coefficients,
    CoreEstimate,
    FeverBias,
    Fitted,
    Line,
    Odds,
    RegionModel,
    Widening,
)
from edge_agent.policy.rules import load_policy

COLUMNS = {"forehead_center": "T_FHCC", "forehead_max": "T_FH_Max", "canthi_max": "canthi4Max", "face_max": "T_Max"}
REFERENCE = "aveOralM"
ROUNDS = ("1", "2", "3")  # in the fourth round T_Max is the open mouth, 0.65 °C above the other rounds
FEVER_C, HIGH_FEVER_C, HIGH_FEVER_FLOOR_C = 37.5, 38.5, 37.8
TOLD_HIGH_C = 37.3  # fever threshold of the default policy
FOLDS, SEED = 10, 20261123
CAUTION = FeverBias(lift=2.5, sharpness=3.0)  # the smallest with which the canthi alone detect every high fever
SPREAD = 1.05  # allows for more scatter in another population
# First match wins. With canthi and face maximum, adding the forehead gains little here and is worse in warmer rooms.
REGION_SETS = (("canthi_max", "face_max"), ("canthi_max",), ("face_max",), ("forehead_max",), ("forehead_center",))
FITTED = Fitted(ambient_c=(20.0, 29.0), humidity_pct=(9.9, 61.2), distance_m=(0.5, 1.0))
WIDENING = Widening(skin_per_c=0.5, ambient_per_c=0.15, humidity_per_pct=0.01, distance_per_m=2.0)
LOWEST_SHARE = 0.005  # quantile below which skin is "too low": cold or badly measured foreheads reach 29 °C
SOURCE = "FDA, Facial and oral temperature data, PhysioNet v1.0.0, doi 10.13026/3bhc-9065: FLIR, rooms of 20-24 °C"
WARM_C, MILD_C, COOL_C = 23.7, 23.5, 23.1  # warm hold-out: fitted below MILD_C, tested from WARM_C; cool: the reverse
WARMER_ROOM_C = 2.0  # a room of 24-29 °C, compared with those of the study, at the middle of both
RESAMPLES, DRAWS = 500, 200

Floats = NDArray[np.float64]
Splits = Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """Oral reference and ambient temperature (people,), and skin by region (people, rounds); NaN if missing."""

    oral_c: Floats
    ambient_c: Floats
    skin_c: Mapping[str, Floats]


def read_study(path: Path) -> Study:
    """Read the CSV of the study."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    def column(name: str) -> Floats:
        return np.array([float(row[name]) if row[name] else math.nan for row in rows])

    skin_c = {name: np.stack([column(stem + each) for each in ROUNDS], axis=1) for name, stem in COLUMNS.items()}
    return Study(column(REFERENCE), column("T_atm"), skin_c)


def samples(study: Study, regions: tuple[str, ...], people: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Skin (samples, regions) and oral reference of `people`, one sample per round."""
    skin = np.stack([study.skin_c[name][people].ravel() for name in regions], axis=1)
    oral = np.repeat(study.oral_c[people], len(ROUNDS))
    whole = ~np.isnan(skin).any(axis=1)
    return skin[whole], oral[whole]


def fit(study: Study, people: NDArray[np.bool_]) -> Coefficients:
    """The coefficients fitted on `people`."""
    return Coefficients(
        name="two-lines/3",
        fitted_on=date.today().isoformat(),  # noqa: DTZ011 - a date on a label
        source=SOURCE,
        reference=f"oral, monitor mode ({REFERENCE})",
        people=int(people.sum()),
        febrile_people=int((study.oral_c[people] >= FEVER_C).sum()),
        fever_c=FEVER_C,
        caution=CAUTION,
        fitted=FITTED,
        widening=WIDENING,
        models=tuple(fit_regions(*samples(study, regions, people), regions) for regions in REGION_SETS),
    )


def fit_regions(skin: Floats, oral: Floats, regions: tuple[str, ...]) -> RegionModel:
    """One model: least squares for the healthy and for the febrile, and logistic regression between them."""
    mean = skin.mean(axis=1)
    centre_c = round(float(np.median(mean)), 1)
    design = np.column_stack([np.ones(len(mean)), mean - centre_c])
    febrile = oral >= FEVER_C
    return RegionModel(
        regions=regions,
        centre_c=centre_c,
        fitted_skin_c=tuple(
            (round(float(np.quantile(values, LOWEST_SHARE)), 2), round(float(values.max()), 2)) for values in skin.T
        ),
        healthy=fit_line(design[~febrile], oral[~febrile]),
        febrile=fit_line(design[febrile], oral[febrile]),
        odds=fit_odds(design, febrile),
    )


def fit_line(design: Floats, oral: Floats) -> Line:
    weights, *_ = np.linalg.lstsq(design, oral, rcond=None)
    sigma = SPREAD * float(np.std(oral - design @ weights))
    at_centre_c, slope = (round(float(weight), 4) for weight in weights)
    return Line(at_centre_c, slope, round(sigma, 4))


def fit_odds(design: Floats, febrile: NDArray[np.bool_]) -> Odds:
    """Logistic regression by Newton's method."""
    weights = np.zeros(design.shape[1])
    for _ in range(50):
        share = 1 / (1 + np.exp(-design @ weights))
        curvature = design.T @ (design * (share * (1 - share))[:, None])
        step = np.linalg.solve(curvature, design.T @ (febrile - share))
        weights += step
        if np.abs(step).max() < 1e-9:
            break
    at_centre, slope = (round(float(weight), 4) for weight in weights)
    return Odds(at_centre, slope)


def folds(people: int) -> Splits:
    """(train, test) of each fold."""
    fold = np.random.default_rng(SEED).permutation(people) % FOLDS
    for each in range(FOLDS):
        yield fold != each, fold == each


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Estimates for people who were not in the fit, with their oral temperature."""

    oral_c: Floats
    estimates: list[CoreEstimate]

    @property
    def core_c(self) -> Floats:
        return np.array([estimate.core_c for estimate in self.estimates])

    @property
    def uncertainty_c(self) -> Floats:
        return np.array([estimate.uncertainty_c for estimate in self.estimates])


def predict(
    study: Study,
    regions: tuple[str, ...],
    which: int | None,
    splits: Splits,
    warmer_c: Mapping[str, float] | None = None,
) -> Predictions:
    """Estimates from round `which`, or from the median of the rounds if None, with the skin `warmer_c` warmer."""
    oral: list[float] = []
    estimates: list[CoreEstimate] = []
    for train, test in splits:
        coefficients = fit(study, train)
        for person in np.flatnonzero(test):
            rounds = {name: study.skin_c[name][person] for name in regions}
            skin = {name: float(np.nanmedian(all_) if which is None else all_[which]) for name, all_ in rounds.items()}
            skin = {name: value + (warmer_c or {}).get(name, 0.0) for name, value in skin.items()}
            if not any(math.isnan(value) for value in skin.values()):
                oral.append(float(study.oral_c[person]))
                estimates.append(coefficients.estimate(skin, float(study.ambient_c[person])))
    return Predictions(np.array(oral), estimates)


def figures(result: Predictions) -> dict[str, Any]:
    """Accuracy of the estimates; `between` contains 95 % bootstrap intervals."""
    error = result.core_c - result.oral_c
    inside = np.abs(error) <= NORMAL_95 * result.uncertainty_c
    febrile = result.oral_c >= FEVER_C
    high = result.oral_c >= HIGH_FEVER_C
    probability = np.array([estimate.fever_probability for estimate in result.estimates])
    shown = {
        "people": len(error),
        "febrile": int(febrile.sum()),
        **headline(result.core_c, result.oral_c, inside),
        "bias_healthy_c": float(error[~febrile].mean()),
        "bias_febrile_c": float(error[febrile].mean()),
        "coverage_95_febrile": float(inside[febrile].mean()),
        "told_high": int((result.core_c >= TOLD_HIGH_C).sum()),
        "coverage_95_told_high": float(inside[result.core_c >= TOLD_HIGH_C].mean()),
        "uncertainty_c": float(result.uncertainty_c.mean()),
        "brier": float(np.mean((probability - febrile) ** 2)),
        "high_fevers": int(high.sum()),
        "lowest_of_high_fevers_c": float(result.core_c[high].min()),
        "high_fevers_under_37_8": int((result.core_c[high] < HIGH_FEVER_FLOOR_C).sum()),
    }
    return {name: round(value, 3) for name, value in shown.items()} | {"between": between(result, inside)}


def headline(core_c: Floats, oral_c: Floats, inside: NDArray[np.bool_]) -> dict[str, float]:
    return {
        "rmse_c": math.sqrt(float(np.mean((core_c - oral_c) ** 2))),
        "auc": area(core_c, oral_c >= FEVER_C),
        "coverage_95": float(inside.mean()),
    }


def between(result: Predictions, inside: NDArray[np.bool_]) -> dict[str, list[float]]:
    """2.5 % and 97.5 % quantiles of the headline figures, over bootstrap samples of people."""
    random = np.random.default_rng(SEED)
    drawn = (random.integers(0, len(inside), len(inside)) for _ in range(RESAMPLES))
    rows = [headline(result.core_c[people], result.oral_c[people], inside[people]) for people in drawn]
    return {name: np.quantile([row[name] for row in rows], (0.025, 0.975)).round(3).tolist() for name in rows[0]}


def area(score: Floats, positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve."""
    ahead = score[positive][:, None] - score[~positive]
    return float((ahead > 0).mean() + (ahead == 0).mean() / 2)


def consequences(result: Predictions) -> list[dict[str, float]]:
    """Results of thresholds and margins at the gate; the first row is the default policy."""
    rule = load_policy(None).temperature
    febrile = result.oral_c >= FEVER_C
    rows = []
    settings = [(rule.fever_c, rule.recheck_margin_u), (37.3, 0.0), (37.3, 0.5), (37.3, 1.0), (37.1, 0.8), (37.5, 0.8)]
    for threshold, margin in settings:
        staff = result.core_c >= threshold
        again = ~staff & (result.core_c + margin * result.uncertainty_c >= threshold)
        high = result.oral_c >= 38.0
        rows.append(
            {
                "fever_c": threshold,
                "margin_u": margin,
                "febrile_to_staff": float(staff[febrile].mean()),
                "febrile_to_staff_or_again": float((staff | again)[febrile].mean()),
                "oral_38_to_staff": float(staff[high].mean()),
                "healthy_to_staff": float(staff[~febrile].mean()),
                "healthy_again": float(again[~febrile].mean()),
            }
        )
    return [{name: round(value, 3) for name, value in row.items()} for row in rows]


def plain_line(study: Study, regions: tuple[str, ...], which: int) -> dict[str, float]:
    """The baseline: one straight line, with the same cross-validation."""
    oral, core = [], []
    for train, test in folds(len(study.oral_c)):
        skin, reference = samples(study, regions, train)
        weights, *_ = np.linalg.lstsq(np.column_stack([np.ones(len(skin)), skin]), reference, rcond=None)
        tested = np.column_stack([np.ones(test.sum()), *(study.skin_c[name][test, which] for name in regions)])
        whole = ~np.isnan(tested).any(axis=1)
        core.append(tested[whole] @ weights)
        oral.append(study.oral_c[test][whole])
    truth, value = np.concatenate(oral), np.concatenate(core)
    rmse_c = math.sqrt(float(np.mean((value - truth) ** 2)))
    lowest_c = float(value[truth >= HIGH_FEVER_C].min())
    return {
        "rmse_c": round(rmse_c, 3),
        "auc": round(area(value, truth >= FEVER_C), 3),
        "lowest_of_high_fevers_c": round(lowest_c, 3),
    }


def alternatives(study: Study) -> dict[str, Any]:
    """Alternatives that were evaluated: first round, and the warm hold-out, by which the models were selected."""
    warm = (study.ambient_c < MILD_C, study.ambient_c >= WARM_C)
    shown: dict[str, Any] = {}
    for regions in (*REGION_SETS, (*COLUMNS,)):
        for for_room in (False, True):
            shown["+".join((*regions, *(["ambient"] if for_room else [])))] = {
                "first_round": evaluate(study, regions, for_room, folds(len(study.oral_c))),
                "held_out_warm_rooms": evaluate(study, regions, for_room, iter([warm])),
            }
    return shown


def evaluate(study: Study, regions: tuple[str, ...], for_room: bool, splits: Splits) -> dict[str, float]:
    """RMSE and AUC of two lines over the mean of `regions`, with or without correction of the skin for ambient."""
    oral, core = [], []
    for train, test in splits:
        seen = in_one_room(study, train) if for_room else study
        model = fit_regions(*samples(seen, regions, train), regions)
        skin_c = np.mean([seen.skin_c[name][test, 0] for name in regions], axis=0)
        whole = ~np.isnan(skin_c)
        core += [model.blend(value, CAUTION)[0] for value in skin_c[whole].tolist()]
        oral += study.oral_c[test][whole].tolist()
    error = np.array(core) - np.array(oral)
    auc = area(np.array(core), np.array(oral) >= FEVER_C)
    return {"rmse_c": round(math.sqrt(float(np.mean(error**2))), 3), "auc": round(auc, 3)}


def in_one_room(study: Study, people: NDArray[np.bool_]) -> Study:
    """The study with the skin corrected to a room of 23 °C, with the slopes of `people`."""
    slopes = by_ambient(study, people)
    warmer_c = (study.ambient_c - 23.0)[:, None]
    skin_c = {name: skin - slopes[name]["c_per_c"] * warmer_c for name, skin in study.skin_c.items()}
    return Study(study.oral_c, study.ambient_c, skin_c)


def by_ambient(study: Study, people: NDArray[np.bool_]) -> dict[str, dict[str, float]]:
    """Change of skin temperature per degree of ambient at the same oral temperature, in the first round."""
    shown = {}
    for name, rounds in study.skin_c.items():
        seen = people & ~np.isnan(rounds[:, 0])
        design = np.column_stack([np.ones(seen.sum()), study.oral_c[seen], study.ambient_c[seen]])
        weights, *_ = np.linalg.lstsq(design, rounds[seen, 0], rcond=None)
        scatter = np.sum((rounds[seen, 0] - design @ weights) ** 2) / (len(design) - design.shape[1])
        error = math.sqrt(scatter * np.linalg.inv(design.T @ design)[2, 2])
        shown[name] = {"c_per_c": round(float(weights[2]), 3), "standard_error": round(error, 3)}
    return shown


def missed(study: Study, regions: tuple[str, ...], from_c: float, warmer_c: float) -> dict[str, float]:
    """The probability that one frame of a person with HIGH_FEVER_C or more is estimated below HIGH_FEVER_FLOOR_C.

    Nine such persons are too few to count. Therefore the skin of all persons from `from_c` is fitted as a line over
    their oral temperature. The oral temperatures of the nine are placed on this line with the scatter of all persons,
    plus `warmer_c`. Each bootstrap sample of people is used for the line and for the model.
    """
    random = np.random.default_rng(SEED)
    all_people = np.ones(len(study.oral_c), bool)
    high_c = study.oral_c[study.oral_c >= HIGH_FEVER_C]
    shares = []
    for _ in range(RESAMPLES):
        who = random.integers(0, len(all_people), len(all_people))
        drawn = Study(study.oral_c[who], study.ambient_c[who], {name: study.skin_c[name][who] for name in regions})
        skin_c, oral_c = samples(drawn, regions, all_people)
        model = fit_regions(skin_c, oral_c, regions)
        ill = oral_c >= from_c
        skin, above_c = skin_c[ill].mean(axis=1), oral_c[ill] - HIGH_FEVER_C
        slope, at_high_c = np.polyfit(above_c, skin, 1)
        scatter = skin - at_high_c - slope * above_c
        people = at_high_c + slope * (random.choice(high_c, DRAWS) - HIGH_FEVER_C) + random.choice(scatter, DRAWS)
        estimated_c = [model.blend(value, CAUTION)[0] for value in (people + warmer_c).tolist()]
        shares.append(np.mean(np.array(estimated_c) < HIGH_FEVER_FLOOR_C))
    low, high = np.quantile(shares, (0.025, 0.975))
    none_missed = np.mean((1 - np.array(shares)) ** len(high_c))
    shown = {"a_person": np.mean(shares), "low": low, "high": high, "any_of_nine": 1 - none_missed}
    return {name: round(float(value), 3) for name, value in shown.items()}


def report(study: Study) -> dict[str, Any]:
    """All figures of the report."""
    all_people = len(study.oral_c)
    warm = (study.ambient_c < MILD_C, study.ambient_c >= WARM_C)
    cool = (study.ambient_c >= MILD_C, study.ambient_c < COOL_C)
    slopes = by_ambient(study, np.ones(all_people, bool))
    warmer_c = {name: WARMER_ROOM_C * slope["c_per_c"] for name, slope in slopes.items()}
    sets: dict[str, Any] = {}
    for regions in ((*COLUMNS,), *REGION_SETS):
        median = predict(study, regions, None, folds(all_people))
        sets["+".join(regions)] = {
            "first_round": figures(predict(study, regions, 0, folds(all_people))),
            "second_round": figures(predict(study, regions, 1, folds(all_people))),
            "third_round": figures(predict(study, regions, 2, folds(all_people))),
            "median_of_rounds": figures(median),
            "held_out_warm_rooms": figures(predict(study, regions, 0, iter([warm]))),
            "held_out_cool_rooms": figures(predict(study, regions, 0, iter([cool]))),
            "skin_as_in_a_warmer_room": figures(predict(study, regions, 0, folds(all_people), warmer_c)),
            "one_straight_line_first_round": plain_line(study, regions, 0),
            "at_the_gate": consequences(median),
        }
    high_fevers = {
        "+".join(regions): {
            f"oral_{from_c}_skin_{warmer:+.1f}": missed(study, regions, from_c, warmer)
            for from_c in (FEVER_C, 38.0)
            for warmer in (0.0, 0.1)
        }
        for regions in REGION_SETS[:2]
    }
    return {
        "shipped": sets,
        "skin_by_ambient": slopes,
        "high_fevers_told_under_37_8": high_fevers,
        "considered": alternatives(study),
    }


def to_toml(coefficients: Coefficients) -> str:
    """The data file of the product."""
    values = msgspec.to_builtins(coefficients)
    models = values.pop("models")
    lines = ["# Skin to oral temperature: fitted by bench/temperature.py; do not edit. See docs/temperature.md."]
    lines += [
        f"{key} = {json.dumps(value, ensure_ascii=False)}"
        for key, value in values.items()
        if not isinstance(value, dict)
    ]
    for section in ("caution", "fitted", "widening"):
        lines += ["", f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in values[section].items())]
    for model in models:
        lines += ["", "[[models]]"]
        for key, value in model.items():
            inline = isinstance(value, dict)
            pairs = ", ".join(f"{name} = {json.dumps(each)}" for name, each in value.items()) if inline else ""
            lines.append(f"{key} = {{ {pairs} }}" if inline else f"{key} = {json.dumps(value)}")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("csv", type=Path)
    parser.add_argument("--write", type=Path, help="write the coefficients fitted on all people to this file")
    chosen = parser.parse_args()
    study = read_study(chosen.csv)
    if chosen.write:
        all_people = np.ones(len(study.oral_c), bool)
        chosen.write.write_text(to_toml(fit(study, all_people)), encoding="utf-8")
    print(json.dumps(report(study), indent=2))


if __name__ == "__main__":
    main()

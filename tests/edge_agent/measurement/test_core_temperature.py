"""From skin to core: what the shipped fit promises, for any skin, room and subset of regions."""

import math
import re
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import SettingsError
from edge_agent.measurement import core_temperature
from edge_agent.measurement.core_temperature import REGIONS, estimate_core, load_coefficients, shipped

ROOT = Path(core_temperature.__file__).parents[2]
ROOM_C = 23.0
SUBSETS = [subset for count in range(1, 5) for subset in combinations(REGIONS, count)]
WELL = {"forehead_center": 34.4, "forehead_max": 35.3, "canthi_max": 35.6, "face_max": 35.8}
FEVERISH = {"forehead_center": 36.2, "forehead_max": 37.0, "canthi_max": 37.4, "face_max": 37.5}


def some(skin: dict[str, float], names: tuple[str, ...]) -> dict[str, float]:
    return {name: skin[name] for name in names}


@pytest.mark.parametrize("names", SUBSETS, ids="+".join)
def test_any_regions_tell_the_well_from_the_feverish(names: tuple[str, ...]) -> None:
    well, feverish = (estimate_core(some(skin, names), ROOM_C) for skin in (WELL, FEVERISH))
    assert 36.6 < well.core_c < 37.15 < 38.2 < feverish.core_c < 39.2
    assert well.fever_probability < 0.05 < 0.8 < feverish.fever_probability
    assert well.outside == feverish.outside == ()
    assert well.uncertainty_c < 0.45


def test_what_each_set_of_regions_uses_is_named() -> None:
    assert estimate_core(WELL, ROOM_C).model == f"{shipped().name} canthi_max+face_max"
    assert estimate_core(some(WELL, ("forehead_max", "forehead_center")), ROOM_C).model.endswith(" forehead_max")


@given(skin_c=st.floats(34.9, 38.3), apart_c=st.floats(0.0, 0.3))
def test_canthi_and_whole_face_count_equally(skin_c: float, apart_c: float) -> None:
    told = [estimate_core({"canthi_max": skin_c - by, "face_max": skin_c + by}, ROOM_C) for by in (0.0, apart_c)]
    assert told[0].core_c == pytest.approx(told[1].core_c, abs=1e-6)


@pytest.mark.parametrize("names", [names for names in SUBSETS if "canthi_max" in names], ids="+".join)
@pytest.mark.parametrize("room_c", [20.0, 24.0, 29.0])
def test_a_high_fever_with_cool_canthi_is_told_as_one(names: tuple[str, ...], room_c: float) -> None:
    """Skin about as cool as anybody's of 38.5 °C and more in the study."""
    skin = {"forehead_center": 35.4, "forehead_max": 36.4, "canthi_max": 36.4, "face_max": 36.8}
    assert estimate_core(some(skin, names), room_c).core_c > 37.8


def test_the_uncertainty_is_widest_where_fever_begins() -> None:
    cool, between, warm = (estimate_core({"canthi_max": skin_c}, ROOM_C) for skin_c in (35.2, 36.3, 38.0))
    assert cool.uncertainty_c < between.uncertainty_c > warm.uncertainty_c


@pytest.mark.parametrize(
    ("covered", "used"),
    [
        ({"forehead_max": 30.0}, "canthi_max+face_max"),
        ({"forehead_max": 30.0, "forehead_center": 29.0}, "canthi_max+face_max"),
        ({"canthi_max": 31.0}, "face_max"),
    ],
)
def test_a_covered_region_hides_no_fever(covered: dict[str, float], used: str) -> None:
    told = estimate_core(FEVERISH | covered, ROOM_C)
    assert told.model.endswith(f" {used}")
    assert told.core_c > 38.0
    assert told.outside == ()


def test_a_face_that_is_cold_all_over_is_named() -> None:
    cold = {name: skin_c - 4 for name, skin_c in WELL.items()}
    assert estimate_core(cold, ROOM_C).outside == ("skin_low",)


def test_the_canthi_are_surer_than_the_forehead() -> None:
    told = [estimate_core(some(WELL, (name,)), ROOM_C).uncertainty_c for name in ("canthi_max", "forehead_center")]
    assert told[0] < told[1]


@given(skin_c=st.floats(34.6, 38.4), step_c=st.floats(0.01, 1.0), name=st.sampled_from(("canthi_max", "face_max")))
def test_warmer_skin_is_never_a_colder_person(skin_c: float, step_c: float, name: str) -> None:
    cooler, warmer = (estimate_core({name: value}, ROOM_C) for value in (skin_c, skin_c + step_c))
    assert warmer.core_c > cooler.core_c
    assert warmer.fever_probability >= cooler.fever_probability


@given(ambient_c=st.floats(20, 29))
def test_the_room_bends_nothing_where_the_fit_holds(ambient_c: float) -> None:
    assert estimate_core(WELL, ambient_c) == estimate_core(WELL, ROOM_C)


@pytest.mark.parametrize(
    ("near", "far", "name"),
    [
        ({"ambient_c": 31.0}, {"ambient_c": 36.0}, "ambient"),
        ({"ambient_c": 18.0}, {"ambient_c": 5.0}, "ambient"),
        ({"ambient_c": 23.0, "distance_m": 1.2}, {"ambient_c": 23.0, "distance_m": 2.0}, "distance"),
    ],
)
def test_the_uncertainty_widens_outside_and_says_why(near: dict[str, float], far: dict[str, float], name: str) -> None:
    inside, little, much = (estimate_core(WELL, **room) for room in ({"ambient_c": ROOM_C}, near, far))
    assert inside.uncertainty_c < little.uncertainty_c < much.uncertainty_c
    assert little.outside == much.outside == (name,)


def test_skin_outside_what_was_seen_is_named() -> None:
    assert estimate_core({"canthi_max": 32.0}, ROOM_C).outside == ("skin_low",)
    assert estimate_core({"face_max": 41.0}, ROOM_C).outside == ("skin_high",)


def test_the_distance_may_be_unknown() -> None:
    assert estimate_core(WELL, ROOM_C, None) == estimate_core(WELL, ROOM_C, 0.7)


def test_the_interval_is_of_95_per_cent() -> None:
    told = estimate_core(WELL, ROOM_C)
    low, high = told.interval_c
    assert high - low == pytest.approx(2 * 1.96 * told.uncertainty_c)


@given(
    skin=st.dictionaries(st.sampled_from(REGIONS), st.floats(-1e6, 1e6), min_size=1),
    ambient_c=st.floats(-1e6, 1e6),
)
def test_any_finite_numbers_give_finite_numbers(skin: dict[str, float], ambient_c: float) -> None:
    told = estimate_core(skin, ambient_c)
    assert math.isfinite(told.core_c) and math.isfinite(told.uncertainty_c)
    assert 0 <= told.fever_probability <= 1


@pytest.mark.parametrize("skin", [{}, {"ear": 36.0}, {"face_max": 35.8, "Face_max": 35.8}, {"face_max": math.nan}])
def test_nonsense_is_refused(skin: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"regions|finite"):
        estimate_core(skin, ROOM_C)


@pytest.mark.parametrize(("ambient_c", "distance_m"), [(math.inf, None), (ROOM_C, math.nan)])
def test_a_room_or_a_distance_that_is_not_a_number_is_refused(ambient_c: float, distance_m: float | None) -> None:
    with pytest.raises(ValueError, match="finite"):
        estimate_core(WELL, ambient_c, distance_m)


def test_the_fit_says_where_it_comes_from() -> None:
    fit = shipped()
    assert "10.13026/3bhc-9065" in fit.source
    assert (fit.people, fit.febrile_people, fit.fever_c) == (544, 47, 37.5)


def test_caution_that_means_nothing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fit.toml"
    text = (ROOT / "config" / "temperature.default.toml").read_text(encoding="utf-8")
    path.write_text(text.replace("lift = 2.5", "lift = 0.0"), encoding="utf-8")
    with pytest.raises(SettingsError, match="lift"):
        load_coefficients(path)


def test_the_document_states_the_fit_that_ships() -> None:
    """Its table is the whole model: a row a set of regions, in the order in which they are tried."""
    fit, document = shipped(), (ROOT / "docs" / "temperature.md").read_text(encoding="utf-8")
    rows = [line for line in document.splitlines() if re.match(r"\| `(canthi|face|forehead)_", line)]
    for model, row in zip(fit.models, rows, strict=True):
        regions, centre, healthy, febrile, odds, threshold, floor = (cell.strip() for cell in row.strip("|").split("|"))
        assert tuple(re.findall(r"`(\w+)`", regions)) == model.regions
        assert centre == str(model.centre_c)
        assert healthy == f"{model.healthy.at_centre_c:.3f} + {model.healthy.slope:.3f}"
        assert febrile == f"{model.febrile.at_centre_c:.3f} + {model.febrile.slope:.3f}"
        assert odds == f"{model.odds.at_centre:.2f} + {model.odds.slope:.2f}"
        told_c = [
            estimate_core(dict.fromkeys(model.regions, float(skin)), ROOM_C).core_c for skin in (threshold, floor)
        ]
        assert told_c == pytest.approx([37.3, 37.8], abs=0.03)
    assert f"`{fit.name}`" in document


@pytest.mark.parametrize("text", ["name = 3", "name = 'x", ""])
def test_a_broken_fit_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "fit.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=r"fit\.toml"):
        load_coefficients(path)

"""Residents and scenes: valid numbers of no real person, all eight kinds, the same for the same seed."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise

import pytest

from drivers.readers.health_code import make_code_provider
from drivers.simulated.people import residents
from drivers.simulated.people.scenes import Scene, SceneKind, scenes

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
PARSE = make_code_provider(["simulated", "document-number"])


def drawn(count: int, seed: int = 5) -> list[Scene]:
    return list(islice(scenes(seed, wall_s=lambda: NOW.timestamp()), count))


def number_of(scene: Scene) -> str:
    assert scene.code is not None
    return PARSE(scene.code).number


def test_worked_numbers_of_the_facts() -> None:
    assert residents.document_number(date(1990, 1, 1), 1) == "999999199001010016"
    assert residents.document_number(date(1990, 1, 1), 2) == "999999199001010024"


def test_the_directory_is_valid_whole_and_repeatable() -> None:
    rows = residents.people(NOW)
    assert rows == residents.people(NOW)
    assert json.loads(json.dumps(rows)) == rows
    assert len({row["number"] for row in rows}) == len(rows) == len(residents.CAST) + 200
    for row in rows:
        number = str(row["number"])
        assert number.startswith("999999")
        assert PARSE(number).number == number
        sampled, reported, as_of = (
            datetime.fromisoformat(str(row[key])) for key in ("sampled_at", "reported_at", "as_of")
        )
        assert sampled < reported < NOW
        assert as_of < NOW


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        residents.people(datetime(2026, 3, 1))  # noqa: DTZ001


def test_the_first_eight_are_all_kinds_and_a_seed_repeats_them() -> None:
    assert {scene.kind for scene in drawn(8)} == set(SceneKind)
    assert drawn(40) == drawn(40)
    assert drawn(40) != drawn(40, seed=6)


def test_every_code_is_valid_unassigned_and_in_date() -> None:
    for scene in drawn(100):
        assert number_of(scene).startswith(residents.UNASSIGNED_AREA)
        assert scene.code is not None
        expires_s = PARSE(scene.code).expires_at_s
        assert expires_s is None or expires_s > NOW.timestamp()


def test_what_the_platform_knows_fits_the_scene() -> None:
    known = {row["number"]: row for row in residents.people(NOW)}
    for scene in drawn(100):
        row = known.get(number_of(scene))
        if scene.kind in (SceneKind.UNKNOWN_CODE, SceneKind.PLATFORM_DOWN):
            assert row is None
            continue
        assert row is not None
        assert (row["colour"] == "yellow") == (scene.kind is SceneKind.YELLOW_CODE)
        assert (row["lists"] == ["watch"]) == (scene.kind is SceneKind.WATCH_LIST)
        sampled = datetime.fromisoformat(str(row["sampled_at"]))
        assert (NOW - sampled > timedelta(hours=48)) == (scene.kind is SceneKind.TEST_EXPIRED)
        assert (scene.skin_max_c > 37) == (scene.kind is SceneKind.FEVER)


def test_no_face_repeats_and_no_number_is_in_the_repr() -> None:
    visitors = drawn(60)
    assert all(one.person is not other.person for one, other in pairwise(visitors))
    assert residents.UNASSIGNED_AREA not in repr(visitors)
    assert residents.UNASSIGNED_AREA not in repr(residents.CAST)

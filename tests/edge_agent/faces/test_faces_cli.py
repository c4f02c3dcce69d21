"""`edge-agent faces` as staff use it: real weights, pictures that packages bring, numbers on standard input."""

from __future__ import annotations

import json
import secrets
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from drivers.simulated.people.masks import MaskWear
from drivers.simulated.people.person_image import draw_portrait
from edge_agent.box.wall_clock import WallClock
from edge_agent.commands.cli import app
from models.recognition.embedding import EMBEDDINGS
from tests.photos import ASTRONAUT, GROUP, PEOPLE, photograph

NUMBER, OTHER = "999999199001010016", "99999919900101018X"


def soon() -> str:
    """A day within the longest time for which a face may be kept."""
    return f"{datetime.now(UTC) + timedelta(days=30):%Y-%m-%d}"


@pytest.fixture
def box(tmp_path: Path, weights: Path) -> Path:
    """A box with its packs and keys."""
    (tmp_path / "models").symlink_to(weights)
    (tmp_path / "community.key").write_text(secrets.token_hex(32), encoding="ascii")
    (tmp_path / "sentinel.toml").write_text(
        f'[box]\ndata_dir = "{tmp_path}"\n[directory]\ncommunity_key_file = "{tmp_path}/community.key"\n'
        f'[privacy]\nkey_file = "{tmp_path}/at-rest.key"\n[recognition]\naccept_non_commercial = true\n',
        encoding="utf-8",
    )
    cv2.imwrite(str(tmp_path / "one.png"), photograph(ASTRONAUT))
    x, y, width, height = (round(each) for each in PEOPLE[1].box)
    cut = photograph(GROUP)[y - height // 2 : y + height * 3 // 2, x - width // 2 : x + width * 3 // 2]
    cv2.imwrite(str(tmp_path / "two.png"), cut)
    cv2.imwrite(str(tmp_path / "several.png"), photograph(GROUP))
    return tmp_path


def faces(box: Path, *words: str, typed: str = "") -> Result:
    return CliRunner().invoke(app, ["faces", *words, "--config", str(box / "sentinel.toml")], input=typed)


def register(box: Path, number: str, photo: str, *words: str) -> Result:
    given = ("--consent", "self", "--until", soon(), "--photo", str(box / photo), *words)
    return faces(box, "register", *given, typed=f"{number}\n")


def rows(box: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in faces(box, "list", "--json").output.splitlines()]


def test_a_face_is_registered_listed_and_withdrawn_by_its_number(box: Path) -> None:
    until = soon()
    done = register(box, NUMBER, "one.png", "--until", until)
    assert done.exit_code == 0, done.output
    assert "Without it, a health code, an ID card or staff" in done.output
    assert "[recognition] enabled = false" in done.output
    assert NUMBER not in done.output
    [row] = rows(box)
    assert (row["row"], row["pack"], row["consent"], row["purpose"]) == (1, "mobilefacenet", "self", "gate-1")
    assert until in faces(box, "list").output
    assert register(box, OTHER, "two.png").exit_code == 0
    assert faces(box, "remove", typed=f"{NUMBER}\n").exit_code == 0
    assert [row["row"] for row in rows(box)] == [2]
    assert faces(box, "remove", "2").exit_code == 0
    assert faces(box, "remove", "2").exit_code == 1
    assert rows(box) == []
    expired = faces(box, "expire")
    answer = "0 removed" if WallClock().now().in_sync else "The clock is not in sync with NTP; nothing was removed."
    assert answer in expired.output


def test_one_face_has_one_number(box: Path) -> None:
    assert register(box, NUMBER, "one.png").exit_code == 0
    taken = register(box, OTHER, "one.png")
    assert taken.exit_code == 1
    assert "registered under another document number" in taken.output
    assert register(box, NUMBER, "one.png").exit_code == 0  # the same person once more: in place of the first
    assert len(rows(box)) == 1


@pytest.mark.parametrize(
    ("number", "photo", "words", "why"),
    [
        (NUMBER, "several.png", (), "more than one face"),
        (NUMBER, "sentinel.toml", (), "not a picture"),
        ("999999199001010017", "one.png", (), "check digit"),
        ("999999202001010029", "one.png", (), "guardian"),
        (NUMBER, "one.png", ("--until", "2020-01-01"), "must be in the future"),
    ],
)
def test_what_is_refused_says_why_and_registers_nothing(
    box: Path, number: str, photo: str, words: tuple[str, ...], why: str
) -> None:
    refused = register(box, number, photo, *words)
    assert refused.exit_code == 1
    assert why in refused.output.lower()
    assert number not in refused.output
    assert rows(box) == []


def test_a_missing_pack_is_named(box: Path) -> None:
    (box / "models").unlink()
    refused = register(box, NUMBER, "one.png")
    assert refused.exit_code == 1
    assert "edge-agent models pull mobilefacenet" in refused.output


def compared(box: Path, *words: str) -> list[dict[str, object]]:
    done = faces(box, "compare", "--json", *words)
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.output.splitlines()]


@pytest.fixture
def pictures(box: Path) -> Path:
    """The box with more pictures: the first person darker, both people with a mask, and a picture of nothing."""
    person = photograph(ASTRONAUT)
    cv2.imwrite(str(box / "darker.png"), cv2.convertScaleAbs(cv2.resize(person, None, fx=0.8, fy=0.8), alpha=0.6))
    for name, who in (("one", PEOPLE[0]), ("two", PEOPLE[1])):
        cv2.imwrite(str(box / f"{name}-masked.png"), draw_portrait(who, MaskWear.CORRECT).image)
    cv2.imwrite(str(box / "nothing.png"), np.full((200, 300, 3), 120, np.uint8))
    return box


def test_pictures_are_compared(pictures: Path) -> None:
    one, two, darker = (str(pictures / f"{name}.png") for name in ("one", "two", "darker"))
    [same] = compared(pictures, one, darker)
    assert set(same) == {"a", "b", "score", "masked", "threshold", "same"}
    assert (same["a"], same["b"], same["masked"], same["same"]) == (one, darker, [False, False], True)
    assert same["threshold"] == EMBEDDINGS["mobilefacenet"].threshold
    [other] = compared(pictures, one, two)
    assert (other["masked"], other["same"]) == ([False, False], False)
    assert "different" in faces(pictures, "compare", one, two).output


def test_a_masked_face_is_compared_by_its_upper_half(pictures: Path) -> None:
    one, two, one_masked, two_masked = (
        str(pictures / f"{name}.png") for name in ("one", "two", "one-masked", "two-masked")
    )
    pairs = pictures / "pairs.tsv"
    wanted = [(one, one_masked), (two_masked, two), (one_masked, two_masked), (one, two_masked), (one_masked, one)]
    pairs.write_text("".join(f"{a}\t{b}\n" for a, b in wanted) + "\n", encoding="utf-8-sig")
    found = compared(pictures, "--pairs", str(pairs))
    assert [(each["a"], each["b"]) for each in found] == wanted
    assert [each["masked"] for each in found] == [
        [False, True],
        [True, False],
        [True, True],
        [False, True],
        [True, False],
    ]
    assert [each["same"] for each in found] == [True, True, False, False, True]
    assert {each["threshold"] for each in found} == {EMBEDDINGS["mobilefacenet"].upper.threshold}
    assert found[0]["score"] == found[4]["score"]


def test_a_pair_that_cannot_be_compared_says_why_and_the_next_is_compared(pictures: Path) -> None:
    one = str(pictures / "one.png")
    reasons = {
        "nothing.png": "no face",
        "several.png": "more than one face",
        "sentinel.toml": "not a picture",
        "x.png": "no such file",
    }
    pairs = pictures / "pairs.tsv"
    pairs.write_text("".join(f"{one}\t{pictures / name}\n" for name in reasons) + f"{one}\t{one}\n", encoding="utf-8")
    *failed, good = compared(pictures, "--pairs", str(pairs))
    for each, (name, reason) in zip(failed, reasons.items(), strict=True):
        assert set(each) == {"a", "b", "error"}
        assert name in str(each["error"])
        assert reason in str(each["error"]).lower()
    assert good["same"]
    assert "no face" in faces(pictures, "compare", one, str(pictures / "nothing.png")).output.lower()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "two pictures"),
        (("one.png",), "two pictures"),
        (("one.png", "two.png", "one.png"), "two pictures"),
        (("one.png", "two.png", "--pairs", "pairs.tsv"), "two pictures"),
        (("--pairs", "pairs.tsv"), "line 2"),
        (("--pairs", "none.tsv"), "cannot be read"),
        (("--pairs", "one.png"), "cannot be read"),
    ],
)
def test_a_comparison_without_a_pair_is_refused(box: Path, words: tuple[str, ...], why: str) -> None:
    (box / "pairs.tsv").write_text("a\tb\na b\n", encoding="utf-8")
    refused = faces(box, "compare", *(word if word.startswith("-") else str(box / word) for word in words))
    assert refused.exit_code == 2, refused.output
    assert why in refused.output.lower()


def test_rows_tell_who_is_known_with_a_mask(box: Path) -> None:
    assert register(box, NUMBER, "one.png").exit_code == 0
    assert [row["masked"] for row in rows(box)] == [True]
    assert "register the person again" not in faces(box, "list").output
    with closing(sqlite3.connect(box / "faces.db")) as other:  # as registered by an older version
        other.execute("UPDATE face SET upper_pack = NULL, upper_body = NULL")
        other.commit()
    assert [row["masked"] for row in map(json.loads, faces(box, "list", "--json").stdout.splitlines())] == [False]
    assert "register the person again" in faces(box, "list").output

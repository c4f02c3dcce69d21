"""`edge-agent faces` as staff use it: real weights, pictures that packages bring, numbers on standard input."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import pytest
from typer.testing import CliRunner, Result

from edge_agent.box.wall_clock import WallClock
from edge_agent.commands.cli import app
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

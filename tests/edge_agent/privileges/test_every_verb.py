"""Root runs every verb on a box whose agent planted links: nothing outside is opened, changed or handed over."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from edge_agent.commands.cli import app
from edge_agent.commands.verb import OwnerVerb, RootVerb
from models.packs.manifest import read_manifest
from sync.contract.enrolment import Invitation
from tests.edge_agent.calibration.test_view import MOUNTED, shots
from tests.edge_agent.privileges.planted import (
    AGENT,
    MARK,
    World,
    names_in_data_dir,
    plant_files,
    plant_folders,
    run_verb,
    state,
    watched,
    world,
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")

NUMBER = "110105194912310021"


def commands(group: Any, before: tuple[str, ...] = ()) -> dict[str, object]:
    """Every verb of the command tree and its command."""
    found: dict[str, object] = {}
    for name, command in group.commands.items():
        said = (*before, name)
        found |= commands(command, said) if hasattr(command, "commands") else {" ".join(said): command}
    return found


VERBS = commands(typer.main.get_command(app))


def words(box: World) -> dict[str, tuple[str, ...]]:
    """How root calls each verb, with the places in the agent's folder that it may be given."""
    config, data, models = ("-c", str(box.config)), str(box.data), ("--data", str(box.data / "models"))
    pack = next(pack for pack in read_manifest() if pack.address).name
    by = ("--by", "Li Wei", "--yes")
    return {
        "bundle": (*config, "--out", str(box.data / "bundle.tar.gz")),
        "calibrate thermometer": (*config, *by, "--reference", "35", "--reference", "39", "--seconds", "1"),
        "calibrate view": (*config, *by),
        "demo": ("--data", data, "--passages", "1", "--json"),
        "devices list": (),
        "devices probe": ("/dev/null",),
        "devices record": ("thermometer", str(box.data / "policy.json"), *config, "--seconds", "0.1"),
        "devices replay": (str(box.data / "policy.json"),),
        "devices simulate": ("gy-mcu90640", data),
        "devices watch": ("thermometer", *config),
        "doctor": config,
        "drill": ("platform-loss", *config),
        "faces compare": ("photo.png", str(box.data / "policy.json"), *config),
        "faces expire": config,
        "faces list": config,
        "faces register": ("--consent", "self", "--until", "2099-01-01", "--photo", "photo.png", *config),
        "faces remove": ("1", *config),
        "inspect": ("photo.png", str(box.data / "policy.json")),
        "install": ("--root", str(box.home / "card"), "--wheelhouse", str(box.home), "--apply"),
        "ledger renew": config,
        "models add": ("photo.png", *models),
        "models bench": ("--size", "160", *models),
        "models list": models,
        "models pull": (pack, *models, "--accept-non-commercial"),
        "models verify": models,
        "policy try": ("policy.toml", *config),
        "privacy make-key": config,
        "privacy scan": config,
        "prompts build": ("--folder", data),
        "prompts check": (),
        "prompts play": ("welcome", "--output", "null"),
        "provision": ("--answers", "answers.toml", *config, "--wait-min", "0"),
        "run": ("--config", str(box.config)),
        "staff set-pin": config,
        "status": config,
        "uninstall": ("--purge", "--root", str(box.home / "card"), "--apply"),
        "version": (),
    }


# These know no data folder: one call each.
FAR = {"devices list", "devices probe", "inspect", "prompts check", "prompts play", "status", "version"}
TYPED = {"faces register": NUMBER, "staff set-pin": "918273"}


def furnish(box: World) -> None:
    """What root has at hand: a photo, a policy, answers; and a card with an installed box."""
    (box.work / "photo.png").write_bytes(b"\x89PNG: none")
    (box.work / "policy.toml").write_text("version = 3\n")
    (box.work / "answers.toml").write_text(
        'checkpoint = "North"\nprobe = false\nserial = "SN-1"\nstaff_pin = "918273"\n'
        f'invitation = "{Invitation("https://127.0.0.1:9", "SN-1", "A" * 20, "0" * 64)}"\n'
    )
    (box.home / "card" / "var" / "lib").mkdir(parents=True)


@pytest.mark.parametrize(
    ("verb", "plant"),
    [
        (verb, plant)
        for verb in VERBS
        for plant in (plant_files, plant_folders)
        if plant is plant_files or verb not in FAR
    ],
)
def test_root_follows_no_link_of_the_agent(verb: str, plant: Callable[[World], None]) -> None:
    with world() as box:
        furnish(box)
        plant(box)
        if verb == "uninstall":
            (box.data).rename(box.home / "card" / "var" / "lib" / "edge-agent")
            box.data.mkdir()
        before = state(box.outside)
        places = shots(box.work, MOUNTED) if verb == "calibrate view" else []
        with watched(box.outside) as events:
            status, said = run_verb(box, (*verb.split(), *words(box)[verb], *places), TYPED.get(verb, ""))
        assert events == [], said
        assert state(box.outside) == before, said
        assert MARK not in said
        assert not [name for name, facts in state(box.data).items() if MARK.encode() in facts[-1]]  # type: ignore[operator]
        roots = [path for path in box.data.rglob("*") if path.lstat().st_uid != AGENT]
        assert roots == [], said
        assert "Traceback" not in said, said
        assert status in (0, 1, 2, 3, 130, 128 + signal.SIGTERM, -signal.SIGTERM), said


def test_every_verb_is_called() -> None:
    with world() as box:
        assert set(words(box)) == set(VERBS)


def test_every_verb_continues_as_the_owner_and_these_keep_root_for_a_part() -> None:
    assert not [verb for verb, command in VERBS.items() if not isinstance(command, OwnerVerb)]
    assert {verb for verb, command in VERBS.items() if isinstance(command, RootVerb)} == {
        "bundle",
        "drill",
        "install",
        "privacy make-key",
        "privacy scan",
        "provision",
        "staff set-pin",
        "uninstall",
    }


def test_the_names_are_found_in_the_source() -> None:
    known = {"ledger.db", "directory.db", "orders.db", "faces.db", "identity", "models", "policy.json", "broadcasts"}
    assert known < names_in_data_dir()
    assert len(names_in_data_dir()) >= 14


def test_a_link_that_is_followed_is_seen(tmp_path: Path) -> None:
    """The watch itself: a read through a link is an event."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text(MARK)
    (tmp_path / "link").symlink_to(tmp_path / "outside" / "secret")
    with watched(tmp_path / "outside") as events:
        assert (tmp_path / "link").read_text() == MARK
    assert len(events) == 1

"""A box without the extra `recognition`: nothing of it is imported, and what needs it says so at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest

from config.settings import parse_settings
from edge_agent.provision.settings_file import checked_settings
from models.packs.extra import RECOGNITION, has_extra
from tests.edge_agent.process import started
from tests.edge_agent.town import settings_text
from tests.limits import HANG_S

# Python runs this before anything else: to every finder, and so to every import, those packages are not there.
WITHOUT = """
import sys

GONE = {"insightface", "scipy", "skimage", "onnx", "PIL", "imageio", "networkx", "tifffile", "ml_dtypes", "tqdm"}


class Without:
    def __init__(self, finder):
        self._finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in GONE else self._finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self._finder, name)


sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""
NOBODY_THERE = "http://127.0.0.1:9/"
HOW = "sudo edge-agent install --with recognition --apply"


@pytest.fixture
def plain(tmp_path: Path) -> Mapping[str, str]:
    """The environment variables of a command on a plain box."""
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "sitecustomize.py").write_text(WITHOUT, encoding="utf-8")
    return {"PYTHONPATH": str(tmp_path / "plain")}


async def shown(plain: Mapping[str, str], *words: object) -> tuple[int | None, str, str]:
    """Exit code of a command, what it prints, and what it says beside that."""
    async with started(*words, environment=plain) as process, asyncio.timeout(6 * HANG_S):
        out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()


def settings(folder: Path, *changes: tuple[str, str]) -> Path:
    """A file of the demo's settings with changes."""
    text = settings_text(folder, NOBODY_THERE)
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    path = folder / "sentinel.toml"
    path.write_text(text, encoding="utf-8")
    return path


async def test_people_pass(plain: Mapping[str, str]) -> None:
    code, printed, said = await shown(plain, "demo", "--passages", "1", "--json")
    assert code == 0, said
    report = json.loads(printed)
    assert (report["outbox_left"], report["duplicates_at_platform"]) == (0, 0)


async def test_the_list_of_packs_says_which_need_the_extra(plain: Mapping[str, str], tmp_path: Path) -> None:
    assert has_extra(RECOGNITION)
    lines = (await shown(plain, "models", "list", "--data", tmp_path))[1].splitlines()
    told = [before.split()[1] for before, line in pairwise(lines) if HOW in line]
    assert told == ["scrfd-500m", "arcface-mbf"]
    assert HOW not in (await shown({}, "models", "list", "--data", tmp_path))[1]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (('detector = "sentinel"', 'detector = "scrfd"'), '[vision] detector = "scrfd"'),
        (
            ("[arrival]", '[recognition]\nenabled = true\npack = "arcface-mbf"\n[arrival]'),
            '[recognition] pack = "arcface-mbf"',
        ),
    ],
)
async def test_settings_that_need_it_are_refused_before_anything_runs(
    plain: Mapping[str, str], tmp_path: Path, change: tuple[str, str], place: str
) -> None:
    config = settings(tmp_path, change)
    code, _, said = await shown(plain, "run", "--config", config)
    assert code == 2, said
    [line] = said.splitlines()
    assert place in line
    assert HOW in line
    assert "选装组件" in line
    assert not (tmp_path / "agent").exists()


async def test_doctor_says_so_too_and_looks_at_the_rest(plain: Mapping[str, str], tmp_path: Path) -> None:
    config = settings(tmp_path, ('detector = "sentinel"', 'detector = "scrfd"'))
    code, printed, _ = await shown(plain, "doctor", "--config", config, "--json")
    assert code == 1
    sheet = {row["check"]: row for row in json.loads(printed)}
    assert HOW in json.dumps(sheet["model"], ensure_ascii=False)
    assert len(sheet) > 10


async def test_a_detector_named_on_the_command_line_is_refused_in_a_sentence(plain: Mapping[str, str]) -> None:
    code, _, said = await shown(plain, "models", "bench", "scrfd", "--accept-non-commercial")
    assert code == 1
    [line] = said.splitlines()
    assert HOW in line


def test_with_the_extra_the_settings_stand() -> None:
    assert checked_settings({"vision": {"detector": "scrfd"}}).vision.detector == "scrfd"
    assert parse_settings('[recognition]\npack = "arcface-mbf"\n').recognition.pack == "arcface-mbf"

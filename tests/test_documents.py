"""Documents and commands say the same."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from edge_agent.cli import app as agent
from sync.platform.cli import app as platform

ROOT = Path(__file__).parents[1]
COMMANDS = {"edge-agent": agent, "edge-platform": platform}


def verbs(app: typer.Typer) -> set[str]:
    return {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}


def test_the_readme_lists_every_command() -> None:
    listed = re.findall(r"^\| `(edge-\w+) (\w+)", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.M)
    assert set(listed) == {(name, verb) for name, app in COMMANDS.items() for verb in verbs(app)}


@pytest.mark.parametrize(("name", "verb"), [(name, verb) for name, app in COMMANDS.items() for verb in verbs(app)])
def test_every_command_explains_itself(name: str, verb: str) -> None:
    command = next(entry for entry in COMMANDS[name].registered_commands if entry.callback and verb in verbs_of(entry))
    assert command.callback is not None
    assert (command.callback.__doc__ or "").strip().endswith(".")


def verbs_of(entry: typer.models.CommandInfo) -> set[str]:
    return {entry.name or (entry.callback.__name__ if entry.callback else "")}


def test_links_in_documents_lead_somewhere() -> None:
    for document in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "bench" / "README.md"]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


@pytest.mark.parametrize("module", ["edge_agent.cli", "sync.platform.cli"])
def test_help_loads_neither_vision_nor_network(module: str) -> None:
    code = f"import sys, {module}; print(sorted({{'cv2', 'onnxruntime', 'aiohttp', 'insightface'}} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert shown.stdout.strip() == "[]"


def test_every_decision_has_a_date() -> None:
    text = (ROOT / "docs" / "decisions.md").read_text(encoding="utf-8")
    assert all(re.match(r"\d{4}-\d{2}-\d{2} ", line) for line in re.findall(r"^## (.*)$", text, flags=re.M))

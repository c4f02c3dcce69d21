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


def commands(app: typer.Typer, before: str = "") -> dict[str, str]:
    """Every command below `app`, such as `models pull`, with its docstring."""
    found = {
        f"{before}{entry.name or entry.callback.__name__}": entry.callback.__doc__ or ""
        for entry in app.registered_commands
        if entry.callback
    }
    for group in app.registered_groups:
        if group.typer_instance:
            found |= commands(group.typer_instance, f"{before}{group.name} ")
    return found


def test_the_readme_lists_every_command() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(edge-\w+) ([a-z -]+?)(?: [A-Z][A-Z. ]*)?` \|", text, flags=re.M)
    assert sorted(listed) == sorted((name, verb) for name, app in COMMANDS.items() for verb in commands(app))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    for verb, text in commands(COMMANDS[name]).items():
        assert text.strip().endswith("."), verb


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

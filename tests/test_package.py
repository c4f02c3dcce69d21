"""The package as users get it: built, installed alone into an empty environment, run outside the checkout."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.limits import HANG_S

ROOT = Path(__file__).parents[1]
LIMIT_S = 6 * HANG_S


def run(*command: str | Path, cwd: Path) -> str:
    """What a command prints; nothing of this checkout can be imported by it."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    shown = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=LIMIT_S
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr
    return shown.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT, cwd=folder)
    assert len(list(folder.glob("*.tar.gz"))) == 1
    [built] = folder.glob("*.whl")
    return built


def test_the_wheel_holds_what_a_box_needs_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for needed in (
        "config/sentinel.example.toml",
        "systemd/60-sentinel.rules",
        "systemd/edge-agent.service",
        "systemd/journald.conf",
        "systemd/sentinel-kiosk.service",
        "systemd/sysusers.conf",
        "systemd/system.conf",
        "systemd/tmpfiles.conf",
        "config/policy.default.toml",
        "config/temperature.default.toml",
        "config/profiles/demo.toml",
        "config/prompts/zh-CN/pass.ogg",
        "edge_agent/kiosk/page/index.html",
        "edge_agent/calibration/view/align_page/index.html",
        "models/manifest.toml",
        "models/sentinel_face.onnx",
        "sync/contract/asyncapi.yaml",
        "sync/platform/fleet/fleet.html",
    ):
        assert needed in names
    assert not [name for name in names if name.startswith(("tests/", "bench/", "models/training/"))]


def test_the_installer_runs_straight_out_of_the_wheel(wheel: Path, tmp_path: Path) -> None:
    (tmp_path / "SHA256SUMS").write_text("")
    (tmp_path / "box").mkdir()
    python = ("env", f"PYTHONPATH={wheel}", sys.executable, "-S", "-m", "edge_agent.installer")  # -S: nothing installed
    shown = run(*python, "install", "--root", tmp_path / "box", "--wheelhouse", tmp_path, cwd=tmp_path)
    assert "would do: write /etc/systemd/system/edge-agent.service" in shown


@pytest.mark.timeout(3 * LIMIT_S)
def test_it_runs_from_an_empty_environment_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", "venv", cwd=tmp_path)
    binaries = tmp_path / "venv" / "bin"
    run(binaries / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel, cwd=tmp_path)
    found = run(
        binaries / "python", "-c", "from importlib.util import find_spec; print(find_spec('insightface'))", cwd=tmp_path
    )
    assert found.strip() == "None"
    assert run(binaries / "edge-agent", "version", cwd=tmp_path).startswith("edge-agent ")
    assert run(binaries / "edge-platform", "version", cwd=tmp_path).startswith("edge-platform ")
    report = json.loads(run(binaries / "edge-agent", "demo", "--passages", "1", "--json", cwd=tmp_path))
    assert (report["outbox_left"], report["duplicates_at_platform"]) == (0, 0)

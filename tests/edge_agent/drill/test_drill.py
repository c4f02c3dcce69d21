"""Every drill on a real private sentinel: the declared rule holds, whatever the policy, and a broken rule is seen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from config.settings import Settings, parse_settings
from drivers.simulated.devices.wire import PtyWire
from edge_agent.commands.cli import FAULTS, app
from edge_agent.drill.errors import DrillImpossible
from edge_agent.drill.faults import DRILLS, play
from edge_agent.drill.report import DrillReport

LENIENT = """
version = 7
[parts]
thermometer_lost = "skip"
camera_lost = "refuse"
"""


def test_the_command_knows_every_drill() -> None:
    assert tuple(DRILLS) == FAULTS


async def played(fault: str, settings: Settings) -> DrillReport:
    try:
        return await play(fault, settings)
    except DrillImpossible as exc:
        pytest.skip(str(exc))


@pytest.mark.parametrize("fault", FAULTS)
async def test_the_default_rules_hold(fault: str) -> None:
    report = await played(fault, Settings())
    assert report.passed, "\n".join(report.lines())
    declared = " ".join(step.declared for step in report.steps)
    expected = {
        "camera-loss": "assist (camera_lost)",
        "thermometer-loss": "assist (thermometer_lost)",
        "platform-loss": "assist (lookup_failed)",
        "clock-jump": "assist (clock_unsure)",
        "disk-full": "disk_full ledger",
    }
    assert expected[fault] in declared


async def test_another_policy_declares_otherwise_and_holds_too(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(LENIENT)
    settings = parse_settings(f'[policy]\nfile = "{tmp_path}/policy.toml"\n')
    for fault, declared in (("thermometer-loss", "admit (all_clear)"), ("camera-loss", "refuse (camera_lost)")):
        report = await played(fault, settings)
        assert report.policy_version == 7
        assert report.passed, "\n".join(report.lines())
        assert declared in {step.declared for step in report.steps}


async def test_nothing_of_the_box_is_touched(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.write_bytes(b"")
    data = tmp_path / "data"
    data.mkdir()
    ranger = f'[ranger]\ndriver = "evo-mini"\nport = "{tmp_path}/ranger"\n'
    wired = f'[gate]\ndriver = "lcus"\nport = "{gate}"\n{ranger}[speaker]\noutput = "wav:{tmp_path}/said"\n'
    settings = parse_settings(f'[box]\ndata_dir = "{data}"\n{wired}')
    with PtyWire(tmp_path / "ranger") as wire:
        await played("clock-jump", settings)
        assert wire.read() == b""  # it would have been told how to measure
    assert gate.read_bytes() == b""
    assert list(data.iterdir()) == []
    assert not (tmp_path / "said").exists()


def test_an_unknown_fault_is_named(tmp_path: Path) -> None:
    shown = CliRunner().invoke(app, ["drill", "flood"])
    assert shown.exit_code == 2
    assert "camera-loss" in shown.stderr


def test_a_rule_that_does_not_hold_is_a_failed_drill() -> None:
    report = DrillReport("camera-loss", 1)
    report.note("甲", "one", declared="assist (camera_lost)", seen="assist (camera_lost)", passed=True)
    assert report.passed
    report.note("乙", "two", declared="assist (camera_lost)", seen="admit (all_clear)", passed=False)
    assert not report.passed
    assert json.loads(json.dumps(report.to_dict()))["passed"] is False
    assert "✗ 乙  two" in report.lines()

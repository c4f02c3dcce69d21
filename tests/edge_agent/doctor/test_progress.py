"""The report appears while the checks run."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edge_agent.doctor import run_checks as module
from edge_agent.doctor.report import Check, CheckResult, ReportLine, Site, ok
from edge_agent.doctor.run_checks import run_checks
from tests.limits import HANG_S


async def test_each_line_is_shown_when_its_check_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "sentinel.toml"
    config.write_text(f'[box]\ndata_dir = "{tmp_path}"\n[kiosk]\nport = 1\n')
    shown: list[str] = []
    release = asyncio.Event()

    async def slow(_site: Site) -> CheckResult:
        async with asyncio.timeout(HANG_S):
            await release.wait()
        return ok("")

    def quick(_site: Site) -> CheckResult:
        return ok("")

    def on_line(line: ReportLine) -> None:
        shown.append(line.check)
        if line.check == "quick":
            release.set()

    monkeypatch.setattr(module, "SEQUENTIAL", (Check("rights", quick),))
    monkeypatch.setattr(module, "CONCURRENT", (Check("slow", slow, HANG_S), Check("quick", quick)))
    report = await run_checks(config, on_line=on_line)
    assert shown == ["settings", "rights", "quick", "slow", "start"]
    assert [line.check for line in report] == ["settings", "rights", "slow", "quick", "start"]


async def test_unreadable_settings_are_shown_too(tmp_path: Path) -> None:
    shown: list[ReportLine] = []
    report = await run_checks(tmp_path / "none.toml", on_line=shown.append)
    assert shown == report
    assert [line.check for line in report] == ["settings"]

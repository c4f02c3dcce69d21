"""The line `start` of doctor: what the next start would refuse, and no fault twice."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from config.settings import GateSettings, PolicySettings, Settings
from edge_agent.doctor.report import CheckResult, CheckStatus, ReportLine, Site, failed, not_checked, ok, warning
from edge_agent.doctor.run_checks import start
from edge_agent.domain.passage import Moment
from edge_agent.readiness.can_run import find_faults

SETTINGS = Settings(gate=GateSettings(driver="lcus", port="usb:zz"), policy=PolicySettings(file="/nowhere"))
BAD = failed("x", "改", "correct it")


def examined(**results: CheckResult) -> CheckResult:
    site = Site(
        SETTINGS, Path("/none"), Moment(datetime.now(UTC), 0.0, "boot", True, 0.1), None, Path("/"), Path("/"), False
    )
    shown = {fault.check: BAD for fault in find_faults(SETTINGS)} | {"rights": ok("")} | results
    return start(site, [ReportLine(name, result) for name, result in shown.items()])


def test_a_fault_that_is_shown_is_not_shown_twice() -> None:
    seen = examined()
    assert seen.status is CheckStatus.NOT_CHECKED
    assert "gate" in seen.found
    assert "policy" in seen.found


def test_a_running_agent_does_not_hide_what_the_next_start_refuses() -> None:
    seen = examined(gate=ok("ok (by the running agent)"))
    assert seen.status is CheckStatus.FAILED
    assert "usb:zz" in seen.found
    assert "/nowhere" not in seen.found
    assert "next start will fail" in seen.remedy.en


@pytest.mark.parametrize("rights", [warning("x", "改", "use sudo"), not_checked("x")])
def test_without_rights_nothing_is_said(rights: CheckResult) -> None:
    assert examined(gate=ok("ok"), rights=rights).status is CheckStatus.NOT_CHECKED

"""Runs every check of the box, each within its time limit, and returns the report."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from config.catalogue import PROMPTS_DIR
from config.errors import SettingsError
from config.settings import KioskSettings, load_settings
from edge_agent.box.wall_clock import WallClock
from edge_agent.diagnostics.status_client import AgentNotResponding, ask_agent
from edge_agent.doctor import devices, keys, measuring, network, stored, system, times, units
from edge_agent.doctor.report import (
    Check,
    CheckResult,
    CheckStatus,
    ReportLine,
    Site,
    failed,
    not_checked,
    ok,
)
from edge_agent.domain.passage import Moment
from edge_agent.readiness.can_run import find_faults
from sync.network_address import is_loopback

# The disk speed is measured while no other check uses the disk.
SEQUENTIAL = (system.DISK_SPEED,)
CONCURRENT = (
    *stored.CHECKS,
    *keys.CHECKS,
    *measuring.CHECKS,
    *devices.CHECKS,
    *times.CHECKS,
    *network.CHECKS,
    *system.CHECKS,
    *units.CHECKS,
)


def _ignore(_line: ReportLine) -> None:
    """For a caller that needs only the whole report."""


async def run_checks(
    config: Path,
    *,
    on_line: Callable[[ReportLine], None] = _ignore,
    open_gate: bool = False,
    root: Path = Path("/"),
    prompts: Path = PROMPTS_DIR,
    now: Callable[[], Moment] | None = None,
) -> list[ReportLine]:
    """The report, in the order of the checks; with unreadable settings it has only the line `settings`.

    `on_line` is called with each line as soon as its check has ended.

    Changes nothing on the box. Plays a test tone if there is a microphone, and opens the gate once with `open_gate`.
    `root`, `prompts` and `now` default to those of this machine.
    """
    try:
        settings = load_settings(config)
    except SettingsError as exc:
        unreadable = ReportLine("settings", _unreadable(exc))
        on_line(unreadable)
        return [unreadable]
    moment = (now or WallClock().now)()
    agent = await asyncio.to_thread(_running_agent, settings.kiosk)
    site = Site(settings, config, moment, agent, root, prompts, open_gate)
    report = [ReportLine("settings", ok(str(config)))]
    on_line(report[0])

    async def checked(check: Check) -> ReportLine:
        line = await run_check(check, site)
        on_line(line)
        return line

    report += [await checked(check) for check in SEQUENTIAL]
    report += await asyncio.gather(*map(checked, CONCURRENT))
    return [*report, await checked(Check("start", partial(start, report=tuple(report))))]


def start(site: Site, report: Sequence[ReportLine]) -> CheckResult:
    """The agent can start with these settings; a fault that `report` shows already is not shown again."""
    statuses = {line.check: line.result.status for line in report}
    if statuses["rights"] is not CheckStatus.OK:
        return not_checked("some files cannot be read: see rights")
    faults = find_faults(site.settings)
    if not faults:
        return ok("edge-agent run accepts these settings")
    new = [fault for fault in faults if statuses.get(fault.check) in (None, CheckStatus.OK)]
    if not new:
        return not_checked(f"edge-agent run would refuse: see {', '.join(fault.check for fault in faults)}")
    return failed(
        "; ".join(line for fault in new for line in fault.message.splitlines()),
        "下次启动会失败：请改正这些设置。",
        "The next start will fail: correct these settings.",
    )


def _unreadable(exc: SettingsError) -> CheckResult:
    if isinstance(exc.__cause__, PermissionError):
        return failed(str(exc), "请用 sudo edge-agent doctor 重新检查。", "Run again with sudo: sudo edge-agent doctor")
    if isinstance(exc.__cause__, OSError):
        zh = "请用 --config 指明配置文件，或运行 edge-agent provision 生成。"
        return failed(str(exc), zh, "Name the file with --config, or create it: edge-agent provision")
    return failed(str(exc), "请改正配置文件中指出的键。", "Correct the keys named here in the settings file.")


def _running_agent(kiosk: KioskSettings) -> dict[str, object] | None:
    """The status of the agent on this box; None if no agent answers."""
    if not is_loopback(kiosk.host):
        return None  # with such a host the agent does not start
    with contextlib.suppress(AgentNotResponding):
        status = ask_agent(kiosk.host, kiosk.port)
        if "view" in status and "link" in status:  # not in safe mode
            return status
    return None


async def run_check(check: Check, site: Site) -> ReportLine:
    """The result of one check within its limit; without read permission the result is "not checked"."""
    try:
        async with asyncio.timeout(check.limit_s):
            return ReportLine(check.name, await _result(check, site))
    except PermissionError as exc:
        return ReportLine(check.name, not_checked(f"{exc.filename}: no read permission: see rights"))
    except TimeoutError:
        result = failed(
            f"no result within {check.limit_s:g} s",
            "请重试；若仍无响应，请重启本机。",
            "Try again; if it recurs, restart the box.",
        )
        return ReportLine(check.name, result)


async def _result(check: Check, site: Site) -> CheckResult:
    # A blocking function runs in the thread; a coroutine function returns its coroutine, which is awaited here.
    result = await asyncio.to_thread(check.run, site)
    return result if isinstance(result, CheckResult) else await result

"""Every check of the box, as many at once as do not disturb each other, each within its limit."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from config.catalogue import PROMPTS_DIR
from config.errors import SettingsError
from config.settings import KioskSettings, load_settings
from edge_agent.box.wall_clock import WallClock
from edge_agent.diagnostics.status_client import AgentNotResponding, ask_agent
from edge_agent.doctor import devices, keys, measuring, network, stored, system, times, units
from edge_agent.doctor.report import Check, CheckFinding, CheckResult, Site, failed, not_checked, ok
from edge_agent.domain.passage import Moment
from edge_agent.kiosk.guard import is_loopback_host

# The speed of the disk is measured while nothing else uses it.
ALONE = (system.DISK_SPEED,)
TOGETHER = (
    *stored.CHECKS,
    *keys.CHECKS,
    *measuring.CHECKS,
    *devices.CHECKS,
    *times.CHECKS,
    *network.CHECKS,
    *system.CHECKS,
    *units.CHECKS,
)


async def examine(
    config: Path,
    *,
    open_gate: bool = False,
    root: Path = Path("/"),
    prompts: Path = PROMPTS_DIR,
    now: Callable[[], Moment] | None = None,
) -> list[CheckFinding]:
    """The whole sheet; without readable settings the first line is the only one.

    Nothing on the box is changed, but a tone is played where a microphone can hear it, and with `open_gate` the gate
    opens once. `root`, `prompts` and `now` are this machine's unless given.
    """
    try:
        settings = load_settings(config)
    except SettingsError as exc:
        return [CheckFinding("settings", _unreadable(exc))]
    moment = (now or WallClock().now)()
    agent = await asyncio.to_thread(_running_agent, settings.kiosk)
    site = Site(settings, config, moment, agent, root, prompts, open_gate)
    sheet = [CheckFinding("settings", ok(str(config)))]
    sheet += [await perform(check, site) for check in ALONE]
    return sheet + list(await asyncio.gather(*(perform(check, site) for check in TOGETHER)))


def _unreadable(exc: SettingsError) -> CheckResult:
    if isinstance(exc.__cause__, PermissionError):
        return failed(str(exc), "请用 sudo edge-agent doctor 重新检查。", "Run it with sudo: sudo edge-agent doctor")
    if isinstance(exc.__cause__, OSError):
        zh = "请用 --config 指明配置文件，或运行 edge-agent provision 生成。"
        return failed(str(exc), zh, "Name the file with --config, or have it made: edge-agent provision")
    return failed(str(exc), "请改正配置文件中指出的键。", "Correct the keys that are named in the settings file.")


def _running_agent(kiosk: KioskSettings) -> dict[str, object] | None:
    """What the agent on this box says of itself; None where none answers, or something that is no agent."""
    if not is_loopback_host(kiosk.host):
        return None  # the agent would not start
    with contextlib.suppress(AgentNotResponding):
        report = ask_agent(kiosk.host, kiosk.port)
        if "view" in report and "link" in report:
            return report
    return None


async def perform(check: Check, site: Site) -> CheckFinding:
    """The line of one check, within its limit; what this user may not see is not checked."""
    try:
        async with asyncio.timeout(check.limit_s):
            return CheckFinding(check.name, await _look(check, site))
    except PermissionError as exc:
        return CheckFinding(check.name, not_checked(f"{exc.filename} may not be read by this user: see rights"))
    except TimeoutError:
        answer = failed(
            f"no answer within {check.limit_s:g} s",
            "请重试；若仍无响应，请重启本机。",
            "Try again; if it stays without an answer, restart the box.",
        )
        return CheckFinding(check.name, answer)


async def _look(check: Check, site: Site) -> CheckResult:
    # A coroutine function gives its coroutine at once, wherever it is called.
    answer = await asyncio.to_thread(check.look, site)
    return answer if isinstance(answer, CheckResult) else await answer

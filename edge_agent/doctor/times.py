"""Checks of the clock: synchronised by NTP, plausible, in the right time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from edge_agent.doctor.report import Check, CheckResult, Site, failed, ok, warning

_SLACK = timedelta(minutes=10)
_CODE = Path(__file__)


def clock(site: Site) -> CheckResult:
    """The clock is synchronised."""
    now = site.now
    if now.in_sync and now.error_s is not None:
        return ok(f"in sync within {now.error_s * 1000:.0f} ms")
    return failed(
        "not confirmed by NTP",
        "请启用时间同步（timedatectl set-ntp true）并放行 UDP 123。",
        "Enable NTP (timedatectl set-ntp true) and allow outgoing UDP port 123.",
    )


def date(site: Site) -> CheckResult:
    """The date is not before the newest file of the agent."""
    newest = last_written(site)
    if is_plausible(site):
        return ok(f"{site.now.wall:%Y-%m-%d %H:%M} UTC")
    return failed(
        f"{site.now.wall:%Y-%m-%d %H:%M} UTC, but a file of the agent was written on {newest:%Y-%m-%d %H:%M}",
        "时钟倒退：请校正时间（timedatectl set-time），并检查时钟电池。",
        "The clock went back: set it (timedatectl set-time) and check its battery.",
    )


def zone(site: Site) -> CheckResult:
    """A time zone is set: night volume and quiet hours use local time."""
    link = site.root / "etc/localtime"
    name = link.readlink().as_posix().partition("zoneinfo/")[2] if link.is_symlink() else ""
    if name and name.rpartition("/")[2] not in ("UTC", "UCT", "Zulu", "Universal"):
        return ok(name)
    return warning(
        f"{name or 'none is set'}: night volume and quiet hours would use UTC",
        "请设置时区：timedatectl set-timezone Asia/Shanghai。",
        "Set the time zone: timedatectl set-timezone Asia/Shanghai.",
    )


def is_plausible(site: Site) -> bool:
    """Whether the clock is not before the newest file, less a tolerance."""
    return site.now.wall >= last_written(site) - _SLACK


def last_written(site: Site) -> datetime:
    """The newest modification time of the software, the settings file and the ledger."""
    written = [path.stat().st_mtime for path in (_CODE, site.config, site.data_dir / "ledger.db") if path.exists()]
    return datetime.fromtimestamp(max(written), UTC)


CHECKS = (Check("clock", clock), Check("date", date), Check("time zone", zone))

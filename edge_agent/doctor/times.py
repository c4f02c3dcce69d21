"""The clock: kept by NTP, plausible, in the right zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from edge_agent.doctor.report import Check, CheckResult, Site, failed, ok, warning

_SLACK = timedelta(minutes=10)
_CODE = Path(__file__)


def clock(site: Site) -> CheckResult:
    """Whether NTP keeps it."""
    now = site.now
    if now.in_sync and now.error_s is not None:
        return ok(f"in sync within {now.error_s * 1000:.0f} ms")
    return failed(
        "not confirmed by NTP",
        "请启用时间同步（timedatectl set-ntp true）并放行 UDP 123。",
        "Enable NTP (timedatectl set-ntp true) and let UDP port 123 out.",
    )


def date(site: Site) -> CheckResult:
    """Whether it is later than everything that was ever written on this box."""
    floor = written_last(site)
    if is_plausible(site):
        return ok(f"{site.now.wall:%Y-%m-%d %H:%M} UTC")
    return failed(
        f"{site.now.wall:%Y-%m-%d %H:%M} UTC, but something here was written on {floor:%Y-%m-%d %H:%M}",
        "时钟倒退：请校正时间（timedatectl set-time），并检查时钟电池。",
        "The clock went back: set it (timedatectl set-time) and check the battery of the clock.",
    )


def zone(site: Site) -> CheckResult:
    """Night volume and quiet hours go by local time."""
    link = site.root / "etc/localtime"
    name = link.readlink().as_posix().partition("zoneinfo/")[2] if link.is_symlink() else ""
    if name and name.rpartition("/")[2] not in ("UTC", "UCT", "Zulu", "Universal"):
        return ok(name)
    return warning(
        f"{name or 'none is set'}: night volume and quiet hours would go by UTC",
        "请设置时区：timedatectl set-timezone Asia/Shanghai。",
        "Set the time zone: timedatectl set-timezone Asia/Shanghai.",
    )


def is_plausible(site: Site) -> bool:
    """Whether dates can be judged by this clock."""
    return site.now.wall >= written_last(site) - _SLACK


def written_last(site: Site) -> datetime:
    """When the software was installed, the settings were written or the ledger was touched, whichever came last."""
    written = [path.stat().st_mtime for path in (_CODE, site.config, site.data_dir / "ledger.db") if path.exists()]
    return datetime.fromtimestamp(max(written), UTC)


CHECKS = (Check("clock", clock), Check("date", date), Check("time zone", zone))

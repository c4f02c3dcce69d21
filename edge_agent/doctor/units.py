"""systemd on this box: the units that came with the package are installed, the same, enabled, running and watched."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from edge_agent.doctor.report import Check, CheckResult, Site, failed, not_checked, ok, warning

SERVICE = "edge-agent.service"
_FOLDERS = ("etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system")
_LIMIT_S = 7.0  # twice within the limit of a check
_INSTALL = "请运行 edge-agent install --apply，见 docs/install.md。", "Run edge-agent install --apply; docs/install.md"


def units(site: Site) -> CheckResult:
    """Installed, unchanged, enabled and active."""
    if not _has_systemd(site):
        return not_checked("no systemd here")
    for name, packaged in _packaged():
        installed = _installed(site, name)
        if installed is None:
            return failed(f"{name} is not installed", *_INSTALL)
        if installed.read_text(encoding="utf-8") != packaged:
            return failed(
                f"{installed} is not the one of this version",
                "请运行 edge-agent install --apply，再 systemctl daemon-reload；自己的改动请放入 drop-in。",
                "Run edge-agent install --apply, then systemctl daemon-reload; keep own changes in a drop-in.",
            )
    if _ask("is-enabled", SERVICE) != "enabled":
        return failed(
            f"{SERVICE} is not enabled: it would stay away after a power cut",
            f"请运行 systemctl enable {SERVICE}。",
            f"Run: systemctl enable {SERVICE}",
        )
    if (state := _ask("is-active", SERVICE)) != "active":
        return failed(
            f"{SERVICE} is {state or 'unknown'}",
            f"请运行 systemctl start {SERVICE}，并查看 journalctl -u {SERVICE}。",
            f"Run systemctl start {SERVICE}, and read journalctl -u {SERVICE}",
        )
    return ok(f"{', '.join(name for name, _ in _packaged())} as packaged, enabled, active")


def watchdog(site: Site) -> CheckResult:
    """systemd watches the agent, and the hardware watches systemd."""
    if not _has_systemd(site):
        return not_checked("no systemd here")
    installed = _installed(site, SERVICE)
    if installed is None:
        return not_checked("the unit is not installed: see units")
    if "\nWatchdogSec=" not in installed.read_text(encoding="utf-8"):
        return warning("systemd does not watch the agent", *_INSTALL)
    if not (site.root / "dev/watchdog").exists():
        return ok("systemd watches the agent; this board has no watchdog of its own")
    if _ask("show", "--property=RuntimeWatchdogUSec", "--value") in ("", "0", "off", "infinity"):
        return warning(
            "systemd watches the agent, nothing watches systemd",
            "请在 /etc/systemd/system.conf.d/ 中设置 RuntimeWatchdogSec=30s。",
            "Set RuntimeWatchdogSec=30s in /etc/systemd/system.conf.d/",
        )
    return ok("systemd watches the agent, the board watches systemd")


def _has_systemd(site: Site) -> bool:
    return (site.root / "run/systemd/system").is_dir()


def _packaged() -> Iterator[tuple[str, str]]:
    """Name and text of every unit of the agent."""
    for file in sorted(resources.files("systemd").iterdir(), key=lambda each: each.name):
        if file.name.startswith("edge-agent") and file.name.endswith((".service", ".timer", ".socket")):
            yield file.name, file.read_text(encoding="utf-8")


def _installed(site: Site, name: str) -> Path | None:
    return next((path for folder in _FOLDERS if (path := site.root / folder / name).is_file()), None)


def _ask(*question: str) -> str:
    """What systemctl answers; "" where it cannot be asked."""
    try:
        asked = subprocess.run(["systemctl", *question], capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout.strip()


CHECKS = (Check("units", units), Check("watchdog", watchdog))

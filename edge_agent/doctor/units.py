"""Checks of systemd: the packaged units are installed unchanged, enabled, active and watched."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from edge_agent.doctor.report import Check, CheckResult, Site, failed, not_checked, ok, warning
from edge_agent.runtime.command_output import command_output
from edge_agent.runtime.service_unit import AGENT_UNIT

_FOLDERS = ("etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system")
_LIMIT_S = 7.0  # two calls fit into the limit of a check
_INSTALL = (
    "请运行 edge-agent install --apply，见 docs/install.md。",
    "Run edge-agent install --apply; see docs/install.md",
)


def units(site: Site) -> CheckResult:
    """The units are installed, unchanged, enabled and active."""
    if not _has_systemd(site):
        return not_checked("no systemd here")
    for name, packaged in _packaged():
        installed = _installed(site, name)
        if installed is None:
            return failed(f"{name} is not installed", *_INSTALL)
        if installed.read_text(encoding="utf-8") != packaged:
            return failed(
                f"{installed} is not the file of this version",
                "请运行 edge-agent install --apply，再 systemctl daemon-reload；自己的改动请放入 drop-in。",
                "Run edge-agent install --apply, then systemctl daemon-reload; put own changes into a drop-in.",
            )
    if _systemctl("is-enabled", AGENT_UNIT) != "enabled":
        return failed(
            f"{AGENT_UNIT} is not enabled: it will not start after a reboot",
            f"请运行 systemctl enable {AGENT_UNIT}。",
            f"Run: systemctl enable {AGENT_UNIT}",
        )
    if (state := _systemctl("is-active", AGENT_UNIT)) != "active":
        return failed(
            f"{AGENT_UNIT} is {state or 'unknown'}",
            f"请运行 systemctl start {AGENT_UNIT}，并查看 journalctl -u {AGENT_UNIT}。",
            f"Run systemctl start {AGENT_UNIT}, and see journalctl -u {AGENT_UNIT}",
        )
    return ok(f"{', '.join(name for name, _ in _packaged())} as packaged, enabled, active")


def watchdog(site: Site) -> CheckResult:
    """The systemd watchdog covers the agent, and a hardware watchdog covers systemd."""
    if not _has_systemd(site):
        return not_checked("no systemd here")
    installed = _installed(site, AGENT_UNIT)
    if installed is None:
        return not_checked("the unit is not installed: see units")
    if "\nWatchdogSec=" not in installed.read_text(encoding="utf-8"):
        return warning("no watchdog covers the agent", *_INSTALL)
    if not (site.root / "dev/watchdog").exists():
        return ok("systemd watches the agent; this board has no hardware watchdog")
    if _systemctl("show", "--property=RuntimeWatchdogUSec", "--value") in ("", "0", "off", "infinity"):
        return warning(
            "systemd watches the agent; no hardware watchdog watches systemd",
            "请重新运行安装程序，它设置 RuntimeWatchdogSec=30s；"
            "若仍未开启，请查 /etc/systemd/system.conf.d/ 中靠后的文件。",
            "Run the installer again, which sets RuntimeWatchdogSec=30s; if it stays off, see the later files in"
            " /etc/systemd/system.conf.d/",
        )
    return ok("systemd watches the agent, and the hardware watchdog watches systemd")


def _has_systemd(site: Site) -> bool:
    return (site.root / "run/systemd/system").is_dir()


def _packaged() -> Iterator[tuple[str, str]]:
    """Name and text of every packaged unit of the agent."""
    for file in sorted(resources.files("systemd").iterdir(), key=lambda each: each.name):
        if file.name.startswith("edge-agent") and file.name.endswith((".service", ".timer", ".socket")):
            yield file.name, file.read_text(encoding="utf-8")


def _installed(site: Site, name: str) -> Path | None:
    return next((path for folder in _FOLDERS if (path := site.root / folder / name).is_file()), None)


def _systemctl(*arguments: str) -> str:
    return command_output("systemctl", *arguments, limit_s=_LIMIT_S)


CHECKS = (Check("units", units), Check("watchdog", watchdog))

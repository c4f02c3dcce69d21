"""Collects the state of a box for remote support."""

from __future__ import annotations

import platform
import time
from pathlib import Path

import msgspec

from config.settings import Settings
from edge_agent.diagnostics.bundle import Bundle
from edge_agent.diagnostics.status_client import AgentNotResponding, ask_agent
from edge_agent.privacy.stored_files import files_below
from edge_agent.runtime.command_output import command_output
from edge_agent.runtime.service_unit import AGENT_UNIT

LOG_LINES = 2000
_LIMIT_S = 15.0
_OS_RELEASE = Path("/etc/os-release")
_VIEW_FIELDS = ("stage", "parts", "link", "passages", "language")  # the others are about the present person
_UNIT_PROPERTIES = (
    "ActiveState,SubState,Result,NRestarts,ExecMainStatus,ExecMainStartTimestamp,ActiveEnterTimestamp,"
    "MemoryCurrent,CPUUsageNSec,FragmentPath,UnitFileState,WatchdogUSec"
)


def collect(
    bundle: Bundle,
    settings: Settings,
    fault: str,
    config: Path,
    checks: list[dict[str, object]],
    versions: dict[str, str],
    journal: bytes,
) -> None:
    """Fill `bundle`. Where the settings file is invalid, `fault` says why and `settings` are the defaults."""
    if fault:
        bundle.add_log("settings-fault.txt", fault)
    else:
        bundle.add_json("settings.json", msgspec.to_builtins(settings))
    bundle.add_json("versions.json", {**versions, "python": platform.python_version(), "kernel": platform.release()})
    bundle.add_json("doctor.json", checks)
    _add_status(bundle, settings)
    _add_file_list(bundle, [Path(settings.box.data_dir), config.resolve().parent])
    _add_text(bundle, "journal.txt", journal.decode(errors="replace"))
    properties = command_output("systemctl", "show", AGENT_UNIT, f"--property={_UNIT_PROPERTIES}", limit_s=_LIMIT_S)
    _add_text(bundle, "unit.txt", properties)
    _add_text(bundle, "os-release.txt", _OS_RELEASE.read_text(encoding="utf-8") if _OS_RELEASE.exists() else "")


def _add_text(bundle: Bundle, name: str, text: str) -> None:
    if text.strip():
        bundle.add_log(name, text)
    else:
        bundle.add_absence(name, "there is none on this box")


def _add_status(bundle: Bundle, settings: Settings) -> None:
    try:
        report = ask_agent(settings.kiosk.host, settings.kiosk.port)
    except AgentNotResponding as exc:
        bundle.add_absence("status.json", str(exc))
    else:
        view = {name: report["view"][name] for name in _VIEW_FIELDS}
        bundle.add_json("status.json", report | {"view": view})


def _add_file_list(bundle: Bundle, folders: list[Path]) -> None:
    """Add mode, owner, size, time and path of every file; no content."""
    lines = ["mode uid KiB changed path"]
    for path in files_below(folders):
        try:
            status = path.stat()
        except OSError as exc:
            lines.append(f"{exc.strerror} {path}")
            continue
        changed = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(status.st_mtime))
        lines.append(f"{status.st_mode & 0o7777:04o} {status.st_uid} {-(-status.st_size // 1024)} {changed}Z {path}")
    bundle.add_log("files.txt", "\n".join(lines))

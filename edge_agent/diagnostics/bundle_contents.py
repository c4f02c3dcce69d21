"""What whoever helps from afar wants to know of a box, collected into a bundle."""

from __future__ import annotations

import platform
import subprocess
import time
from pathlib import Path

import msgspec

from config.settings import Settings
from edge_agent.diagnostics.bundle import Bundle
from edge_agent.diagnostics.status_client import AgentNotResponding, ask_agent
from edge_agent.privacy.places import UNIT
from edge_agent.privacy.scan import files_below, journal_text

LOG_LINES = 2000
_LIMIT_S = 15.0
_OS_RELEASE = Path("/etc/os-release")
_OF_THE_BOX = ("stage", "parts", "link", "passages", "language")  # the rest of the view is whoever stands there now
_UNIT_FACTS = (
    "ActiveState,SubState,Result,NRestarts,ExecMainStatus,ExecMainStartTimestamp,ActiveEnterTimestamp,"
    "MemoryCurrent,CPUUsageNSec,FragmentPath,UnitFileState,WatchdogUSec"
)


def collect(
    bundle: Bundle,
    settings: Settings,
    fault: str,
    config: Path,
    sheet: list[dict[str, object]],
    versions: dict[str, str],
) -> None:
    """Fill `bundle`; `fault` is what is wrong with the settings file, where `settings` are then the defaults."""
    if fault:
        bundle.add_log("settings-fault.txt", fault)
    else:
        bundle.add_json("settings.json", msgspec.to_builtins(settings))
    bundle.add_json("versions.json", {**versions, "python": platform.python_version(), "kernel": platform.release()})
    bundle.add_json("doctor.json", sheet)
    _status(bundle, settings)
    _files(bundle, [Path(settings.box.data_dir), config.resolve().parent])
    _said(bundle, "journal.txt", journal_text(UNIT, LOG_LINES).decode(errors="replace"))
    _said(bundle, "unit.txt", _answer("systemctl", "show", UNIT, f"--property={_UNIT_FACTS}"))
    _said(bundle, "os-release.txt", _OS_RELEASE.read_text(encoding="utf-8") if _OS_RELEASE.exists() else "")


def _said(bundle: Bundle, name: str, text: str) -> None:
    if text.strip():
        bundle.add_log(name, text)
    else:
        bundle.add_absence(name, "there is none on this box")


def _status(bundle: Bundle, settings: Settings) -> None:
    try:
        report = ask_agent(settings.kiosk.host, settings.kiosk.port)
    except AgentNotResponding as exc:
        bundle.add_absence("status.json", str(exc))
    else:
        view = {name: report["view"][name] for name in _OF_THE_BOX}
        bundle.add_json("status.json", report | {"view": view})


def _files(bundle: Bundle, folders: list[Path]) -> None:
    """Names, modes, owners, sizes and ages; no content."""
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


def _answer(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, check=True, timeout=_LIMIT_S, text=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""

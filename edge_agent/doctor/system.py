"""Checks of the machine: disk, temperature, memory, installed versions."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import tempfile
import time
from importlib.metadata import distributions, version
from pathlib import Path
from statistics import median

import psutil

from edge_agent.doctor.report import Check, CheckResult, Site, failed, not_checked, ok, warning

_WRITES = 25
_WRITE_BYTES = 4096
_SLOW_MS, _TOO_SLOW_MS = 50.0, 300.0  # each verdict waits for one such write
_LEAST_FREE_BYTES = 20_000_000
_HOT_C, _TOO_HOT_C = 75.0, 90.0
_LEAST_MEMORY_MB, _NEEDED_MEMORY_MB = 64, 300
_LIBRARIES = ("sentinel-gate", "onnxruntime", "opencv-python")


def disk(site: Site) -> CheckResult:
    """The disk has room for the ledger's budget."""
    folder = site.data_dir
    if not folder.is_dir():
        return not_checked("no data folder: see store")
    free = shutil.disk_usage(folder).free
    used = sum(path.stat().st_size for path in folder.glob("ledger.db*"))
    found = f"{free / 1e6:.0f} MB free"
    remedy = (
        f"请清理磁盘（du -xh {folder} | sort -h），或调小 [ledger] budget_mb。",
        f"Free some space (du -xh {folder} | sort -h shows what uses it), or lower [ledger] budget_mb.",
    )
    if free < _LEAST_FREE_BYTES:
        return failed(f"{found}: the disk is full", *remedy)
    budget = site.settings.ledger.budget_mb * 1_000_000
    return warning(f"{found} of {budget / 1e6:.0f} MB budget", *remedy) if free + used < budget else ok(found)


def disk_speed(site: Site) -> CheckResult:
    """The time of one small durable write (fdatasync): the median of several."""
    taken_ms = []
    try:
        with tempfile.TemporaryFile(dir=site.data_dir) as probe:
            for _ in range(_WRITES):
                started_s = time.perf_counter()
                os.pwrite(probe.fileno(), os.urandom(_WRITE_BYTES), 0)
                os.fdatasync(probe.fileno())
                taken_ms.append((time.perf_counter() - started_s) * 1000)
    except OSError as exc:
        return not_checked("the disk is full: see disk" if exc.errno == errno.ENOSPC else "cannot write: see store")
    found = f"{median(taken_ms):.1f} ms a write, {max(taken_ms):.0f} ms maximum"
    remedy = "请更换更快的存储卡（工业级）或 SSD。", "Replace the card with a faster one (industrial grade) or an SSD."
    if median(taken_ms) > _TOO_SLOW_MS:
        return failed(found, *remedy)
    return warning(found, *remedy) if median(taken_ms) > _SLOW_MS else ok(found)


def heat(site: Site) -> CheckResult:
    """The temperature of the board, and whether the CPU is throttled."""
    zones = sorted((site.root / "sys/class/thermal").glob("thermal_zone*/temp"))
    read = [int(text) / 1000 for path in zones if (text := _text(path)).lstrip("-").isdecimal()]
    if not read:
        return not_checked("no temperature sensor")
    cooling = (site.root / "sys/class/thermal").glob("cooling_device*")
    throttled = any(
        "cpu" in _text(path / "type").lower() and _text(path / "cur_state") not in ("", "0") for path in cooling
    )
    found = f"{max(read):.0f} °C" + (", throttled" if throttled else "")
    remedy = "请遮阳、清灰、改善机箱通风。", "Shade and ventilate the case, and clean its fan and vents."
    if max(read) >= _TOO_HOT_C:
        return failed(found, *remedy)
    return warning(found, *remedy) if throttled or max(read) >= _HOT_C else ok(found)


def memory(site: Site) -> CheckResult:
    """There is enough free memory for the agent."""
    free_mb = psutil.virtual_memory().available // 1_000_000
    needed_mb = _LEAST_MEMORY_MB if site.agent else _NEEDED_MEMORY_MB
    remedy = "请停用其他程序（ps --sort=-rss）。", "Stop other programs: ps aux --sort=-rss shows the largest."
    if free_mb < _LEAST_MEMORY_MB:
        return failed(f"{free_mb} MB free", *remedy)
    return warning(f"{free_mb} MB free", *remedy) if free_mb < needed_mb else ok(f"{free_mb} MB free")


def versions(_site: Site) -> CheckResult:
    """Each library is installed once; shows the versions."""
    for name in (*_LIBRARIES, "opencv-python-headless"):
        places = {str(each.locate_file("")) for each in distributions(name=name)}
        clash = name == "opencv-python-headless" and places
        if len(places) > 1 or clash:
            return failed(
                f"{name} is installed {'beside opencv-python' if clash else 'twice: ' + ', '.join(sorted(places))}",
                "请只保留一份：pip uninstall 多余的，或重装虚拟环境。",
                "Keep one: pip uninstall the other, or recreate the virtual environment.",
            )
    found = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    return ok(f"Python {sys.version.split()[0]}, {found}")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""


DISK_SPEED = Check("disk speed", disk_speed)
CHECKS = (Check("disk", disk), Check("heat", heat), Check("memory", memory), Check("versions", versions))

"""Checks of what is stored on the disk: policy, model files, prompts, calibration and the databases."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from config.errors import SettingsError
from config.prompts.build import faults_in
from edge_agent.box.model_packs import detector_from, embedders_from, liveness_from
from edge_agent.calibration.correction import load_calibration
from edge_agent.calibration.view.view_file import load_view
from edge_agent.doctor.keys import secrets
from edge_agent.doctor.report import Check, CheckResult, Site, failed, not_checked, ok, warning
from edge_agent.policy.rules import load_policy
from models.errors import ExtraMissing, ModelDamaged, ModelError, PackRefused
from sync.edge.ledger.history import read_outbox
from sync.errors import StoreFailed
from sync.storage.set_aside import aside_files
from sync.storage.sqlite_thread import check_file

_DATABASES = ("ledger.db", "directory.db", "orders.db")
_CHECK_LIMIT_S = 12.0
_OLDEST_SQLITE = (3, 35, 0)
_LONG_OFFLINE = timedelta(days=1)
_FULL_SHARE = 0.8
_EXTRA = (
    "请运行 sudo edge-agent install --with recognition --apply，或改用其他模型。",
    "Install it: sudo edge-agent install --with recognition --apply; or choose another model.",
)
_CALIBRATION_NOTICE = timedelta(days=30)


def rights(site: Site) -> CheckResult:
    """This user can read everything that is checked."""
    unreadable = next(filter(_is_unreadable, (site.data_dir, *secrets(site))), None)
    if os.geteuid() == 0 or unreadable is None:
        return ok("sufficient for every check")
    return warning(
        f"{unreadable} is owned by another user: some checks are incomplete",
        "请用 sudo edge-agent doctor 重新检查。",
        "Run again with sudo: sudo edge-agent doctor",
    )


def _is_unreadable(path: Path) -> bool:
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except PermissionError:
        return True
    except OSError:
        return False  # it does not exist
    return not os.access(path, os.R_OK | os.W_OK | os.X_OK if is_folder else os.R_OK)


def policy(site: Site) -> CheckResult:
    """The admission policy can be read."""
    path = Path(site.settings.policy.file) if site.settings.policy.file else None
    try:
        return ok(f"version {load_policy(path).version}")
    except SettingsError as exc:
        return failed(str(exc), "请改正准入规则文件。", "Correct the policy file.")


def model(site: Site) -> CheckResult:
    """The detector's model file has the pinned checksum and loads."""
    started_s = time.perf_counter()
    try:
        detector_from(site.settings)
    except ExtraMissing as exc:
        return failed(str(exc), *_EXTRA)
    except ModelDamaged as exc:
        return failed(
            str(exc),
            "模型文件已损坏：请删除该文件，再用 edge-agent models pull 或 add 重新放入。",
            "The model file is damaged: delete it and add it again with edge-agent models pull or add.",
        )
    except PackRefused as exc:
        return failed(
            str(exc),
            "请确认许可（[vision] accept_non_commercial）或改用其他模型。",
            "Accept its licence ([vision] accept_non_commercial) or choose another detector.",
        )
    except ModelError as exc:
        return failed(
            str(exc), "请用 edge-agent models pull 或 add 放入模型。", "Add it: edge-agent models pull or add."
        )
    loaded_ms = (time.perf_counter() - started_s) * 1000
    return ok(f"{site.settings.vision.detector}, checksum correct, loaded in {loaded_ms:.0f} ms")


def recognition(site: Site) -> CheckResult:
    """The models of face recognition and liveness load, if recognition is enabled."""
    if not site.settings.recognition.enabled:
        return ok("disabled")
    try:
        liveness_from(site.settings)
        embedders = embedders_from(site.settings)
        masked = "" if embedders.upper is None else f", {embedders.upper.name} for masked faces,"
        return ok(f"{embedders.whole.name}{masked} and liveness loaded")
    except ExtraMissing as exc:
        return failed(str(exc), *_EXTRA)
    except PackRefused as exc:
        return failed(
            str(exc),
            "请确认许可（[recognition] accept_non_commercial）或改用其他模型。",
            "Accept its licence ([recognition] accept_non_commercial) or choose another pack.",
        )
    except ModelError as exc:
        return failed(
            str(exc),
            "请放入人脸识别模型文件：edge-agent models list 列出所需文件。",
            "Add the model packs: edge-agent models list shows them.",
        )


def prompts(site: Site) -> CheckResult:
    """Every prompt has an audible recording."""
    remedy = (
        "请重装软件包，或运行 edge-agent prompts build。",
        "Reinstall the package, or run edge-agent prompts build.",
    )
    try:
        faults = faults_in(site.prompts)
    except SettingsError as exc:
        return failed(str(exc), *remedy)
    if faults:
        return failed(f"{faults[0]}" + (f" and {len(faults) - 1} more" if len(faults) > 1 else ""), *remedy)
    return ok("complete and audible")


def calibration(site: Site) -> CheckResult:
    """The thermometer's calibration is for this sensor model and has not expired."""
    remedy = "请用黑体重新校准测温仪。", "Calibrate against a black body: edge-agent calibrate thermometer --help"
    chosen = site.settings.thermometer
    try:
        found = load_calibration(site.data_dir)
    except SettingsError as exc:
        return failed(str(exc), *remedy)
    if found is None:
        return ok(f"none; the settings have {chosen.offset_c:+g} °C")
    summary = f"offset {found.offset_c:+.2f} °C, until {found.expires_at:%Y-%m-%d}"
    if found.driver != chosen.driver:
        return warning(f"{summary}, for a {found.driver}: not used", *remedy)
    if site.now.wall >= found.expires_at:
        return failed(f"{summary}: expired", *remedy)
    return warning(summary, *remedy) if found.expires_at - site.now.wall < _CALIBRATION_NOTICE else ok(summary)


def alignment(site: Site) -> CheckResult:
    """The alignment of camera and thermometer matches the settings."""
    remedy = "请重新对准：edge-agent calibrate view --help", "Align them again: edge-agent calibrate view --help"
    try:
        found = load_view(site.data_dir)
    except SettingsError as exc:
        return failed(str(exc), *remedy)
    if found is None:
        return ok("none; [thermometer] covers is used")
    misfit = found.misfit(site.settings)
    return warning(f"{found.summary}, not used: {misfit}", *remedy) if misfit else ok(found.summary)


def store(site: Site) -> CheckResult:
    """The data folder is writable."""
    folder = site.data_dir
    remedy = (
        f"请检查数据目录的属主和挂载：install -d -m 0700 -o edge-agent {folder}。",
        f"Check the folder, its owner and its mount: install -d -m 0700 -o edge-agent {folder}",
    )
    try:
        if folder.stat().st_mode & stat.S_IRWXU != stat.S_IRWXU:
            return failed(f"{folder}: no write permission for its owner", *remedy)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"x")
    except OSError as exc:
        if exc.errno == errno.ENOSPC:
            return not_checked("the disk is full: see disk")
        return failed(f"{folder} is not writable: {exc.strerror}", *remedy)
    return ok(str(folder))


def sqlite(_site: Site) -> CheckResult:
    """SQLite is new enough."""
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        return failed(f"{sqlite3.sqlite_version} is too old", "请升级系统的 SQLite。", "Upgrade the system's SQLite.")
    return ok(sqlite3.sqlite_version)


def databases(site: Site) -> CheckResult:
    """The databases are intact, and no damaged one was set aside."""
    until_s = time.monotonic() + _CHECK_LIMIT_S
    present = [path for path in (site.data_dir / name for name in _DATABASES) if path.is_file()]
    for path in present:
        try:
            fault = check_file(path, limit_s=max(0.1, until_s - time.monotonic()))
        except TimeoutError:
            return not_checked(f"{path.name} is too large to be checked within {_CHECK_LIMIT_S:g} s")
        if fault:
            return failed(
                f"{path.name}: {fault}",
                "请重启 edge-agent：损坏的文件会被保留，未送达的记录会被抢救；若反复出现请更换存储卡。",
                "Restart edge-agent: it keeps the file and recovers pending records; if it recurs, replace the disk.",
            )
    asides = [each.name for path in present for each in aside_files(path)]
    if asides:
        return warning(
            f"{len(asides)} damaged files were set aside: {asides[0]}",
            "请取走该文件备查；若反复出现请更换存储卡。",
            "Move the file away for inspection; if it recurs, replace the disk.",
        )
    return ok(f"{', '.join(path.name for path in present)} intact" if present else "none yet")


async def outbox(site: Site) -> CheckResult:
    """The records that the platform has not acknowledged."""
    path = site.data_dir / "ledger.db"
    if not path.is_file():
        return ok("no records yet")
    try:
        pending = await read_outbox(path)
    except StoreFailed:
        return not_checked("the ledger cannot be read: see databases")
    found = f"{pending.count} records pending, {pending.parked} rejected"
    if pending.parked:
        return warning(
            found, "请在平台查看拒收原因。", "Ask the platform why it rejected them: edge-platform ledger verify"
        )
    if pending.count and pending.oldest_age_s > _LONG_OFFLINE.total_seconds():
        return warning(
            f"{found}, the oldest for {pending.oldest_age_s / 86400:.1f} days",
            "请检查网络；断网期间记录保存在本机。",
            "Check the network; until then the records are stored here.",
        )
    if pending.used_bytes > _FULL_SHARE * site.settings.ledger.budget_mb * 1_000_000:
        return warning(
            f"{found}, {pending.used_bytes / 1e6:.0f} of {site.settings.ledger.budget_mb} MB used",
            "请尽快恢复网络，或调大 [ledger] budget_mb。",
            "Restore the network soon, or raise [ledger] budget_mb.",
        )
    return ok(found)


CHECKS = (
    Check("rights", rights),
    Check("policy", policy),
    Check("model", model, limit_s=20.0),
    Check("recognition", recognition, limit_s=20.0),
    Check("prompts", prompts),
    Check("calibration", calibration),
    Check("alignment", alignment),
    Check("store", store),
    Check("sqlite", sqlite),
    Check("databases", databases, limit_s=_CHECK_LIMIT_S + 3.0),
    Check("outbox", outbox),
)

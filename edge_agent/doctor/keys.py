"""Keys and secrets: whether they are there, and who may read them."""

from __future__ import annotations

import contextlib
import stat
from pathlib import Path

from config.credentials import secret_path
from config.errors import SettingsError
from edge_agent.box.key_files import read_community_key, signing_key
from edge_agent.doctor.report import Check, CheckResult, Site, failed, not_checked, ok, warning
from edge_agent.privacy.key_file import load_cipher_if_present
from edge_agent.staff.pin import PinLock


def staff_pin(site: Site) -> CheckResult:
    """Somebody can enter the staff view."""
    path = _readable(site.settings.staff.pin_hash_file)
    if PinLock(path).is_set:
        return ok("set")
    return warning(
        f"none in {path}: the staff view is shut",
        "请设置工作人员密码：edge-agent staff set-pin。",
        "Set it: edge-agent staff set-pin",
    )


def community_key(site: Site) -> CheckResult:
    """Document numbers can be hashed."""
    try:
        read_community_key(_readable(site.settings.directory.community_key_file))
    except SettingsError as exc:
        return failed(
            str(exc), "请从平台取得社区密钥。", "Fetch the community key from the platform and put it into that file."
        )
    return ok("readable")


def orders_key(site: Site) -> CheckResult:
    """Orders of the platform can be proven."""
    remedy = (
        "请从平台取得签名公钥并写入 [platform] signing_key_file。",
        "Fetch the platform's public key and name it in [platform] signing_key_file.",
    )
    try:
        key = signing_key(site.settings)
    except SettingsError as exc:
        return failed(str(exc), *remedy)
    return ok("readable") if key else warning("none: the platform's orders are not heard", *remedy)


def at_rest_key(site: Site) -> CheckResult:
    """Personal data on the disk can be opened."""
    try:
        opener = load_cipher_if_present(site.settings)
    except SettingsError as exc:
        return failed(
            str(exc),
            "请更正密钥文件的内容或权限；不要新建密钥。",
            "Put the file right, its content or its rights; make no new key.",
        )
    if opener is None:
        return warning(
            f"none in {secret_path(site.settings.privacy.key_file)}",
            "请以管理员身份运行 edge-agent privacy make-key，或 edge-agent provision。",
            "Have it made as root: edge-agent privacy make-key, or edge-agent provision",
        )
    return ok("readable")


def permissions(site: Site) -> CheckResult:
    """Only the agent reads secrets and records."""
    if not site.data_dir.is_dir():
        return not_checked("there is no data folder: see store")
    home = site.data_dir.stat()
    for path in secrets(site):
        if not path.is_file():
            continue
        found = path.stat()
        allowed = 0o740 if found.st_gid == home.st_gid else 0o700
        if found.st_mode & 0o777 & ~allowed:
            return failed(
                f"{path} may be read by others ({stat.S_IMODE(found.st_mode):04o})",
                f"请收紧权限：chmod 0600 {path}。",
                f"Shut it: chmod 0600 {path}",
            )
        if found.st_uid not in (0, home.st_uid):
            return failed(
                f"{path} belongs to another user ({found.st_uid})",
                f"请更正属主：chown --reference={site.data_dir} {path}。",
                f"Give it back: chown --reference={site.data_dir} {path}",
            )
    if home.st_mode & 0o077:
        return failed(
            f"{site.data_dir} may be entered by others ({stat.S_IMODE(home.st_mode):04o})",
            f"请收紧权限：chmod 0700 {site.data_dir}。",
            f"Shut it: chmod 0700 {site.data_dir}",
        )
    return ok("secrets and records are the agent's alone")


def secrets(site: Site) -> list[Path]:
    """Every file that others must not read."""
    settings = site.settings
    named = [
        settings.directory.community_key_file,
        settings.platform.key_file,
        settings.staff.pin_hash_file,
        settings.privacy.key_file,
    ]
    if "@" in settings.camera.source:
        named.append(str(site.config))  # a network camera's password
    return [secret_path(each) for each in named]


def _readable(named: str) -> Path:
    """The file of a secret, there or not. Raises PermissionError where this user may not look."""
    path = secret_path(named)
    with contextlib.suppress(FileNotFoundError):
        path.open("rb").close()
    return path


CHECKS = (
    Check("staff PIN", staff_pin),
    Check("community key", community_key),
    Check("orders key", orders_key),
    Check("at-rest key", at_rest_key),
    Check("permissions", permissions),
)

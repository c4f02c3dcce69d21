"""Checks of keys and secrets: whether they exist and who can read them."""

from __future__ import annotations

import contextlib
import stat
from pathlib import Path

from config.credentials import secret_path, source_of
from config.errors import SettingsError
from edge_agent.box.key_files import read_community_key, signing_key
from edge_agent.doctor.report import Check, CheckResult, Site, failed, not_checked, ok, warning
from edge_agent.privacy.key_file import load_cipher_if_present
from edge_agent.staff.pin import PinLock
from sync.redaction import may_hold_password


def staff_pin(site: Site) -> CheckResult:
    """A staff PIN is set."""
    path = _readable(site.settings.staff.pin_hash_file)
    if PinLock(path).is_set:
        return ok("set")
    return warning(
        f"none in {source_of(path)}: the staff view cannot be opened",
        "请设置工作人员 PIN：edge-agent staff set-pin。",
        "Set it: edge-agent staff set-pin",
    )


def community_key(site: Site) -> CheckResult:
    """The key that hashes document numbers can be read."""
    try:
        read_community_key(_readable(site.settings.directory.community_key_file))
    except SettingsError as exc:
        return failed(
            str(exc), "请从平台取得社区密钥。", "Fetch the community key from the platform and store it in that file."
        )
    return ok("readable")


def orders_key(site: Site) -> CheckResult:
    """The key that verifies platform commands can be read."""
    remedy = (
        "请从平台取得签名公钥并写入 [platform] signing_key_file。",
        "Fetch the platform's public key and name it in [platform] signing_key_file.",
    )
    try:
        key = signing_key(site.settings)
    except SettingsError as exc:
        return failed(str(exc), *remedy)
    return ok("readable") if key else warning("none: platform commands are ignored", *remedy)


def at_rest_key(site: Site) -> CheckResult:
    """The key that encrypts personal data can be read."""
    try:
        cipher = load_cipher_if_present(site.settings)
    except SettingsError as exc:
        return failed(
            str(exc),
            "请更正密钥文件的内容或权限；不要新建密钥。",
            "Correct the content or the permissions of the file; do not create a new key.",
        )
    if cipher is None:
        return warning(
            f"none in {source_of(secret_path(site.settings.privacy.key_file))}",
            "请以管理员身份运行 edge-agent privacy make-key，或 edge-agent provision。",
            "Create it as root: edge-agent privacy make-key, or edge-agent provision",
        )
    return ok("readable")


def permissions(site: Site) -> CheckResult:
    """Only the agent can read secrets and records."""
    if not site.data_dir.is_dir():
        return not_checked("no data folder: see store")
    home = site.data_dir.stat()
    for path in secrets(site):
        if not path.is_file():
            continue
        found, named = path.stat(), source_of(path)
        allowed = 0o740 if found.st_gid == home.st_gid else 0o700
        if found.st_mode & 0o777 & ~allowed:
            return failed(
                f"{named} is readable by others ({stat.S_IMODE(found.st_mode):04o})",
                f"请收紧权限：chmod 0600 {named}。",
                f"Restrict it: chmod 0600 {named}",
            )
        if found.st_uid not in (0, home.st_uid):
            return failed(
                f"{named} belongs to another user ({found.st_uid})",
                f"请更正属主：chown --reference={site.data_dir} {named}。",
                f"Restore the owner: chown --reference={site.data_dir} {named}",
            )
    if home.st_mode & 0o077:
        return failed(
            f"{site.data_dir} is accessible to others ({stat.S_IMODE(home.st_mode):04o})",
            f"请收紧权限：chmod 0700 {site.data_dir}。",
            f"Restrict it: chmod 0700 {site.data_dir}",
        )
    return ok("only the agent can read secrets and records")


def secrets(site: Site) -> list[Path]:
    """Every file that other users must not read."""
    settings = site.settings
    named = [
        settings.directory.community_key_file,
        settings.platform.key_file,
        settings.staff.pin_hash_file,
        settings.privacy.key_file,
    ]
    if may_hold_password(settings.camera.source):
        named.append(str(site.config))  # it contains a network camera's password
    return [secret_path(each) for each in named]


def _readable(named: str) -> Path:
    """The path of a secret, existing or not. Raises PermissionError if this user cannot read it."""
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

"""Sets up one box: place, devices, certificate, keys. The answers are checked before anything is written."""

from __future__ import annotations

import contextlib
import os
import tomllib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from config.credentials import make_secret_folder, secret_path
from config.errors import SettingsError
from config.settings import Settings
from edge_agent.box.key_files import make_data_dir, read_community_key
from edge_agent.privacy.key_file import load_or_make_cipher
from edge_agent.provision.answers import Answers
from edge_agent.provision.settings_file import (
    Sections,
    checked_settings,
    merged,
    read_sections,
    write_settings,
)
from edge_agent.readiness.can_run import check_can_run
from edge_agent.staff.pin import write_pin
from sync.contract.enrolment import Invitation
from sync.contract.signed import read_public_key
from sync.edge.identity.box_identity import BoxIdentity
from sync.edge.identity.enrolment import Enrolled, enrol
from sync.errors import StoreFailed
from sync.storage.atomic_files import replace_whole
from sync.storage.text_file import read_pem

SIGNING_KEY = "platform-signing.pem"
ENROL_LIMIT_S = 900.0

FindDevices = Callable[[], Awaitable[str]]
"""Finds the connected devices and returns their settings as TOML."""


@dataclass(frozen=True, slots=True)
class Provisioned:
    """The result; `until` is the end of the new certificate's validity, None if none was requested."""

    settings: Settings
    found: Sections
    until: datetime | None


async def provision(
    answers: Answers,
    config: Path,
    find_devices: FindDevices,
    *,
    serial: str,
    on_waiting: Callable[[float], None],
    limit_s: float = ENROL_LIMIT_S,
) -> Provisioned:
    """Set up the box and write the settings to `config`; `serial` is the serial number that the box reports.

    A second run changes only what is answered and keeps the rest. Raises SettingsError and SyncError; the settings are
    unchanged then, and this box can use its token for another try.
    """
    check_rights(config)
    invitation = Invitation.parse(answers.invitation) if answers.invitation else None
    if invitation is not None:
        check_serial(invitation, answers.serial or serial)
    community_key = load_community_key(answers)
    signing_key = load_signing_key(answers)
    found: Sections = tomllib.loads(await find_devices()) if answers.probe else {}
    sections = merged(read_sections(config), found, answered_sections(answers, config), answers.settings)
    settings = checked_settings(sections)
    keys = _coming_keys(settings, answers, config)
    check_can_run(settings, keys if invitation is None else {*keys, Path(settings.platform.cert_file)})
    data_dir = make_data_dir(Path(settings.box.data_dir))
    enrolled = None
    if invitation is not None:
        with _owned_by_agent(data_dir / "identity"):
            enrolled = await enrol(
                BoxIdentity(data_dir / "identity"), invitation, limit_s=limit_s, on_waiting=on_waiting
            )
        settings = checked_settings(merged(sections, _identity(enrolled)))
        check_can_run(settings, keys)
    with _os_errors_as_store_failed():
        _write_secrets(settings, answers, config, community_key, signing_key)
    write_settings(config, settings)
    return Provisioned(settings, found, enrolled.until if enrolled else None)


def check_rights(config: Path) -> None:
    """Raises SettingsError where the settings cannot be written."""
    if not os.access(config.parent, os.W_OK | os.X_OK):
        raise SettingsError(
            f"{config.parent}: 不存在或无法写入：请先安装（edge-agent install --apply），"
            "再以管理员身份运行 sudo edge-agent provision。\n"
            f"{config.parent} does not exist or is not writable: install first (edge-agent install --apply), then run"
            " as root: sudo edge-agent provision"
        )


def check_serial(invitation: Invitation, own: str) -> None:
    """Raises SettingsError for the enrolment sheet of another box."""
    if invitation.serial != own:
        raise SettingsError(
            f"登记单是给序列号 {invitation.serial} 的设备的，本机为 {own or '未知'}；"
            "若机身标签与登记单一致，请在 serial 中填写标签上的序列号。\n"
            f"The sheet is for the box with serial {invitation.serial}; this box reports {own or 'none'}. If the label"
            " on the box agrees with the sheet, give the number on the label as `serial`."
        )


def answered_sections(answers: Answers, config: Path) -> Sections:
    """The answers as sections of the settings."""
    sections: Sections = {
        "box": {"checkpoint": answers.checkpoint, "lane": answers.lane, "direction": answers.direction},
        "speaker": {"language": answers.language},
    }
    platform = {"url": answers.platform_url} if answers.platform_url else {}
    if answers.signing_key:
        platform["signing_key_file"] = str(config.parent / SIGNING_KEY)
    return {**sections, "platform": platform} if platform else sections


def _identity(enrolled: Enrolled) -> Sections:
    """District and name from the certificate, and the paths of its files."""
    files = enrolled.files
    paths = {"ca_file": str(files.ca), "cert_file": str(files.certificate), "key_file": str(files.key)}
    return {"box": {"district": enrolled.district, "name": enrolled.box}, "platform": paths}


def _coming_keys(settings: Settings, answers: Answers, config: Path) -> set[Path]:
    """The key files that this run writes."""
    community = {secret_path(settings.directory.community_key_file)} if answers.community_key else set()
    return community | ({config.parent / SIGNING_KEY} if answers.signing_key else set())


def load_community_key(answers: Answers) -> bytes | None:
    """The community key, None without an answer. Raises SettingsError."""
    return read_community_key(Path(answers.community_key)) if answers.community_key else None


def load_signing_key(answers: Answers) -> bytes | None:
    """The PEM of the platform's public key, validated. Raises SettingsError."""
    if not answers.signing_key:
        return None
    path = Path(answers.signing_key)
    try:
        read_public_key(path)
        return read_pem(path)
    except (OSError, ValueError) as exc:
        raise SettingsError(f"signing_key = {answers.signing_key!r}: {exc}") from exc


def _write_secrets(
    settings: Settings, answers: Answers, config: Path, community_key: bytes | None, signing_key: bytes | None
) -> None:
    if community_key is not None:
        key_file = secret_path(settings.directory.community_key_file)
        make_secret_folder(key_file)
        replace_whole(key_file, f"{community_key.hex()}\n".encode())
    if signing_key is not None:
        replace_whole(config.parent / SIGNING_KEY, signing_key, 0o644)
    if answers.staff_pin:
        write_pin(secret_path(settings.staff.pin_hash_file), answers.staff_pin)
    make_secret_folder(secret_path(settings.privacy.key_file))
    load_or_make_cipher(settings)


@contextlib.contextmanager
def _os_errors_as_store_failed() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise StoreFailed(f"{exc.filename}: {exc.strerror}") from exc


@contextlib.contextmanager
def _owned_by_agent(folder: Path) -> Iterator[None]:
    """At the end give `folder` to the agent's user, even on errors: the agent renews the certificate in it."""
    with _os_errors_as_store_failed():
        try:
            yield
        finally:
            if os.geteuid() == 0 and folder.exists():
                owner = folder.parent.stat()
                for path in (folder, *folder.rglob("*")):
                    os.lchown(path, owner.st_uid, owner.st_gid)


def summary(done: Provisioned, config: Path, devices: Sequence[str]) -> dict[str, object]:
    """The result for JSON."""
    box = done.settings.box
    return {
        "district": box.district,
        "box": box.name,
        "checkpoint": box.checkpoint,
        "certificate_until": None if done.until is None else done.until.isoformat(),
        "devices": list(devices),
        "found": msgspec.to_builtins(done.found),
        "settings": str(config),
    }

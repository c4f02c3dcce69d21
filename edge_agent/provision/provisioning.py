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
from edge_agent.privacy.key_file import check_no_key_is_lost, load_cipher_if_present, write_key_file
from edge_agent.privileges.as_owner import as_owner_of
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
from sync.edge.identity.enrolment import enrol
from sync.errors import StoreFailed
from sync.storage.atomic_files import replace_whole
from sync.storage.text_file import read_pem

SIGNING_KEY = "platform-signing.pem"
ENROL_LIMIT_S = 900.0
# All that a search for devices may set.
_DEVICES = ("camera", "thermometer", "ranger", "reader", "card_reader", "gate")

FindDevices = Callable[[], Awaitable[str]]
"""Finds the connected devices and returns their settings as TOML."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is known before anything is done: the answers, and what root read for them."""

    answers: Answers
    config: Path
    invitation: Invitation | None
    community_key: bytes | None
    signing_key: bytes | None
    before: Sections

    def sections(self, found: Sections) -> Sections:
        """The sections of the settings with the devices that were `found`; an answer comes before what was found."""
        devices = {name: section for name, section in found.items() if name in _DEVICES}
        return merged(self.before, devices, answered_sections(self.answers, self.config), self.answers.settings)


class Established(msgspec.Struct, frozen=True):
    """What the agent's user did: devices found, and the certificate of the box; the names are "" without a new one."""

    found: Sections
    district: str = ""
    box: str = ""
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Provisioned:
    """The result; `until` is the end of the new certificate's validity, None if none was requested."""

    settings: Settings
    found: Sections
    until: datetime | None


def make_plan(answers: Answers, config: Path, *, serial: str) -> Plan:
    """Check the answers and read the files that they name; `serial` is the serial number that the box reports.

    Raises SettingsError.
    """
    check_rights(config)
    invitation = Invitation.parse(answers.invitation) if answers.invitation else None
    if invitation is not None:
        check_serial(invitation, answers.serial or serial)
    keys = load_community_key(answers), load_signing_key(answers)
    return Plan(answers, config, invitation, *keys, read_sections(config))


async def establish(
    plan: Plan, find_devices: FindDevices, *, on_waiting: Callable[[float], None], limit_s: float = ENROL_LIMIT_S
) -> Established:
    """Find devices, check the settings, enrol the box; run it as the owner of the data folder.

    Raises SettingsError and SyncError; this box can use its token for another try then.
    """
    found: Sections = tomllib.loads(await find_devices()) if plan.answers.probe else {}
    settings = checked_settings(plan.sections(found))
    keys = _coming_keys(settings, plan)
    enrols = plan.invitation is not None
    check_can_run(settings, {*keys, Path(settings.platform.cert_file)} if enrols else keys)
    if load_cipher_if_present(settings) is None:
        check_no_key_is_lost(settings)
    data_dir = make_data_dir(Path(settings.box.data_dir))
    if plan.invitation is None:
        return Established(found)
    with _os_errors_as_store_failed():
        identity = BoxIdentity(data_dir / "identity")
        enrolled = await enrol(identity, plan.invitation, limit_s=limit_s, on_waiting=on_waiting)
    established = Established(found, enrolled.district, enrolled.box, enrolled.until)
    check_can_run(_settings(plan, established), keys)
    return established


def finish(plan: Plan, established: Established) -> Provisioned:
    """Write secrets and settings. Raises SettingsError and SyncError; the settings are unchanged then.

    A second run changes only what is answered and keeps the rest. Opens nothing in a folder of another user, except as
    that user.
    """
    settings = _settings(plan, established)
    with _os_errors_as_store_failed():
        _write_secrets(settings, plan)
    write_settings(plan.config, settings)
    return Provisioned(settings, established.found, established.until)


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


def _settings(plan: Plan, established: Established) -> Settings:
    """The settings to write, with district and name from the certificate and the paths of its files.

    Raises SettingsError.
    """
    sections = plan.sections(established.found)
    settings = checked_settings(sections)
    if not established.box:
        return settings
    files = BoxIdentity(Path(settings.box.data_dir) / "identity").files
    paths = {"ca_file": str(files.ca), "cert_file": str(files.certificate), "key_file": str(files.key)}
    names = {"district": established.district, "name": established.box}
    return checked_settings(merged(sections, {"box": names, "platform": paths}))


def _coming_keys(settings: Settings, plan: Plan) -> set[Path]:
    """The key files that this run writes."""
    community = {secret_path(settings.directory.community_key_file)} if plan.community_key else set()
    return community | ({plan.config.parent / SIGNING_KEY} if plan.signing_key else set())


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


def _write_secrets(settings: Settings, plan: Plan) -> None:
    if plan.community_key is not None:
        _put(secret_path(settings.directory.community_key_file), f"{plan.community_key.hex()}\n".encode(), 0o600)
    if plan.signing_key is not None:
        _put(plan.config.parent / SIGNING_KEY, plan.signing_key, 0o644)
    if plan.answers.staff_pin:
        pin_file = secret_path(settings.staff.pin_hash_file)
        as_owner_of(pin_file.parent, lambda: write_pin(pin_file, plan.answers.staff_pin))
    as_owner_of(secret_path(settings.privacy.key_file).parent, lambda: _make_missing_key(settings))


def _put(path: Path, content: bytes, mode: int) -> None:
    def write() -> None:
        make_secret_folder(path)
        replace_whole(path, content, mode)

    as_owner_of(path.parent, write)


def _make_missing_key(settings: Settings) -> None:
    if load_cipher_if_present(settings) is None:
        write_key_file(settings, with_folder=True)


@contextlib.contextmanager
def _os_errors_as_store_failed() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise StoreFailed(f"{exc.filename}: {exc.strerror}") from exc


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

"""Whether `edge-agent run` can start with some settings, without opening a device or a connection.

Provision, doctor, run and orders of the platform ask the same question here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from config.credentials import secret_path
from config.errors import SettingsError
from config.settings import Settings
from drivers.errors import DriverError
from edge_agent.box.devices import (
    camera_from,
    card_reader_from,
    gate_from,
    ranger_from,
    reader_from,
    speaker_from,
    thermometer_from,
)
from edge_agent.box.extras import check_packs
from edge_agent.box.key_files import read_community_key, signing_key, tls_files
from edge_agent.calibration.correction import load_calibration
from edge_agent.calibration.view.view_file import load_view
from edge_agent.kiosk.errors import KioskError
from edge_agent.kiosk.guard import check_loopback_host
from edge_agent.policy.rules import load_policy
from edge_agent.privacy.key_file import check_cipher
from models.errors import ModelError
from sync.errors import SyncError
from sync.mqtt.broker_address import BrokerAddress, parse_broker_url
from sync.redaction import redact

_USER_ERRORS = (SettingsError, DriverError, ModelError, SyncError, KioskError)
_NOT_ENROLLED = (
    "本机没有证书：请用登记单运行 edge-agent provision。"
    " This box has no certificate: run edge-agent provision with the enrolment sheet"
)
Coming = Collection[Path]
"""Files that will be written before the agent starts."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why the agent would not start; `check` is the check of doctor that looks at the same part."""

    check: str
    message: str


def find_faults(settings: Settings, coming: Coming = ()) -> list[Fault]:
    """Every reason why the agent would not start; files in `coming` need not exist yet."""
    found = []
    for check, raise_fault in _CHECKS.items():
        try:
            raise_fault(settings, coming)
        except _USER_ERRORS as exc:
            found.append(Fault(check, redact(str(exc))))
    return found


def check_can_run(settings: Settings, coming: Coming = ()) -> None:
    """Raise SettingsError, one line for each reason why the agent would not start."""
    _raise(find_faults(settings, coming))


def check_change(before: Settings, after: Settings) -> None:
    """Raise SettingsError for the reasons that `after` has and `before` has not: a change must not add one."""
    known = find_faults(before)
    _raise([fault for fault in find_faults(after) if fault not in known])


def _raise(faults: list[Fault]) -> None:
    if faults:
        raise SettingsError("\n".join(fault.message for fault in faults))


def _device(section: str, make: Callable[[Settings], object]) -> Callable[[Settings, Coming], None]:
    def check(settings: Settings, _coming: Coming) -> None:
        try:
            make(settings)
        except DriverError as exc:
            raise SettingsError(f"[{section}]: {exc}") from exc

    return check


def _policy(settings: Settings, _coming: Coming) -> None:
    load_policy(Path(settings.policy.file) if settings.policy.file else None)


def _community_key(settings: Settings, coming: Coming) -> None:
    path = secret_path(settings.directory.community_key_file)
    if path not in coming:
        read_community_key(path)


def _orders_key(settings: Settings, coming: Coming) -> None:
    if Path(settings.platform.signing_key_file) not in coming:
        signing_key(settings)


def _link(settings: Settings, coming: Coming) -> None:
    files = tls_files(settings.platform)
    try:
        address = parse_broker_url(settings.platform.url)
        if address.scheme == "mqtts" and files.certificate not in coming:
            if not Path(settings.platform.cert_file).exists():
                raise SettingsError(f"[platform] cert_file = {settings.platform.cert_file!r}: {_NOT_ENROLLED}")
            BrokerAddress.from_url(settings.platform.url, files)
    except SyncError as exc:
        raise SettingsError(f"[platform]: {exc}") from exc


def _kiosk(settings: Settings, _coming: Coming) -> None:
    check_loopback_host(settings.kiosk.host, settings.kiosk.port)


_CHECKS: dict[str, Callable[[Settings, Coming], object]] = {
    "camera": _device("camera", camera_from),
    "thermometer": _device("thermometer", thermometer_from),
    "ranger": _device("ranger", ranger_from),
    "reader": _device("reader", reader_from),
    "card_reader": _device("card_reader", card_reader_from),
    "gate": _device("gate", gate_from),
    "speaker": _device("speaker", speaker_from),
    "model": lambda settings, _coming: check_packs(settings),
    "calibration": lambda settings, _coming: load_calibration(Path(settings.box.data_dir)),
    "alignment": lambda settings, _coming: load_view(Path(settings.box.data_dir)),
    "policy": _policy,
    "platform": _link,
    "community key": _community_key,
    "orders key": _orders_key,
    "at-rest key": lambda settings, _coming: check_cipher(settings),
    "kiosk port": _kiosk,
}

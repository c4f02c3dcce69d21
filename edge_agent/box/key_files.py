"""Files and folders that the settings name: creates the data folder, reads keys."""

from __future__ import annotations

from pathlib import Path

from config.credentials import secret_path
from config.errors import SettingsError
from config.settings import PlatformSettings, Settings
from sync.contract.signed import OrderKey, read_public_key
from sync.mqtt.tls_files import TlsFiles
from sync.storage.text_file import NotText, read_hex_key


def make_data_dir(path: Path) -> Path:
    """The data folder, created if missing. Raises SettingsError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise SettingsError(f"[box] data_dir = {str(path)!r}: cannot be made: {exc.strerror}") from exc
    return path


def read_community_key(path: Path) -> bytes:
    """The community key: 64 hex digits in a file of its own. Raises SettingsError."""
    try:
        key = read_hex_key(path)
    except OSError as exc:
        raise SettingsError(f"[directory] community_key_file = {str(path)!r}: {exc.strerror}") from exc
    except NotText as exc:
        raise SettingsError(f"[directory] community_key_file: {exc}") from exc
    except ValueError as exc:
        raise SettingsError(f"[directory] community_key_file = {str(path)!r}: expected 64 hex digits") from exc
    if len(key) != 32:
        raise SettingsError(
            f"[directory] community_key_file = {str(path)!r}: expected 64 hex digits, got {2 * len(key)}"
        )
    return key


def tls_files(platform: PlatformSettings) -> TlsFiles:
    """The files of the link to the platform."""
    return TlsFiles(
        ca=Path(platform.ca_file),
        certificate=Path(platform.cert_file),
        key=secret_path(platform.key_file),
        passphrase=secret_path(platform.key_passphrase_file) if platform.key_passphrase_file else None,
    )


def signing_key(settings: Settings) -> OrderKey | None:
    """The key that verifies the platform's orders, None where none is set. Raises SettingsError."""
    path = settings.platform.signing_key_file
    try:
        return read_public_key(Path(path)) if path else None
    except (OSError, ValueError) as exc:
        raise SettingsError(f"[platform] signing_key_file = {path!r}: {exc}") from exc

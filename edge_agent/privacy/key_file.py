"""The key that encrypts personal data on this box: one file, created once and never replaced."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from config.credentials import make_secret_folder, secret_path, source_of
from config.errors import SettingsError
from config.settings import Settings
from sync.storage.encryption import Algorithm, KeyedCipher, is_encrypted, make_key
from sync.storage.text_file import NotText, read_hex_key

_FOR_OTHERS = 0o007
_STORES = ("ledger.db", "directory.db", "faces.db")
_ALGORITHMS = {"aes-256-gcm": Algorithm.AES_256_GCM, "sm4-gcm": Algorithm.SM4_GCM}


def load_or_make_cipher(settings: Settings) -> KeyedCipher:
    """The cipher of this box's databases; creates the key where there is none. Raises SettingsError."""
    if not secret_path(settings.privacy.key_file).exists():
        make_key_file(settings)
    return _read(settings)


def load_cipher_if_present(settings: Settings) -> KeyedCipher | None:
    """The cipher of this box's databases, None without a key file. Raises SettingsError."""
    return _read(settings) if secret_path(settings.privacy.key_file).exists() else None


def check_cipher(settings: Settings) -> None:
    """Raise SettingsError where the key cannot be used, or is missing and cannot be replaced by a new one."""
    if load_cipher_if_present(settings) is None:
        try:
            _check_nothing_is_encrypted(settings)
        except sqlite3.Error:
            return  # a damaged database is set aside at the start


def make_key_file(settings: Settings) -> None:
    """Create the key file; refused where a database is encrypted with a lost key. Raises SettingsError."""
    check_no_key_is_lost(settings)
    write_key_file(settings)


def check_no_key_is_lost(settings: Settings) -> None:
    """Raise SettingsError where a database is encrypted with a key that is not there, or cannot be read."""
    try:
        _check_nothing_is_encrypted(settings)
    except sqlite3.Error as exc:
        raise _fault(settings, f"not created, because a database cannot be read: {exc}") from exc


def write_key_file(settings: Settings, *, with_folder: bool = False) -> None:
    """Create the key file, without a look at the databases. Raises SettingsError.

    `with_folder`: create its folder too, for a command that root runs.
    """
    path = secret_path(settings.privacy.key_file)
    try:
        if with_folder:
            make_secret_folder(path)
        make_key(path)
    except OSError as exc:
        raise _fault(
            settings,
            f"cannot be created: {exc.strerror}. 请以管理员身份运行 edge-agent privacy make-key。"
            " Run as root: edge-agent privacy make-key",
        ) from exc


def _check_nothing_is_encrypted(settings: Settings) -> None:
    """Raise SettingsError where a database is encrypted, and sqlite3.Error where one cannot be read."""
    encrypted = [name for name in _STORES if is_encrypted(Path(settings.box.data_dir) / name)]
    if encrypted:
        raise _fault(
            settings,
            f"missing, and {' and '.join(encrypted)} are encrypted with it. 请放回密钥文件；文件未改动。Restore the"
            " key file; nothing was changed. Without it the data cannot be read: rename each file to"
            " NAME.damaged-lost-key, and the agent starts a new ledger epoch",
        )


def _read(settings: Settings) -> KeyedCipher:
    path = secret_path(settings.privacy.key_file)
    named = source_of(path)
    try:
        if path.stat().st_mode & _FOR_OTHERS:
            raise _fault(settings, f"others may read it. 请运行 chmod 600 {named}。Run: chmod 600 {named}")
        return KeyedCipher(read_hex_key(path), _ALGORITHMS[settings.privacy.algorithm])
    except OSError as exc:
        raise _fault(settings, f"{exc.strerror}") from exc
    except NotText as exc:
        raise _fault(settings, str(exc)) from exc
    except ValueError as exc:
        raise _fault(settings, "expected 64 hex digits") from exc


def _fault(settings: Settings, what: str) -> SettingsError:
    return SettingsError(f"[privacy] key_file = {settings.privacy.key_file!r}: {what}")

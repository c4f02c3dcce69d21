"""The key that personal data are sealed with on this box: a file of its own, made once and never made anew."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from config.credentials import secret_path
from config.errors import SettingsError
from config.settings import Settings
from sync.storage.encryption import Algorithm, KeyedCipher, is_encrypted, make_key

_FOR_OTHERS = 0o007
_STORES = ("ledger.db", "directory.db", "faces.db")
_ALGORITHMS = {"aes-256-gcm": Algorithm.AES_256_GCM, "sm4-gcm": Algorithm.SM4_GCM}


def load_or_make_cipher(settings: Settings) -> KeyedCipher:
    """What seals the stores of this box; the first start makes its key. Raises SettingsError."""
    if not secret_path(settings.privacy.key_file).exists():
        make_key_file(settings)
    return _read(settings)


def load_cipher_if_present(settings: Settings) -> KeyedCipher | None:
    """What opens the stores of this box for reading; None where there is no key. Raises SettingsError."""
    return _read(settings) if secret_path(settings.privacy.key_file).exists() else None


def make_key_file(settings: Settings) -> None:
    """Make the key where there is none and no store needs one that is gone. Raises SettingsError."""
    path = secret_path(settings.privacy.key_file)
    try:
        orphans = [name for name in _STORES if is_encrypted(Path(settings.box.data_dir) / name)]
        if orphans:
            raise _fault(
                settings,
                f"missing, and {' and '.join(orphans)} are sealed with it. 请放回密钥文件；文件未改动。Put the key file"
                " back. Without it nobody can read them: set them aside as NAME.damaged-lost-key, and a new ledger"
                " begins under a new epoch",
            )
        make_key(path)
    except sqlite3.Error as exc:
        raise _fault(settings, f"not made, because a store cannot be read: {exc}") from exc
    except OSError as exc:
        raise _fault(
            settings,
            f"cannot be made: {exc.strerror}. 请以管理员身份运行 edge-agent privacy make-key。"
            " Make it as root: edge-agent privacy make-key",
        ) from exc


def _read(settings: Settings) -> KeyedCipher:
    path = secret_path(settings.privacy.key_file)
    try:
        if path.stat().st_mode & _FOR_OTHERS:
            raise _fault(settings, f"others may read it. 请运行 chmod 600 {path}。Run: chmod 600 {path}")
        return KeyedCipher(
            bytes.fromhex(path.read_text(encoding="ascii").strip()), _ALGORITHMS[settings.privacy.algorithm]
        )
    except OSError as exc:
        raise _fault(settings, f"{exc.strerror}") from exc
    except ValueError as exc:
        raise _fault(settings, "expected 64 hex digits") from exc


def _fault(settings: Settings, what: str) -> SettingsError:
    return SettingsError(f"[privacy] key_file = {settings.privacy.key_file!r}: {what}")

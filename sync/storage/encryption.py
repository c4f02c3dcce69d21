"""Encrypts personal data row by row, so that the file, its free pages and copies of it contain no plaintext.

An encrypted value is `algorithm (1) | key id (4) | nonce (12) | ciphertext | tag (16)`, lengths in bytes. The tag
authenticates the header and the place of the row, so that a value is valid in its own row only. A file is encrypted as
a whole or not at all: its `user_version` is the id of its key, negative while free pages may still contain plaintext.
The `application_id` repeats it, so that a damaged header is not taken for another key.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import secrets
import sqlite3
from collections.abc import Callable, Iterable
from enum import IntEnum
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import ciphers
from cryptography.hazmat.primitives.ciphers import algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sync.errors import DamagedFile, DecryptionFailed, WrongKey
from sync.storage.atomic_files import write_new
from sync.storage.damage import connect_read_only

log = logging.getLogger(__name__)

KEY_BYTES = 32
_ID_BYTES, _NONCE_BYTES, _TAG_BYTES = 4, 12, 16
_HEAD_BYTES = 1 + _ID_BYTES
_SHORTEST = _HEAD_BYTES + _NONCE_BYTES + _TAG_BYTES
_INFO = b"sentinel at rest/"
_PLAIN = 0x53454E54  # application_id of a file without encryption; 0: written before 0.2


class Algorithm(IntEnum):
    """Encryption algorithm; the number is the first byte of an encrypted value."""

    AES_256_GCM = 1
    SM4_GCM = 2  # GB/T 32907 in GCM mode, for operators that must use the national algorithms


class Cipher(Protocol):
    """Converts values to and from their stored form; `place` identifies the row and is authenticated."""

    def encrypt(self, plain: bytes, place: str) -> bytes:
        """The stored form of `plain` at `place`."""

    def decrypt(self, stored: bytes, place: str) -> bytes:
        """The plaintext of the value `stored` at `place`. Raises DecryptionFailed."""


class NoEncryption:
    """Stores values as plaintext: for simulations and benchmarks without data of real people."""

    def encrypt(self, plain: bytes, _place: str) -> bytes:
        return plain

    def decrypt(self, stored: bytes, _place: str) -> bytes:
        return stored


class KeyedCipher:
    """Encrypts with one algorithm and decrypts with all.

    Each algorithm has its own key, derived from the key of the box by HKDF-SHA256. Nonces are random, which is safe for
    2^32 values.
    """

    def __init__(self, key: bytes, algorithm: Algorithm = Algorithm.AES_256_GCM) -> None:
        """`key`: 32 bytes. Raises ValueError."""
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key must have {KEY_BYTES} bytes, not {len(key)}")
        digest = hashlib.sha256(_INFO + b"key id/" + key).digest()
        self.key_id = int.from_bytes(digest[:_ID_BYTES]) >> 1 or 1  # fits into a signed 32-bit integer and is not zero
        self._algorithm = algorithm
        id_bytes = self.key_id.to_bytes(_ID_BYTES)
        self._heads = {each: bytes([each]) + id_bytes for each in Algorithm}
        self._aes = AESGCM(_derive_key(key, Algorithm.AES_256_GCM, 32))
        self._sm4 = algorithms.SM4(_derive_key(key, Algorithm.SM4_GCM, 16))

    def encrypt(self, plain: bytes, place: str) -> bytes:
        head, nonce = self._heads[self._algorithm], secrets.token_bytes(_NONCE_BYTES)
        covered = head + place.encode()
        if self._algorithm is Algorithm.AES_256_GCM:
            return head + nonce + self._aes.encrypt(nonce, plain, covered)
        cipher = ciphers.Cipher(self._sm4, modes.GCM(nonce)).encryptor()
        cipher.authenticate_additional_data(covered)
        return head + nonce + cipher.update(plain) + cipher.finalize() + cipher.tag

    def decrypt(self, stored: bytes, place: str) -> bytes:
        if not isinstance(stored, bytes) or len(stored) < _SHORTEST:  # a damaged file may return any SQLite type
            raise DecryptionFailed("a stored value is not encrypted")
        head, rest = stored[:_HEAD_BYTES], stored[_HEAD_BYTES:]
        nonce, ciphertext = rest[:_NONCE_BYTES], rest[_NONCE_BYTES:]
        covered = head + place.encode()
        try:
            if head == self._heads[Algorithm.AES_256_GCM]:
                return self._aes.decrypt(nonce, ciphertext, covered)
            if head == self._heads[Algorithm.SM4_GCM]:
                cipher = ciphers.Cipher(self._sm4, modes.GCM(nonce, ciphertext[-_TAG_BYTES:])).decryptor()
                cipher.authenticate_additional_data(covered)
                return cipher.update(ciphertext[:-_TAG_BYTES]) + cipher.finalize()
        except InvalidTag:
            raise DecryptionFailed("a stored value was changed or moved") from None
        raise DecryptionFailed("a stored value is encrypted with another key, or not encrypted")


def _derive_key(key: bytes, algorithm: Algorithm, length: int) -> bytes:
    return HKDF(SHA256(), length, None, _INFO + algorithm.name.encode()).derive(key)


def make_key(path: Path) -> None:
    """Write a new key to `path`: 64 hex digits, readable by the owner only. Raises FileExistsError, OSError."""
    write_new(path, f"{secrets.token_hex(KEY_BYTES)}\n".encode())


def is_encrypted(path: Path) -> bool:
    """Whether `path` exists and needs a key. Raises sqlite3.Error, DamagedFile."""
    if not path.exists():
        return False
    with contextlib.closing(connect_read_only(path)) as connection:
        return _version(connection) != 0


def load_cipher(connection: sqlite3.Connection, cipher: KeyedCipher | None) -> Cipher:
    """The cipher for the rows of an existing file. Raises WrongKey, DamagedFile; the file is not changed."""
    version, mark = abs(_version(connection)), _mark(connection)
    if cipher is not None and version == cipher.key_id:
        return cipher
    if version == 0 and mark in (0, _PLAIN):
        return NoEncryption()
    if mark == _PLAIN or (cipher is not None and mark == cipher.key_id):
        raise DamagedFile("the header is damaged")
    given = "no key was given" if cipher is None else f"the given key is {cipher.key_id:08x}"
    [_, _, path] = connection.execute("PRAGMA database_list").fetchone()
    raise WrongKey(
        f"{path}: encrypted with key {version:08x}, but {given}. 密钥不符，文件未改动：请放回原来的密钥文件。"
        " Restore the key file with which it was encrypted; the file was not changed."
    )


def encrypt_file(
    connection: sqlite3.Connection, cipher: KeyedCipher | None, updates: Iterable[str], place: Callable[..., str]
) -> Cipher:
    """Encrypt a file that is still plaintext, including its free pages; return the cipher for its rows.

    Each of `updates` is an UPDATE in which `encrypted(body, …)` is the value encrypted at `place(…)`. If the disk is
    too full the whole file stays plaintext, and the next start tries again. Raises WrongKey.
    """
    current = load_cipher(connection, cipher)
    try:
        if cipher is not None and _version(connection) == 0:
            _encrypt_rows(connection, cipher, updates, place)
            current = cipher
        if cipher is not None and _version(connection) < 0:
            _erase_plaintext(connection, cipher.key_id)
        _write_mark(connection)
    except sqlite3.OperationalError as exc:
        if exc.sqlite_errorcode != sqlite3.SQLITE_FULL:
            raise
        log.warning("disk too full to encrypt the existing records; the next start tries again")
        with contextlib.suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # release the disk space of the attempt
    return current


def _encrypt_rows(
    connection: sqlite3.Connection, cipher: KeyedCipher, updates: Iterable[str], place: Callable[..., str]
) -> None:
    connection.create_function(
        "encrypted", -1, lambda body, *names: None if body is None else cipher.encrypt(body, place(*names))
    )
    connection.execute("BEGIN IMMEDIATE")
    try:
        for update in updates:
            connection.execute(update)
        connection.execute(f"PRAGMA user_version={-cipher.key_id}")
        _write_mark(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _erase_plaintext(connection: sqlite3.Connection, key_id: int) -> None:
    """Rewrite every page and empty the write-ahead log; if a reader prevents that, the next start tries again."""
    connection.execute("VACUUM")
    [busy, _, _] = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if not busy:
        connection.execute(f"PRAGMA user_version={key_id}")


def _write_mark(connection: sqlite3.Connection) -> None:
    mark = abs(_version(connection)) or _PLAIN
    if _mark(connection) != mark:
        connection.execute(f"PRAGMA application_id={mark}")


def _mark(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA application_id").fetchone()[0])


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])

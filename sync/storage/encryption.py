"""What is personal is sealed row by row: whoever reads the file, its free pages or a copy of it learns nothing.

A sealed value is `algorithm (1) | key id (4) | nonce (12) | ciphertext | tag (16)`. The tag covers the head and the
place of the row, so that a value is good in its own row alone. A file is sealed as a whole or not at all: its
`user_version` is the id of its key, negative while plain bytes may be left in free pages.
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

from sync.errors import DecryptionFailed, WrongKey
from sync.storage.atomic_files import write_new

log = logging.getLogger(__name__)

KEY_BYTES = 32
_ID_BYTES, _NONCE_BYTES, _TAG_BYTES = 4, 12, 16
_HEAD_BYTES = 1 + _ID_BYTES
_SHORTEST = _HEAD_BYTES + _NONCE_BYTES + _TAG_BYTES
_INFO = b"sentinel at rest/"


class Algorithm(IntEnum):
    """How a value is sealed; the number is the first byte of the value."""

    AES_256_GCM = 1
    SM4_GCM = 2  # GB/T 32907 in GCM, for houses that must use the national algorithms


class Cipher(Protocol):
    """Makes of a value what is written, and back."""

    def encrypt(self, plain: bytes, place: str) -> bytes:
        """What is written for `plain` at `place`."""

    def decrypt(self, stored: bytes, place: str) -> bytes:
        """The value that is `stored` at `place`; raises DecryptionFailed."""


class NoEncryption:
    """Writes values as they are: for simulations and measurements, where nobody is real."""

    def encrypt(self, plain: bytes, _place: str) -> bytes:
        return plain

    def decrypt(self, stored: bytes, _place: str) -> bytes:
        return stored


class KeyedCipher:
    """Seals with one algorithm and opens all of them.

    Each algorithm has a key of its own, derived from the box's. Nonces are random: 2^32 values are a good while.
    """

    def __init__(self, key: bytes, algorithm: Algorithm = Algorithm.AES_256_GCM) -> None:
        """`key` has 32 bytes; raises ValueError."""
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(key)}")
        digest = hashlib.sha256(_INFO + b"key id/" + key).digest()
        self.key_id = int.from_bytes(digest[:_ID_BYTES]) >> 1 or 1  # fits into a signed number, and is not zero
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
        if not isinstance(stored, bytes) or len(stored) < _SHORTEST:  # damage turns a value into anything
            raise DecryptionFailed("a stored value is not sealed")
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
        raise DecryptionFailed("a stored value is sealed with another key, or not at all")


def _derive_key(key: bytes, algorithm: Algorithm, length: int) -> bytes:
    return HKDF(SHA256(), length, None, _INFO + algorithm.name.encode()).derive(key)


def make_key(path: Path) -> None:
    """Put a new key into `path`, 64 hex digits that its owner alone may read. Raises OSError, also where one is."""
    write_new(path, f"{secrets.token_hex(KEY_BYTES)}\n".encode())


def is_encrypted(path: Path) -> bool:
    """Whether there is a file at `path` that needs a key. Raises sqlite3.Error."""
    if not path.exists():
        return False
    with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        return _version(connection) != 0


def load_cipher(connection: sqlite3.Connection, cipher: KeyedCipher | None) -> Cipher:
    """What opens the rows of a file that is there; raises WrongKey and leaves the file as it is."""
    version = abs(_version(connection))
    if version == 0:
        return NoEncryption()
    if cipher is not None and version == cipher.key_id:
        return cipher
    given = "no key is given" if cipher is None else f"the key given is {cipher.key_id:08x}"
    [_, _, path] = connection.execute("PRAGMA database_list").fetchone()
    raise WrongKey(
        f"{path}: sealed with key {version:08x}, and {given}. 密钥不符，文件未改动：请放回原来的密钥文件。"
        " Put the key file back that it was sealed with; nothing was changed."
    )


def encrypt_file(
    connection: sqlite3.Connection, cipher: KeyedCipher | None, updates: Iterable[str], place: Callable[..., str]
) -> Cipher:
    """Seal a file that is still plain, so that no plain byte is left in it; returns what its rows are written with.

    Each of `updates` is an UPDATE in which `encrypted(body, …)` stands for the value sealed at `place(…)`. Where the disk
    has no room for it the file stays plain as a whole, and it is tried again at the next start. Raises WrongKey.
    """
    current = load_cipher(connection, cipher)
    if cipher is None:
        return current
    try:
        if _version(connection) == 0:
            _encrypt_rows(connection, cipher, updates, place)
            current = cipher
        if _version(connection) < 0:
            _erase_plaintext(connection, cipher.key_id)
    except sqlite3.OperationalError as exc:
        if exc.sqlite_errorcode != sqlite3.SQLITE_FULL:
            raise
        log.warning("no room to seal all that was stored before; tried again at the next start")
        with contextlib.suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # gives back what the attempt took
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
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _erase_plaintext(connection: sqlite3.Connection, key_id: int) -> None:
    """Write every page anew, and empty the write-ahead log; a reader that holds it leaves that for the next start."""
    connection.execute("VACUUM")
    [busy, _, _] = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if not busy:
        connection.execute(f"PRAGMA user_version={key_id}")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])

"""The PEM files of a TLS connection, and how they are loaded: a private key never asks at a prompt."""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sync.errors import UnsafeLink
from sync.storage.text_file import NotText, read_pem, read_text_file

_LONGEST_PASSPHRASE_BYTES = 1023  # the limit of OpenSSL


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: CA of the broker (None: the CAs of the system), own certificate and its key.

    `passphrase` is the file with the passphrase of an encrypted key, on its first line; it need not exist.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    passphrase: Path | None = None

    def modified_ns(self) -> tuple[int, ...]:
        """Modification times of the files, to detect changes; 0 for a file that does not exist."""
        named = (self.ca, self.certificate, self.key, self.passphrase)
        return tuple(_modified_ns(path) for path in named if path is not None)


def load_own_certificate(context: ssl.SSLContext, files: TlsFiles) -> None:
    """Load certificate and key of `files`, which may lack both, into `context`. Raises UnsafeLink, OSError, NotText.

    An encrypted key is opened with its passphrase, or refused: OpenSSL alone would wait for it at a terminal.
    """
    if files.certificate is None:
        if files.key is not None:
            raise UnsafeLink(f"cannot use the certificates: {files.key} is a key without a certificate")
        return
    key = files.key or files.certificate
    asked: list[Path] = []

    def passphrase() -> bytes:
        asked.append(key)
        return passphrase_of(key, files.passphrase)

    with in_memory(read_pem(files.certificate)) as certificate_path, in_memory(read_pem(key)) as key_path:
        try:
            context.load_cert_chain(certificate_path, key_path, passphrase)
        except ssl.SSLError as exc:
            if asked:
                raise wrong_passphrase(key, files.passphrase) from exc
            raise


def passphrase_of(key: Path, file: Path | None) -> bytes:
    """The passphrase of the encrypted `key`, from `file`. Raises UnsafeLink if there is none."""
    try:
        lines = [] if file is None else read_text_file(file).splitlines()
    except FileNotFoundError:
        lines = []
    except (OSError, NotText) as exc:
        raise UnsafeLink(f"the passphrase of {key}: {exc}") from exc
    if not lines or not 0 < len(lines[0].encode()) <= _LONGEST_PASSPHRASE_BYTES:
        where = "" if file is None else f" ({file})"
        raise UnsafeLink(
            f"{key}: 私钥已加密，而没有口令文件{where}：请提供口令文件，或使用未加密的私钥（权限 0600）。"
            f" The private key is encrypted and there is no file with its passphrase{where}: provide it, or use a key"
            " that is not encrypted (mode 0600)"
        )
    return lines[0].encode()


def wrong_passphrase(key: Path, file: Path | None) -> UnsafeLink:
    """The error for a passphrase that does not open `key`."""
    return UnsafeLink(f"{file}: 口令打不开私钥 {key}。 The passphrase does not open the private key {key}")


@contextlib.contextmanager
def in_memory(content: bytes) -> Iterator[str]:
    """The path of a file in memory with `content`: OpenSSL loads keys from a path only."""
    handle = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        os.write(handle, content)
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)


def _modified_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0

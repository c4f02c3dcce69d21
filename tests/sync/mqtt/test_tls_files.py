"""Keys of people's making: encrypted, with a byte order mark, in another form. None of them asks at a prompt."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from edge_agent.doctor.certificates import read_certificates
from sync.errors import UnsafeLink
from sync.mqtt.broker_address import BrokerAddress
from sync.mqtt.tls_files import TlsFiles
from tests.sync.certificates import Authority
from tests.sync.mqtt.test_strict_certificates import HOST, server_context, shake_hands

PASSPHRASE = "口令 with spaces"  # noqa: S105 - of a test key
FORMATS = [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "city")


@pytest.fixture
def files(authority: Authority) -> TlsFiles:
    return authority.certificate("box-1")


def encrypted(files: TlsFiles, form: PrivateFormat = PrivateFormat.PKCS8) -> TlsFiles:
    """The same files with an encrypted key, and its passphrase beside it."""
    assert files.key is not None
    key = load_pem_private_key(files.key.read_bytes(), None)
    files.key.write_bytes(key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(PASSPHRASE.encode())))
    passphrase = files.key.with_name("passphrase")
    passphrase.write_text(f"{PASSPHRASE}\n", encoding="utf-8")
    return replace(files, passphrase=passphrase)


def read_by_doctor(files: TlsFiles) -> bool:
    assert files.certificate is not None
    assert files.key is not None
    assert files.ca is not None
    return read_certificates(files.certificate, files.key, files.ca, files.passphrase).key_matches


def connect_to(authority: Authority, files: TlsFiles) -> None:
    """A handshake in which the server verifies the certificate in `files`."""
    context = BrokerAddress.from_url(f"mqtts://{HOST}", files).tls
    assert context is not None
    shake_hands(context, server_context(authority.certificate(HOST)))


@pytest.mark.parametrize("form", FORMATS)
def test_an_encrypted_key_is_opened_with_its_passphrase(
    authority: Authority, files: TlsFiles, form: PrivateFormat
) -> None:
    locked = encrypted(files, form)
    connect_to(authority, locked)
    assert read_by_doctor(locked)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("content", [None, b"", b"\n", b"x" * 1024])
def test_an_encrypted_key_without_a_passphrase_is_refused(
    files: TlsFiles, form: PrivateFormat, *, named: bool, content: bytes | None
) -> None:
    locked = encrypted(files, form)
    assert locked.passphrase is not None
    if content is None:
        locked.passphrase.unlink()
    else:
        locked.passphrase.write_bytes(content)
    locked = locked if named else replace(locked, passphrase=None)
    for use in (lambda: BrokerAddress.from_url("mqtts://h", locked), lambda: read_by_doctor(locked)):
        with pytest.raises(UnsafeLink, match=f"{locked.key}: 私钥已加密.* is encrypted and there is no file"):
            use()


@pytest.mark.parametrize("form", FORMATS)
def test_a_wrong_passphrase_is_named_and_not_shown(files: TlsFiles, form: PrivateFormat) -> None:
    locked = encrypted(files, form)
    assert locked.passphrase is not None
    locked.passphrase.write_text("hunter2")
    for use in (lambda: BrokerAddress.from_url("mqtts://h", locked), lambda: read_by_doctor(locked)):
        with pytest.raises(UnsafeLink, match=f"{locked.passphrase}: .* does not open the private key") as caught:
            use()
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_pem_may_be_saved_by_any_editor(authority: Authority, files: TlsFiles, encoding: str) -> None:
    locked = replace(encrypted(files), ca=authority.ca.with_name("own-ca.pem"))
    for path in (locked.ca, locked.certificate, locked.key, locked.passphrase):
        assert path is not None
        text = (path if path.exists() else authority.ca).read_text(encoding="utf-8")
        path.write_bytes(text.encode(encoding))
    connect_to(authority, locked)
    assert read_by_doctor(locked)


@pytest.mark.parametrize("which", ["ca", "certificate", "key"])
@pytest.mark.parametrize("content", [b"\x30\x82\x01\x00\xff", b"", b"-----BEGIN NOTHING-----\n"])
def test_what_is_no_pem_is_named(files: TlsFiles, which: str, content: bytes) -> None:
    path = getattr(files, which)
    path.write_bytes(content)
    with pytest.raises(UnsafeLink, match=str(path)):
        BrokerAddress.from_url("mqtts://h", files)


def test_no_file_in_memory_stays_open(files: TlsFiles) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    BrokerAddress.from_url("mqtts://h", files)
    with pytest.raises(UnsafeLink):
        BrokerAddress.from_url("mqtts://h", replace(encrypted(files), passphrase=None))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("name", ["ca", "certificate", "key", "passphrase"])
def test_a_change_of_each_file_is_noticed(files: TlsFiles, name: str) -> None:
    locked = encrypted(files)
    before = locked.modified_ns()
    path: Path = getattr(locked, name)
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    assert locked.modified_ns() != before

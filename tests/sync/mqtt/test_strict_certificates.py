"""What we issue passes the strict checks of Python 3.13 (RFC 5280); what a district issued before still serves."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sync.edge.identity.est_client import EstClient
from sync.mqtt.broker_address import BrokerAddress
from sync.mqtt.tls_files import TlsFiles
from sync.platform.authority.certificates import PLATFORM, CaFiles, key_pem, new_key
from sync.platform.authority.own import write_platform_files, write_server_files
from sync.platform.simulation.broker import HOST, SimulatedAuthority
from tests.sync import certificates

Pair = tuple[TlsFiles, TlsFiles]  # a server's and a client's


def district(home: Path) -> Pair:
    authority = CaFiles.below(home / "ca").create("demo")
    return write_server_files(authority, home / "server", "broker", [HOST]), write_platform_files(
        authority, home / "client"
    )


def district_box(home: Path) -> Pair:
    authority, key = CaFiles.below(home / "ca").create("demo"), new_key()
    server = write_server_files(authority, home / "server", "broker", [HOST])
    box = authority.box("box-1", key.public_key())
    (home / "box.pem").write_bytes(box.public_bytes(Encoding.PEM) + authority.issuing.public_bytes(Encoding.PEM))
    (home / "box.key").write_bytes(key_pem(key))
    return server, TlsFiles(home / "ca" / "root.pem", home / "box.pem", home / "box.key")


def simulation(home: Path) -> Pair:
    authority = SimulatedAuthority(home, "simulation")
    return authority.issue(HOST), authority.issue("box-0001")


def simulated_platform(home: Path) -> Pair:
    authority = SimulatedAuthority(home, "simulation")
    return authority.issue(HOST), authority.issue(PLATFORM)


def of_the_tests(home: Path) -> Pair:
    authority = certificates.Authority(home)
    return authority.certificate(HOST), authority.certificate("box-1")


def client_context(files: TlsFiles) -> ssl.SSLContext:
    context = BrokerAddress.from_url(f"mqtts://{HOST}", files).tls
    assert context is not None
    return context


def server_context(files: TlsFiles) -> ssl.SSLContext:
    assert files.certificate is not None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=files.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_cert_chain(files.certificate, files.key)
    return context


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    """A whole handshake in memory, in which each end verifies the other. Raises SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(to_client, to_server, server_hostname=HOST)
    asked = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(2):
        for end in (asking, asked):
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    assert asking.getpeercert(binary_form=True)
    assert asked.getpeercert(binary_form=True)


@pytest.mark.parametrize("made", [district, district_box, simulation, simulated_platform, of_the_tests])
def test_what_is_issued_passes_the_strict_checks(made: Callable[[Path], Pair], tmp_path: Path) -> None:
    server, client = made(tmp_path)
    strict = client_context(client)
    strict.verify_flags |= ssl.VERIFY_X509_STRICT
    shake_hands(strict, server_context(server))


def test_older_certificates_of_a_district_still_serve(tmp_path: Path) -> None:
    authority = certificates.Authority(tmp_path)
    server = server_context(authority.certificate(HOST))
    older = client_context(replace(authority.certificate("box-1"), ca=authority.older_ca()))
    shake_hands(older, server)
    older.verify_flags |= ssl.VERIFY_X509_STRICT
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(older, server)


def test_older_certificates_of_an_authority_still_enrol(tmp_path: Path) -> None:
    authority = certificates.Authority(tmp_path)
    server = server_context(authority.certificate(HOST))
    roots = x509.load_pem_x509_certificates(authority.older_ca().read_bytes())
    older = EstClient(f"https://{HOST}", roots, authority.certificate("box-1"))._context
    shake_hands(older, server)
    older.verify_flags |= ssl.VERIFY_X509_STRICT
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(older, server)


def test_where_the_system_says_whom_to_trust_python_checks_as_it_does() -> None:
    assert client_context(TlsFiles()).verify_flags == ssl.create_default_context().verify_flags

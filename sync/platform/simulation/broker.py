"""A private mosquitto of the simulation, on loopback, with or without TLS."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sync.errors import LinkLost
from sync.mqtt.broker_address import TlsFiles

HOST = "localhost"
_START_S = 10.0
_VALID = timedelta(days=1)


class SimulatedAuthority:
    """Issues certificates that are valid for one day and writes them below `home`."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._home = home
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("simulation")
        self.ca = home / "ca.pem"
        self.ca.write_bytes(self._sign(self._builder("simulation", self._key, is_ca=True)))

    def issue(self, name: str) -> TlsFiles:
        """Certificate and key for `name`."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate, key_file = self._home / f"{name}.pem", self._home / f"{name}.key"
        certificate.write_bytes(self._sign(self._builder(name, key)))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return TlsFiles(self.ca, certificate, key_file)

    def _builder(self, name: str, key: ec.EllipticCurvePrivateKey, *, is_ca: bool = False) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _VALID)
            .not_valid_after(now + _VALID)
            .add_extension(x509.BasicConstraints(is_ca, None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )

    def _sign(self, builder: x509.CertificateBuilder) -> bytes:
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


class PrivateBroker:
    """A mosquitto process that can be stopped, and started again on the same port with its data."""

    def __init__(self, home: Path, authority: SimulatedAuthority | None) -> None:
        self.port = free_port()
        self._home = home
        self._files = authority.issue(HOST) if authority else None
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """Process id while it runs, else 0."""
        return self._process.pid if self._process else 0

    async def start(self) -> None:
        """Start, and wait until it accepts connections. Raises LinkLost."""
        program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None:
            raise LinkLost("mosquitto is not installed: apt-get install mosquitto")
        self._home.mkdir(parents=True, exist_ok=True)
        config, log = self._home / "mosquitto.conf", self._home / "mosquitto.log"
        config.write_text(self._config(), encoding="utf-8")
        with log.open("ab") as out:
            self._process = await asyncio.create_subprocess_exec(program, "-c", config, stdout=out, stderr=out)
        try:
            async with asyncio.timeout(_START_S):
                while not await _answers(self.port):
                    await asyncio.sleep(0.02)
        except TimeoutError as exc:
            raise LinkLost(f"mosquitto did not start, see {log}") from exc

    async def stop(self) -> None:
        """Stop the process if it runs."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.terminate()
            await process.wait()

    def _config(self) -> str:
        lines = [
            f"listener {self.port} 127.0.0.1",
            "set_tcp_nodelay true",
            "persistence true",
            f"persistence_location {self._home}/",
            "max_queued_messages 100000",
            *(["user root"] if os.geteuid() == 0 else []),
        ]
        if self._files is None:
            return "\n".join([*lines, "allow_anonymous true", ""])
        tls = f"cafile {self._files.ca}\ncertfile {self._files.certificate}\nkeyfile {self._files.key}"
        return "\n".join([*lines, tls, "require_certificate true", "use_identity_as_username true", ""])


def free_port() -> int:
    """An unused TCP port on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

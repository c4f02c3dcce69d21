"""A private mosquitto of the simulation, on loopback, with or without TLS."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from sync.errors import LinkLost
from sync.mqtt.tls_files import TlsFiles
from sync.platform.authority.certificates import PLATFORM, CaFiles, key_pem, new_key
from sync.platform.brokers.mosquitto import LIMITS

HOST = "localhost"
_START_S = 10.0
_STOP_S = 10.0
_VALID_DAYS = 1


class SimulatedAuthority:
    """A real authority for `district` with files in `home`; its certificates are valid for one day."""

    def __init__(self, home: Path, district: str) -> None:
        self._home = home
        self._authority = CaFiles.below(home).create(district)
        self._ca = home / "ca.pem"
        self._ca.write_bytes(self._authority.chain_pem())

    def issue(self, name: str) -> TlsFiles:
        """Certificate and key for the box `name`, the platform or the broker (HOST)."""
        key = new_key()
        public = key.public_key()
        if name == HOST:
            issued = self._authority.server([HOST], public, _VALID_DAYS)
        elif name == PLATFORM:
            issued = self._authority.platform(public, _VALID_DAYS)
        else:
            issued = self._authority.box(name, public, _VALID_DAYS)
        certificate, key_file = self._home / f"{name}.pem", self._home / f"{name}.key"
        certificate.write_bytes(issued.public_bytes(Encoding.PEM) + self._authority.issuing.public_bytes(Encoding.PEM))
        key_file.write_bytes(key_pem(key))
        return TlsFiles(self._ca, certificate, key_file)


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
                while self._process.returncode is None and not await _answers(self.port):
                    await asyncio.sleep(0.02)
        except TimeoutError as exc:
            raise LinkLost(f"mosquitto did not start within {_START_S:g} s: {last_line(log)}") from exc
        if self._process.returncode is not None:
            raise LinkLost(f"mosquitto ended with {self._process.returncode}: {last_line(log)}")

    async def stop(self) -> None:
        """Stop the process if it runs."""
        process, self._process = self._process, None
        if process is not None:
            await end(process)

    def _config(self) -> str:
        lines = [
            f"listener {self.port} 127.0.0.1",
            "set_tcp_nodelay true",
            "persistence true",
            f"persistence_location {self._home}/",
            LIMITS,
            *(["user root"] if os.geteuid() == 0 else []),
        ]
        if self._files is None:
            return "\n".join([*lines, "allow_anonymous true", ""])
        tls = f"cafile {self._files.ca}\ncertfile {self._files.certificate}\nkeyfile {self._files.key}"
        return "\n".join([*lines, tls, "require_certificate true", "use_identity_as_username true", ""])


async def end(process: asyncio.subprocess.Process) -> None:
    """Terminate `process`; kill it if it does not end in time."""
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(_STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def last_line(log: Path) -> str:
    """The last line of a log, for an error message: the log may be deleted with its folder."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "no output"


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

"""A box on which everything is well: every device at the wire, real certificates, a real broker, a root of its own."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from config.catalogue import PROMPTS_DIR
from drivers.simulated.devices.wire import PtyWire
from drivers.simulated.street import Street
from edge_agent.box.wall_clock import WallClock
from edge_agent.doctor.report import CheckStatus, ReportLine
from edge_agent.doctor.run_checks import run_checks
from edge_agent.domain.passage import Moment
from edge_agent.staff.pin import write_pin
from sync.edge.directory.directory import Directory
from sync.edge.ledger.ledger import Ledger
from sync.mqtt.tls_files import TlsFiles
from tests.ports import free_port
from tests.sync.certificates import Authority
from tests.sync.city import SIGNING_KEY, Mosquitto, alarm, mosquitto

SYSTEMCTL = """#!/bin/sh
case "$1" in
is-enabled) echo enabled ;;
is-active) echo active ;;
show) echo 30s ;;
esac
"""
PIN = "274913"


@dataclass(slots=True)
class City:
    """The platform's end: a broker with TLS, and who signed its certificate."""

    authority: Authority
    broker: Mosquitto


@contextmanager
def city(home: Path) -> Iterator[City]:
    authority = Authority(home / "city")
    server = authority.certificate("localhost")
    extra = f"cafile {authority.ca}\ncertfile {server.certificate}\nkeyfile {server.key}\nrequire_certificate true\n"
    with mosquitto(home / "tls", extra=extra) as broker:
        yield City(authority, broker)


@dataclass(slots=True)
class WellBox:
    """Settings by section, as the faults change them, and where everything lies."""

    home: Path
    street: Street
    city: City
    settings: dict[str, dict[str, object]]
    now: Moment
    prompts: Path = PROMPTS_DIR
    also_installed: list[Path] = field(default_factory=list)  # folders of other packages

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def root(self) -> Path:
        return self.home / "root"

    @property
    def unit(self) -> Path:
        return self.root / "etc/systemd/system/edge-agent.service"

    def use(self, files: TlsFiles) -> None:
        """Take a copy of these certificates: the authority writes the next ones in their place."""
        names = {"ca_file": files.ca, "cert_file": files.certificate, "key_file": files.key}
        for name, path in names.items():
            assert path is not None
            own = self.home / name
            own.write_bytes(path.read_bytes())
            own.chmod(0o600)
            self.settings["platform"][name] = str(own)

    def broker_at(self, host: str, port: int | None = None) -> None:
        self.settings["platform"]["url"] = f"mqtts://{host}:{port or self.city.broker.port}"

    async def examined(self) -> dict[str, ReportLine]:
        """The report by check."""
        config = self.home / "sentinel.toml"
        config.write_text(_toml(self.settings), encoding="utf-8")
        with on_path(self.also_installed):
            report = await run_checks(config, root=self.root, prompts=self.prompts, now=lambda: self.now)
        return {line.check: line for line in report}


@contextmanager
def on_path(folders: list[Path]) -> Iterator[None]:
    """Python finds packages in `folders` as well, while the block lasts."""
    before = sys.path[:]
    sys.path += map(str, folders)
    try:
        yield
    finally:
        sys.path[:] = before


def red(report: dict[str, ReportLine]) -> set[str]:
    """What failed."""
    return {name for name, line in report.items() if line.result.status is CheckStatus.FAILED}


@asynccontextmanager
async def well_box(home: Path, town: City) -> AsyncIterator[WellBox]:
    """The box while the street before it lives."""
    async with Street(home / "wires", seed=5) as street, asyncio.TaskGroup() as tasks:
        street.thermometer.speed = 8.0  # doctor waits for a window of frames
        living = tasks.create_task(street.run())
        gate = PtyWire(home / "wires" / "gate")
        gate.plug()
        box = WellBox(
            home, street, town, _settings(home, street), replace(WallClock().now(), in_sync=True, error_s=0.01)
        )
        await _furnish(box)
        try:
            yield box
        finally:
            gate.unplug()
            living.cancel()


def _toml(settings: dict[str, dict[str, object]]) -> str:
    """The settings as TOML; JSON of a text or a number is TOML too."""
    sections = (
        f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
        for name, keys in settings.items()
    )
    return "\n".join(sections)


def _settings(home: Path, street: Street) -> dict[str, dict[str, object]]:
    wires = home / "wires"
    return {
        "box": {"name": "box-1", "data_dir": str(home / "data")},
        "camera": {"source": street.camera.url},
        "thermometer": {"port": str(wires / "thermometer")},
        "reader": {"port": str(wires / "qr")},
        "gate": {"driver": "lcus", "port": str(wires / "gate")},
        "speaker": {"output": "null"},
        "ledger": {"budget_mb": 4},
        "directory": {"community_key_file": str(home / "community.key")},
        "platform": {"signing_key_file": str(home / "orders.pem")},
        "kiosk": {"port": free_port()},
        "staff": {"pin_hash_file": str(home / "staff.pin")},
    }


async def _furnish(box: WellBox) -> None:
    """Everything that lies on the disk of a box in service."""
    home = box.home
    box.data.mkdir(mode=0o700)
    async with (
        Ledger.opened(box.data / "ledger.db", box="box-1", budget_bytes=4_000_000) as outbox,
        Directory.opened(box.data / "directory.db"),
    ):
        await outbox.append(alarm(1))
    (home / "community.key").write_text(secrets.token_hex(32), encoding="ascii")
    (home / "community.key").chmod(0o600)
    (home / "orders.pem").write_bytes(
        SIGNING_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    write_pin(home / "staff.pin", PIN)
    box.use(box.city.authority.certificate("box-1"))
    box.broker_at("localhost")
    for folder in ("etc/systemd/system", "run/systemd/system", "sys/class/thermal/thermal_zone0", "bin"):
        (box.root / folder).mkdir(parents=True)
    packaged = (resources.files("systemd") / "edge-agent.service").read_text(encoding="utf-8")
    box.unit.write_text(packaged, encoding="utf-8")
    (box.root / "etc/localtime").symlink_to("/usr/share/zoneinfo/Asia/Shanghai")
    (box.root / "sys/class/thermal/thermal_zone0/temp").write_text("48250\n")
    systemctl = box.root / "bin/systemctl"
    systemctl.write_text(SYSTEMCTL)
    systemctl.chmod(0o755)

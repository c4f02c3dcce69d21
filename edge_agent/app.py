"""Builds one sentinel from its settings and runs it: the only place where real parts are chosen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import psutil

from config.catalogue import load_catalogue
from config.errors import SettingsError
from config.settings import Settings
from drivers.camera import make_camera
from drivers.gate import make_gate
from drivers.readers.health_code import make_code_provider
from drivers.readers.table import make_reader
from drivers.speaker import make_speaker
from drivers.thermometers.table import make_thermometer
from edge_agent.act import Actor
from edge_agent.announcer import Announcer
from edge_agent.board import Board, LinkView
from edge_agent.checkpoint import Checkpoint
from edge_agent.clock import WallClock
from edge_agent.feeds import feed_codes, feed_readings, feed_sightings
from edge_agent.figures import Figures
from edge_agent.kiosk.server import Kiosk
from edge_agent.ledger import Ledger
from edge_agent.live_picture import LivePicture
from edge_agent.policy import load_policy
from edge_agent.presence import Presence
from edge_agent.sight import Sight
from edge_agent.status import Status
from edge_agent.watch import Watch
from models.face import make_detector
from sync.broker import TlsFiles
from sync.edge.directory import NEVER_S, Directory
from sync.edge.link import CityLink, LinkSettings
from sync.edge.outbox import Outbox


class Sentinel:
    """One box, whole: every part is made here, opened by `opened` and run by `run`."""

    def __init__(self, settings: Settings, outbox: Outbox, directory: Directory) -> None:
        figures, clock = Figures(), WallClock()
        self.figures = figures
        self.outbox = outbox
        self.camera = make_camera(
            source=settings.camera.source,
            width=settings.camera.width,
            height=settings.camera.height,
            fps=settings.camera.fps,
        )
        self.thermometer = make_thermometer(
            driver=settings.thermometer.driver,
            port=settings.thermometer.port,
            baud=settings.thermometer.baud,
            mirror=settings.thermometer.mirror,
        )
        self.reader = make_reader(driver=settings.reader.driver, port=settings.reader.port, baud=settings.reader.baud)
        self.gate = make_gate(driver=settings.gate.driver, port=settings.gate.port, channel=settings.gate.channel)
        self.speaker = make_speaker(output=settings.speaker.output)
        self.parts = (self.camera, self.thermometer, self.reader, self.gate, self.speaker)
        policy = load_policy(Path(settings.policy.file) if settings.policy.file else None)
        self.provider = make_code_provider(settings.reader.providers)
        self.community_key = read_community_key(Path(settings.directory.community_key_file))
        detector = make_detector(
            settings.vision.detector,
            size=settings.vision.size,
            threads=settings.vision.threads,
            score=settings.vision.min_score,
            data_dir=Path(settings.box.data_dir) / "models",
            accept_non_commercial=settings.vision.accept_non_commercial,
        )
        self.sight = Sight(self.camera, detector, settings.vision.active_fps, settings.vision.idle_fps, figures)
        self.presence = Presence(settings.arrival, settings.thermometer)
        self.board = Board(settings.speaker.language)
        self.clock = clock
        self.ledger = ledger = Ledger(outbox, settings.box)
        self.link = CityLink(
            link_settings(settings),
            outbox,
            directory,
            versions=versions(),
            boot_id=clock.boot_id,
            parts=lambda: {part.name: part.health.state.value for part in self.parts},
        )
        self.watch = Watch(
            camera=self.camera,
            thermometer=self.thermometer,
            others=self.parts[2:],
            link=lambda: link_view(self.link, directory),
            board=self.board,
            ledger=ledger,
            clock=clock,
        )
        announcer = Announcer(self.speaker, load_catalogue(), settings.speaker.language)
        actor = Actor(announcer, self.gate, settings.gate.pulse_ms, self.board, figures)
        self.checkpoint = Checkpoint(
            presence=self.presence,
            parts=self.watch,
            directory=directory,
            policy=policy,
            ledger=ledger,
            actor=actor,
            board=self.board,
            clock=clock,
            figures=figures,
            settings=settings.arrival,
            query_budget_s=settings.directory.query_budget_ms / 1000,
        )
        status = Status(
            board=self.board,
            figures=figures,
            parts=self.parts,
            outbox=outbox.status,
            link=self.link.status,
            versions=versions(),
        )
        picture = LivePicture(self.camera.frames)
        self.kiosk = Kiosk(settings.kiosk.host, settings.kiosk.port, self.board.views, picture.jpeg, status.report)

    async def run(self) -> None:
        """Run every part until cancelled; a bug in one ends them all, and systemd starts anew."""
        await self.ledger.close_interrupted(self.clock.now())
        async with asyncio.TaskGroup() as tasks:
            for part in self.parts:
                tasks.create_task(part.run(), name=part.name)
            tasks.create_task(self.kiosk.run(), name="kiosk")
            tasks.create_task(self.sight.run(), name="sight")
            tasks.create_task(feed_sightings(self.sight, self.presence), name="sightings")
            tasks.create_task(feed_readings(self.thermometer, self.presence), name="readings")
            tasks.create_task(feed_codes(self.reader, self.provider, self.community_key, self.presence), name="codes")
            tasks.create_task(self.watch.run(), name="watch")
            tasks.create_task(self.link.run(), name="link")
            tasks.create_task(self.checkpoint.run(), name="checkpoint")
            tasks.create_task(self._note_cold_start(), name="cold start")

    async def _note_cold_start(self) -> None:
        """Note how long it took from the start of the process until the box could judge somebody."""
        await self.sight.sightings.after(0)
        await self.thermometer.readings.after(0)
        self.figures.note("cold_start_s", time.time() - psutil.Process().create_time())


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Sentinel]:
    """One sentinel with its stores open. Raises SettingsError, DriverError or ModelError before anything runs."""
    data_dir = make_data_dir(Path(settings.box.data_dir))
    async with AsyncExitStack() as stack:
        outbox = await stack.enter_async_context(
            Outbox.opened(
                data_dir / "ledger.db",
                budget_bytes=settings.ledger.budget_mb * 1_000_000,
                retention_s=settings.ledger.retention_days * 86400,
            )
        )
        directory = await stack.enter_async_context(Directory.opened(data_dir / "directory.db"))
        yield Sentinel(settings, outbox, directory)


def make_data_dir(path: Path) -> Path:
    """The folder of the stores, made if it is not there. Raises SettingsError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise SettingsError(f"[box] data_dir = {str(path)!r}: cannot be made: {exc.strerror}") from exc
    return path


def read_community_key(path: Path) -> bytes:
    """The community key: 64 hex digits in a file of its own. Raises SettingsError."""
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except OSError as exc:
        raise SettingsError(f"[directory] community_key_file = {str(path)!r}: {exc.strerror}") from exc
    except ValueError as exc:
        raise SettingsError(f"[directory] community_key_file = {str(path)!r}: expected 64 hex digits") from exc
    if len(key) != 32:
        raise SettingsError(
            f"[directory] community_key_file = {str(path)!r}: expected 64 hex digits, got {2 * len(key)}"
        )
    return key


def link_settings(settings: Settings) -> LinkSettings:
    """What the link needs of the settings."""
    platform, box = settings.platform, settings.box
    secure = platform.url.startswith("mqtts://")
    files = TlsFiles(ca=Path(platform.ca_file), certificate=Path(platform.cert_file), key=Path(platform.key_file))
    return LinkSettings(url=platform.url, district=box.district, box=box.name, tls=files if secure else TlsFiles())


def link_view(link: CityLink, directory: Directory) -> LinkView:
    """What people may see of the link."""
    status = link.status()
    freshness, age_s = directory.freshness()
    return LinkView(
        connected=status.connected,
        platform_online=status.platform_online,
        freshness=freshness.value,
        age_s=None if age_s >= NEVER_S else float(round(age_s)),
    )


def versions() -> dict[str, str]:
    """Versions that matter to whoever looks after the box."""
    names = ("sentinel-gate", "onnxruntime", "opencv-python", "paho-mqtt")
    return {name: version(name) for name in names}

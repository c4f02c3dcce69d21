"""Builds one sentinel from its settings and runs it: the only place where real parts are chosen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from config.catalogue import load_catalogue
from config.errors import SettingsError
from config.settings import Settings
from drivers.camera import make_camera
from drivers.contract import CardReader, Gate, Part
from drivers.gates.table import make_gate
from drivers.readers.health_code import make_code_provider
from drivers.readers.qr_camera import QrCamera
from drivers.readers.table import make_card_reader, make_reader
from drivers.speaker import make_speaker
from drivers.thermometers.table import make_thermometer
from edge_agent.act import Actor
from edge_agent.announcer import Announcer
from edge_agent.announcer_hints import HintSpeaker
from edge_agent.board import Board, LinkView
from edge_agent.broadcasts.audio_store import AudioStore
from edge_agent.broadcasts.bulletins import Bulletins
from edge_agent.broadcasts.memory import BulletinMemory
from edge_agent.broadcasts.sound import sound_of
from edge_agent.calibration import calibrated
from edge_agent.checkpoint import Checkpoint
from edge_agent.clock import WallClock
from edge_agent.feeds import Reception, feed_cards, feed_codes, feed_readings, feed_sightings
from edge_agent.figures import Figures
from edge_agent.kiosk.server import Kiosk
from edge_agent.kiosk.staff import StaffRoutes
from edge_agent.kiosk.touch import TouchRoutes
from edge_agent.language import Tongue
from edge_agent.ledger import Ledger
from edge_agent.live_picture import LivePicture
from edge_agent.orders import OrdersHere
from edge_agent.policy import load_policy
from edge_agent.policy_book import PolicyBook
from edge_agent.presence import Presence
from edge_agent.sight import Sight
from edge_agent.staff_call import StaffCall
from edge_agent.staff_desk import StaffDesk
from edge_agent.staff_pin import PinLock
from edge_agent.status import Status
from edge_agent.watch import Watch
from models.face import make_detector
from sync.broker import TlsFiles
from sync.contract.signed import OrderKey, read_public_key
from sync.edge.directory import NEVER_S, Directory
from sync.edge.link import CityLink, LinkSettings
from sync.edge.order_memory import OrderMemory
from sync.edge.orders import Orders
from sync.edge.outbox import Outbox


class Sentinel:
    """One box, whole: every part is made here, opened by `opened` and run by `run`."""

    def __init__(
        self,
        settings: Settings,
        outbox: Outbox,
        directory: Directory,
        memory: OrderMemory | None = None,
        clock: WallClock | None = None,
    ) -> None:
        figures, clock = Figures(), clock or WallClock()
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
        self.card_reader = card_reader_of(settings)
        self.gate = gate_of(settings)
        self.speaker = make_speaker(output=settings.speaker.output)
        cards = () if self.card_reader is None else (self.card_reader,)
        self.parts: tuple[Part, ...] = (
            self.camera,
            self.thermometer,
            self.reader,
            *cards,
            self.gate,
            self.speaker,
        )
        own_policy = load_policy(Path(settings.policy.file) if settings.policy.file else None)
        policies = PolicyBook(own_policy, Path(settings.box.data_dir) / "policy.json")
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
        thermometer = calibrated(settings.thermometer, Path(settings.box.data_dir), clock.now().wall)
        self.presence = Presence(settings.arrival, thermometer)
        self.code_camera = (
            QrCamera(self.camera.frames, lambda: self.presence.person is not None) if settings.reader.camera else None
        )
        self.board = Board(Tongue(settings.speaker.language, settings.announcer.also, settings.announcer.turn_s))
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
        catalogue = load_catalogue()
        announcer = Announcer(self.speaker, catalogue, self.board, settings.announcer, now=local_now)
        self.hints = HintSpeaker(self.board, announcer, catalogue, settings.announcer.hint_after_s)
        store = audio_store(settings)
        kept = BulletinMemory(Path(settings.box.data_dir) / "broadcasts.json")
        self.bulletins = Bulletins(announcer, self.board, partial(sound_of, store=store), kept, now=local_now)
        actor = Actor(announcer, self.gate, settings.gate.pulse_ms, self.board, figures)
        self.checkpoint = Checkpoint(
            presence=self.presence,
            parts=self.watch,
            directory=directory,
            policies=policies,
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
            parts=(*self.parts, *(() if self.code_camera is None else (self.code_camera,))),
            outbox=outbox.status,
            link=self.link.status,
            versions=versions(),
            voice=announcer.status,
            broadcasts=self.bulletins.status,
        )
        desk = StaffDesk(
            outbox=outbox,
            ledger=ledger,
            clock=clock,
            gate=self.gate,
            pulse_ms=settings.gate.pulse_ms,
            board=self.board,
            announcer=announcer,
            catalogue=catalogue,
            report=status.report,
        )
        here = OrdersHere(
            settings=settings,
            policies=policies,
            directory=directory,
            bulletins=self.bulletins,
            clock=clock,
            report=status.report,
        )
        if memory is not None and (key := signing_key(settings)) is not None:
            self.link.listen_to(Orders(memory, key, here.hands()))
        picture = LivePicture(self.camera.frames)
        self.kiosk = Kiosk(
            settings.kiosk.host,
            settings.kiosk.port,
            self.board.views,
            picture.jpeg,
            status.report,
            more=(
                TouchRoutes(self.board.choose_language, StaffCall(self.board, ledger, clock, announcer).call),
                StaffRoutes(desk, PinLock(Path(settings.staff.pin_hash_file))),
            ),
        )

    async def run(self) -> None:
        """Run every part until cancelled; a bug in one ends them all, and systemd starts anew."""
        await self.ledger.close_interrupted(self.clock.now())
        async with asyncio.TaskGroup() as tasks:
            for part in self.parts:
                tasks.create_task(part.run(), name=part.name)
            tasks.create_task(self.kiosk.run(), name="kiosk")
            tasks.create_task(self.hints.run(), name="hints")
            tasks.create_task(self.bulletins.run(), name="broadcasts")
            tasks.create_task(self.sight.run(), name="sight")
            tasks.create_task(feed_sightings(self.sight, self.presence), name="sightings")
            tasks.create_task(feed_readings(self.thermometer, self.presence), name="readings")
            self._start_reception(tasks)
            tasks.create_task(self.watch.run(), name="watch")
            tasks.create_task(self.link.run(), name="link")
            tasks.create_task(self.checkpoint.run(), name="checkpoint")
            tasks.create_task(self._note_cold_start(), name="cold start")

    def _start_reception(self, tasks: asyncio.TaskGroup) -> None:
        """Take in what identifies people, from every reader there is."""
        key, reception = self.community_key, Reception(self.presence)
        tasks.create_task(feed_codes(self.reader, self.provider, key, reception), name="codes")
        if self.card_reader is not None:
            tasks.create_task(feed_cards(self.card_reader, key, reception), name="cards")
        if self.code_camera is not None:
            tasks.create_task(self.code_camera.run(), name=self.code_camera.name)
            seen = feed_codes(self.code_camera, self.provider, key, reception, held_up=False)
            tasks.create_task(seen, name="codes seen")

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
                box=settings.box.name,
                budget_bytes=settings.ledger.budget_mb * 1_000_000,
                retention_s=settings.ledger.retention_days * 86400,
            )
        )
        directory = await stack.enter_async_context(Directory.opened(data_dir / "directory.db"))
        memory = await stack.enter_async_context(OrderMemory.opened(data_dir / "orders.db"))
        yield Sentinel(settings, outbox, directory, memory)


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


def signing_key(settings: Settings) -> OrderKey | None:
    """The key that the platform's orders are checked with; None where none is set. Raises SettingsError."""
    path = settings.platform.signing_key_file
    try:
        return read_public_key(Path(path)) if path else None
    except (OSError, ValueError) as exc:
        raise SettingsError(f"[platform] signing_key_file = {path!r}: {exc}") from exc


def gate_of(settings: Settings) -> Gate:
    """The gate, with what else is wired to its board."""
    wired = settings.gate
    return make_gate(
        driver=wired.driver,
        port=wired.port,
        channel=wired.channel,
        lamp_channel=wired.lamp_channel,
        passage_input=wired.passage_input,
    )


def card_reader_of(settings: Settings) -> CardReader | None:
    """The reader of identity cards, None where none is wired."""
    wired = settings.card_reader
    return None if wired.driver == "none" else make_card_reader(driver=wired.driver, port=wired.port)


def local_now() -> datetime:
    """The time of day here, with its zone."""
    return datetime.now().astimezone()


def audio_store(settings: Settings) -> AudioStore:
    """Where broadcast audio is kept; it comes from the platform's host and those named in the settings."""
    hosts = {urlsplit(settings.platform.url).hostname or "", *settings.announcer.audio_hosts}
    return AudioStore(Path(settings.box.data_dir) / "broadcasts", settings.announcer.cache_mb * 1_000_000, hosts)


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

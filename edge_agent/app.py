"""Builds one sentinel from its settings and runs it: parts from the wire up, one task group, no logic."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from config.catalogue import load_catalogue
from config.credentials import secret_path
from config.settings import Settings
from drivers.readers.health_code import make_code_provider
from drivers.readers.qr_camera import QrCamera
from edge_agent.box.device_monitor import DeviceMonitor
from edge_agent.box.devices import Devices
from edge_agent.box.key_files import read_community_key, signing_key
from edge_agent.box.wall_clock import WallClock
from edge_agent.calibration.correction import calibrated
from edge_agent.calibration.view.view_file import load_camera_to_thermal
from edge_agent.diagnostics.metrics import Metrics
from edge_agent.diagnostics.status_report import StatusReport
from edge_agent.faces.assembly import make_face_identifier
from edge_agent.kiosk.server import Kiosk
from edge_agent.kiosk.staff import StaffRoutes
from edge_agent.kiosk.touch import TouchRoutes
from edge_agent.measurement.face_detection import FaceDetectionLoop
from edge_agent.passage.actuator import Actuator
from edge_agent.passage.credentials import CredentialDeduplicator, feed_cards, feed_codes, feed_readings, feed_sightings
from edge_agent.passage.passage_loop import PassageLoop
from edge_agent.passage.person_tracker import PersonTracker
from edge_agent.platform_link.link_settings import link_settings, link_view, versions
from edge_agent.platform_link.order_handlers import OrderExecutor
from edge_agent.policy.active_policy import ActivePolicy
from edge_agent.policy.rules import load_policy
from edge_agent.privacy.retention_task import RetentionTask
from edge_agent.records.recorder import PassageRecorder
from edge_agent.runtime.process_age import age_s
from edge_agent.screen.camera_jpeg import CameraJpeg
from edge_agent.screen.language_choice import LanguageSelector
from edge_agent.screen.view_state import Hint, ViewState
from edge_agent.speech.assembly import Speech
from edge_agent.staff.actions import StaffActions
from edge_agent.staff.call import StaffCall
from edge_agent.staff.pin import PinLock
from edge_agent.stores import Stores, opened_stores
from models.detectors.face import make_detector
from sync.edge.identity.box_identity import BoxIdentity
from sync.edge.identity.renewal import Renewal
from sync.edge.link.link import PlatformLink
from sync.edge.orders.receiver import OrderReceiver


class Sentinel:
    """One box, whole: every part is made here, opened by `opened` and run by `run`."""

    def __init__(self, settings: Settings, stores: Stores, clock: WallClock | None = None) -> None:
        outbox, directory = stores.outbox, stores.directory
        data_dir = Path(settings.box.data_dir)
        figures, clock, catalogue = Metrics(), clock or WallClock(), load_catalogue()
        self.figures, self.clock, self.outbox, self.directory = figures, clock, outbox, directory
        self.order_memory = stores.memory
        self.community_key = read_community_key(secret_path(settings.directory.community_key_file))
        self.provider = make_code_provider(settings.reader.providers)
        self.devices = devices = Devices.from_settings(settings)
        detector = make_detector(
            settings.vision.detector,
            size=settings.vision.size,
            threads=settings.vision.threads,
            score=settings.vision.min_score,
            data_dir=data_dir / "models",
            accept_non_commercial=settings.vision.accept_non_commercial,
        )
        self.sight = FaceDetectionLoop(
            devices.camera, detector, settings.vision.active_fps, settings.vision.idle_fps, figures
        )
        thermometer = calibrated(settings.thermometer, data_dir, clock.now().wall)
        self.presence = PersonTracker(settings.arrival, thermometer, load_camera_to_thermal(settings))
        self.code_camera = (
            QrCamera(devices.camera.frames, lambda: self.presence.person is not None)
            if settings.reader.camera
            else None
        )
        self.board = board = ViewState(
            LanguageSelector(settings.speaker.language, settings.announcer.also, settings.announcer.turn_s)
        )
        self.forgetting = RetentionTask(settings.retention, outbox, directory, clock.now)
        self.ledger = ledger = PassageRecorder(outbox, settings.box)
        self.lookout = (
            None
            if stores.faces is None
            else make_face_identifier(settings, stores.faces, self.sight, self.presence, ledger, clock, figures)
        )
        self.link = PlatformLink(
            link_settings(settings),
            outbox,
            directory,
            versions=versions(),
            boot_id=clock.boot_id,
            parts=lambda: {part.name: part.health.state.value for part in devices.parts},
        )
        self.renewal = Renewal(BoxIdentity(data_dir / "identity"), settings.platform.url)
        self.watch = DeviceMonitor(
            camera=devices.camera,
            thermometer=devices.thermometer,
            others=devices.others,
            link=lambda: link_view(self.link, directory),
            board=board,
            ledger=ledger,
            clock=clock,
        )
        self.voice = Speech(devices.speaker, catalogue, board, settings, ledger=ledger, clock=clock)
        own_policy = load_policy(Path(settings.policy.file) if settings.policy.file else None)
        policies = ActivePolicy(own_policy, data_dir / "policy.json")
        self.checkpoint = PassageLoop(
            presence=self.presence,
            parts=self.watch,
            directory=directory,
            policies=policies,
            ledger=ledger,
            actor=Actuator(self.voice.announcer, devices.gate, settings.gate.pulse_ms, board, figures),
            board=board,
            clock=clock,
            figures=figures,
            settings=settings.arrival,
            query_budget_s=settings.directory.query_budget_ms / 1000,
            asks=Hint.SHOW_CODE if self.lookout is None else Hint.LOOK_OR_SHOW,
        )
        status = StatusReport(
            view_state=board,
            metrics=figures,
            parts=(*devices.parts, *(() if self.code_camera is None else (self.code_camera,))),
            outbox=outbox.status,
            link=self.link.status,
            versions=versions(),
            speech=self.voice.announcer.status,
            broadcasts=self.voice.bulletins.status,
        )
        here = OrderExecutor(
            settings=settings,
            policies=policies,
            directory=directory,
            bulletins=self.voice.bulletins,
            clock=clock,
            report=status.report,
        )
        if (key := signing_key(settings)) is not None:
            self.link.listen_to(OrderReceiver(stores.memory, key, here.handlers()))
        desk = StaffActions(
            outbox=outbox,
            ledger=ledger,
            clock=clock,
            gate=devices.gate,
            pulse_ms=settings.gate.pulse_ms,
            view_state=board,
            announcer=self.voice.announcer,
            catalogue=catalogue,
            report=status.report,
        )
        self.kiosk = Kiosk(
            settings.kiosk.host,
            settings.kiosk.port,
            board.views,
            CameraJpeg(devices.camera.frames).jpeg,
            status.report,
            more=(
                TouchRoutes(board.choose_language, StaffCall(board, ledger, clock, self.voice.announcer).call),
                StaffRoutes(desk, PinLock(secret_path(settings.staff.pin_hash_file))),
            ),
        )

    async def run(self) -> None:
        """Run every part until cancelled; a bug in one ends them all, and systemd starts anew."""
        await self.ledger.close_interrupted(self.clock.now())
        async with asyncio.TaskGroup() as tasks:
            for part in self.devices.parts:
                tasks.create_task(part.run(), name=part.name)
            tasks.create_task(self.kiosk.run(), name="kiosk")
            tasks.create_task(self.voice.run(), name="voice")
            tasks.create_task(self.sight.run(), name="sight")
            tasks.create_task(feed_sightings(self.sight, self.presence), name="sightings")
            tasks.create_task(feed_readings(self.devices.thermometer, self.presence), name="readings")
            self._start_reception(tasks)
            tasks.create_task(self.forgetting.run(), name="forgetting")
            tasks.create_task(self.watch.run(), name="watch")
            tasks.create_task(self.link.run(), name="link")
            tasks.create_task(self.renewal.run(), name="renewal")
            tasks.create_task(self.checkpoint.run(), name="checkpoint")
            tasks.create_task(self._note_cold_start(), name="cold start")

    def _start_reception(self, tasks: asyncio.TaskGroup) -> None:
        """Take in what identifies people, from every reader there is."""
        key, reception = self.community_key, CredentialDeduplicator(self.presence)
        tasks.create_task(feed_codes(self.devices.reader, self.provider, key, reception), name="codes")
        if self.devices.card_reader is not None:
            tasks.create_task(feed_cards(self.devices.card_reader, key, reception), name="cards")
        if self.code_camera is not None:
            tasks.create_task(self.code_camera.run(), name=self.code_camera.name)
            seen = feed_codes(self.code_camera, self.provider, key, reception, held_up=False)
            tasks.create_task(seen, name="codes seen")
        if self.lookout is not None:
            tasks.create_task(self.lookout.run(reception.add), name="faces")

    async def _note_cold_start(self) -> None:
        """Note how long it took from the start of the process until the box could judge somebody."""
        await self.sight.sightings.after(0)
        await self.devices.thermometer.readings.after(0)
        self.figures.note("cold_start_s", age_s())


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Sentinel]:
    """One sentinel with its stores open. Raises SettingsError, DriverError or ModelError before anything runs."""
    async with opened_stores(settings) as stores:
        yield Sentinel(settings, stores)

"""Builds one sentinel from its settings and runs it: a list of parts, one task group, no logic."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from config.catalogue import load_catalogue
from config.credentials import secret_path
from config.settings import Settings
from edge_agent.box.device_monitor import DeviceMonitor
from edge_agent.box.devices import Devices
from edge_agent.box.wall_clock import WallClock
from edge_agent.calibration.view.view_file import load_camera_to_thermal
from edge_agent.diagnostics.metrics import Metrics
from edge_agent.diagnostics.status_report import StatusReport
from edge_agent.faces.assembly import make_face_identifier
from edge_agent.kiosk.assembly import make_kiosk
from edge_agent.measurement.assembly import make_face_detection
from edge_agent.measurement.calibrated_sensor import CalibratedSensor
from edge_agent.passage.actuator import Actuator
from edge_agent.passage.assembly import CredentialReaders
from edge_agent.passage.feeds import feed_detections, feed_distances, feed_readings
from edge_agent.passage.passage_loop import PassageLoop
from edge_agent.passage.person_tracker import PersonTracker
from edge_agent.platform_link.assembly import accept_orders, make_link
from edge_agent.platform_link.link_settings import link_view, versions
from edge_agent.policy.active_policy import make_active_policy
from edge_agent.privacy.retention_task import RetentionTask
from edge_agent.records.recorder import PassageRecorder
from edge_agent.runtime.process_age import age_s
from edge_agent.screen.view_state import Hint, make_view_state
from edge_agent.speech.assembly import Speech
from edge_agent.staff.pin import PinLock
from edge_agent.stores import Stores, opened_stores
from sync.edge.identity.box_identity import BoxIdentity
from sync.edge.identity.renewal import Renewal


class Sentinel:
    """One box, whole: every part is made here, opened by `opened` and run by `run`."""

    def __init__(self, settings: Settings, stores: Stores, clock: WallClock | None = None) -> None:
        data_dir, catalogue = Path(settings.box.data_dir), load_catalogue()
        self.stores = stores
        self.metrics = Metrics()
        self.clock = clock = clock or WallClock()
        self.view_state = make_view_state(settings)
        self.recorder = PassageRecorder(stores.ledger, settings.box, clock.now)
        self.policy = make_active_policy(settings)
        self.devices = Devices.from_settings(settings)
        self.face_detection = make_face_detection(settings, self.devices.camera, self.metrics)
        self.tracker = PersonTracker(
            settings.arrival,
            settings.thermometer,
            load_camera_to_thermal(settings),
            CalibratedSensor(settings.thermometer, data_dir, clock.now),
        )
        self.readers = CredentialReaders(settings, self.devices, self.tracker, clock.now)
        self.face_identifier = make_face_identifier(
            settings, stores.faces, self.face_detection, self.tracker, self.recorder, clock, self.metrics
        )
        self.link = make_link(
            settings,
            stores.ledger,
            stores.directory,
            clock,
            parts=lambda: {part.name: part.health.state.value for part in self.devices.parts},
        )
        self.renewal = Renewal(BoxIdentity(data_dir / "identity"), settings.platform.url)
        self.retention = RetentionTask(settings.retention, stores.ledger, stores.directory, clock.now)
        self.monitor = DeviceMonitor(
            camera=self.devices.camera,
            thermometer=self.devices.thermometer,
            others=self.devices.others,
            link=lambda: link_view(self.link, stores.directory),
            view_state=self.view_state,
            recorder=self.recorder,
        )
        self.speech = Speech(
            self.devices.speaker, catalogue, self.view_state, settings, recorder=self.recorder, clock=clock
        )
        self.passage_loop = PassageLoop(
            tracker=self.tracker,
            parts=self.monitor,
            directory=stores.directory,
            policy=self.policy,
            recorder=self.recorder,
            actuator=Actuator(
                self.speech.announcer, self.devices.gate, settings.gate.pulse_ms, self.view_state, self.metrics
            ),
            view_state=self.view_state,
            clock=clock,
            metrics=self.metrics,
            settings=settings.arrival,
            query_budget_s=settings.directory.query_budget_ms / 1000,
            credential_hint=Hint.SHOW_CODE if self.face_identifier is None else Hint.LOOK_OR_SHOW,
        )
        status = StatusReport(
            view_state=self.view_state,
            metrics=self.metrics,
            parts=(*self.devices.parts, *self.readers.parts),
            outbox=stores.ledger.status,
            link=self.link.status,
            versions=versions(),
            speech=self.speech.announcer.status,
            broadcasts=self.speech.broadcasts.status,
        )
        pin_lock = PinLock(secret_path(settings.staff.pin_hash_file))
        accept_orders(
            self.link,
            settings=settings,
            directory=stores.directory,
            replay_guard=stores.replay_guard,
            policy=self.policy,
            broadcasts=self.speech.broadcasts,
            clock=clock,
            report=status.report,
            unlock_staff=pin_lock.unlock,
        )
        self.kiosk = make_kiosk(
            settings,
            view_state=self.view_state,
            camera=self.devices.camera,
            gate=self.devices.gate,
            ledger=stores.ledger,
            recorder=self.recorder,
            announcer=self.speech.announcer,
            catalogue=catalogue,
            pin_lock=pin_lock,
            report=status.report,
        )

    async def run(self) -> None:
        """Run every part until cancelled; a bug in one ends them all, and systemd restarts the agent."""
        await self.recorder.close_interrupted()
        async with asyncio.TaskGroup() as tasks:
            for part in self.devices.parts:
                tasks.create_task(part.run(), name=part.name)
            tasks.create_task(self.kiosk.run(), name="kiosk")
            tasks.create_task(self.speech.run(), name="voice")
            tasks.create_task(self.face_detection.run(), name="sight")
            tasks.create_task(feed_detections(self.face_detection, self.tracker), name="sightings")
            tasks.create_task(feed_readings(self.devices.thermometer, self.tracker), name="readings")
            if self.devices.ranger is not None:
                tasks.create_task(feed_distances(self.devices.ranger, self.tracker), name="distances")
            tasks.create_task(self.readers.run(), name="credentials")
            if self.face_identifier is not None:
                tasks.create_task(self.face_identifier.run(self.readers.deduplicator.add), name="faces")
            tasks.create_task(self.retention.run(), name="forgetting")
            tasks.create_task(self.monitor.run(), name="watch")
            tasks.create_task(self.link.run(), name="link")
            tasks.create_task(self.renewal.run(), name="renewal")
            tasks.create_task(self.passage_loop.run(), name="checkpoint")
            tasks.create_task(self._note_cold_start(), name="cold start")

    async def _note_cold_start(self) -> None:
        """Measure the time from the start of the process until a first person could be judged."""
        await self.face_detection.detections.after(0)
        await self.devices.thermometer.readings.after(0)
        self.metrics.note("cold_start_s", age_s())


@asynccontextmanager
async def opened(settings: Settings, clock: WallClock | None = None) -> AsyncIterator[Sentinel]:
    """One sentinel with its stores open. Raises SettingsError, DriverError or ModelError before anything runs."""
    clock = clock or WallClock()
    async with opened_stores(settings, clock) as stores:
        yield Sentinel(settings, stores, clock)

"""Creates the kiosk: the residents' page with its actions, and the staff view."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from config.catalogue import Catalogue
from config.settings import Settings
from drivers.contract import Camera, Gate
from edge_agent.kiosk.server import Kiosk
from edge_agent.kiosk.staff import StaffRoutes
from edge_agent.kiosk.touch import TouchRoutes
from edge_agent.records.recorder import PassageRecorder
from edge_agent.screen.camera_jpeg import CameraJpeg
from edge_agent.screen.view_state import ViewState
from edge_agent.speech.announcer import Announcer
from edge_agent.staff.actions import StaffActions
from edge_agent.staff.call import StaffCall
from edge_agent.staff.pin import PinLock
from sync.edge.ledger.ledger import Ledger


def make_kiosk(
    settings: Settings,
    *,
    view_state: ViewState,
    camera: Camera,
    gate: Gate,
    ledger: Ledger,
    recorder: PassageRecorder,
    announcer: Announcer,
    catalogue: Catalogue,
    pin_lock: PinLock,
    report: Callable[[], Awaitable[dict[str, object]]],
) -> Kiosk:
    """The kiosk with all its routes; `report` is the status of the agent."""
    actions = StaffActions(
        ledger=ledger,
        recorder=recorder,
        gate=gate,
        pulse_ms=settings.gate.pulse_ms,
        view_state=view_state,
        announcer=announcer,
        catalogue=catalogue,
        report=report,
    )
    return Kiosk(
        settings.kiosk.host,
        settings.kiosk.port,
        view_state.views,
        CameraJpeg(camera.frames).jpeg,
        report,
        more=(
            TouchRoutes(view_state.choose_language, StaffCall(view_state, recorder, announcer).call),
            StaffRoutes(actions, pin_lock),
        ),
    )

"""What the people at the gate may see: one frozen view, newest wins."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from drivers.latest import Latest
from edge_agent.domain import Decision


class Stage(StrEnum):
    """Where the line stands."""

    STARTING = "starting"  # parts are being opened
    IDLE = "idle"  # nobody there
    ARRIVAL = "arrival"  # a face, not yet near or steady enough
    MEASURING = "measuring"  # being measured; the credential may be missing
    RESULT = "result"  # a verdict stands


class Hint(StrEnum):
    """What the person can do now; a key of the prompt catalogue."""

    COME_CLOSER = "come_closer"
    HOLD_STILL = "hold_still"
    SHOW_CODE = "show_code"
    PLEASE_WAIT = "please_wait"
    CALL_STAFF = "call_staff"


class PartView(msgspec.Struct, frozen=True):
    """One device: `state` is starting, ok, lost or broken."""

    name: str
    state: str
    detail: str = ""


class LinkView(msgspec.Struct, frozen=True):
    """The way to the platform and how old what we know is."""

    connected: bool
    platform_online: bool
    freshness: str  # fresh, aging, stale, expired
    age_s: float | None


class View(msgspec.Struct, frozen=True):
    """Everything a screen needs; no name, number, colour or list membership is ever in it.

    `face` is (x, y, w, h) as fractions of the picture. `credential` is none, read, unreadable or expired.
    `serial` grows by one with every view, so that a page can tell a repeat from news.
    """

    serial: int
    stage: Stage
    hint: Hint | None
    face: tuple[float, float, float, float] | None
    temperature_c: float | None
    mask: str | None
    credential: str
    verdict: str | None
    reasons: tuple[str, ...]
    prompt: str | None
    parts: tuple[PartView, ...]
    link: LinkView
    passages: int
    language: str


class Board:
    """Owns the view: the line shows its state, the watch shows parts and link; every change is published whole."""

    def __init__(self, language: str) -> None:
        self.views: Latest[View] = Latest()
        self._view = View(
            serial=0,
            stage=Stage.STARTING,
            hint=None,
            face=None,
            temperature_c=None,
            mask=None,
            credential="none",
            verdict=None,
            reasons=(),
            prompt=None,
            parts=(),
            link=LinkView(connected=False, platform_online=False, freshness="expired", age_s=None),
            passages=0,
            language=language,
        )
        self.views.put(self._view)

    @property
    def view(self) -> View:
        """What stands on the board now."""
        return self._view

    def show(
        self,
        stage: Stage,
        *,
        hint: Hint | None = None,
        face: tuple[float, float, float, float] | None = None,
        temperature_c: float | None = None,
        mask: str | None = None,
        credential: str = "none",
        decision: Decision | None = None,
        prompt: str | None = None,
    ) -> None:
        """Show where the line stands."""
        self._publish(
            stage=stage,
            hint=hint,
            face=None if face is None else tuple(round(part, 3) for part in face),
            temperature_c=None if temperature_c is None else round(temperature_c, 1),
            mask=mask,
            credential=credential,
            verdict=decision.verdict.value if decision else None,
            reasons=tuple(reason.value for reason in decision.reasons) if decision else (),
            prompt=prompt,
            passages=self._view.passages + (1 if decision else 0),
        )

    def show_parts(self, parts: tuple[PartView, ...], link: LinkView) -> None:
        """Show the state of the devices and of the way to the platform."""
        self._publish(parts=parts, link=link)

    def _publish(self, **changes: object) -> None:
        new = msgspec.structs.replace(self._view, **changes)
        if new != self._view:
            self._view = msgspec.structs.replace(new, serial=self._view.serial + 1)
            self.views.put(self._view)

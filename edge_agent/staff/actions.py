"""What staff may see and do at the box. Nobody's identity is among it, and whatever they do is in the ledger."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import StrEnum

import msgspec

from config.catalogue import Catalogue
from drivers.contract import Gate
from drivers.errors import DriverError
from edge_agent.records.recorder import PassageRecorder
from edge_agent.screen.view_state import ViewState
from edge_agent.speech.announcer import Announcer
from sync.contract.records import PassageClosed, PassageDecided
from sync.edge.ledger.ledger import Ledger

PASSAGES = 20
_LOOK_BACK = 120  # records; a passage is two of them, and alarms lie between


class OverrideReason(StrEnum):
    """Why staff decided otherwise than the box; fixed words, so that nothing personal gets into the ledger."""

    CHECKED_BY_HAND = "checked_by_hand"  # document and temperature were looked at
    NO_PHONE = "no_phone"  # a child, an elder, an empty battery
    EMERGENCY = "emergency"  # ambulance, fire brigade
    BOX_FAULT = "box_fault"  # the box was wrong or broken


class SeenPassage(msgspec.Struct, frozen=True):
    """One passage as staff see it: `shown` are its reasons as bystanders may read them, `reasons` as they are."""

    passage_id: str
    at: str  # ISO 8601
    verdict: str
    reasons: tuple[str, ...]
    shown: tuple[str, ...]
    temperature_c: float | None
    mask: str | None
    outcome: str | None


class UnknownPassage(Exception):
    """There is no such passage among the last ones."""


class StaffActions:
    """The acts of staff, without a screen."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        recorder: PassageRecorder,
        gate: Gate,
        pulse_ms: int,
        view_state: ViewState,
        announcer: Announcer,
        catalogue: Catalogue,
        report: Callable[[], Awaitable[dict[str, object]]],
    ) -> None:
        self._ledger = ledger
        self._recorder = recorder
        self._gate = gate
        self._pulse_ms = pulse_ms
        self._view_state = view_state
        self._announcer = announcer
        self._catalogue = catalogue
        self._report = report

    async def overview(self) -> dict[str, object]:
        """All that the staff view shows."""
        return {
            "passages": [msgspec.to_builtins(passage) for passage in await self.passages()],
            "house": self._view_state.house,
            "report": await self._report(),
        }

    async def passages(self) -> list[SeenPassage]:
        """The last passages, newest first."""
        records = [row.record() for row in await self._ledger.recent(_LOOK_BACK)]
        outcomes = {record.passage_id: record.outcome for record in records if isinstance(record, PassageClosed)}
        decided = [record for record in records if isinstance(record, PassageDecided)]
        return [self._seen(record, outcomes.get(record.passage_id)) for record in decided[:PASSAGES]]

    async def override(self, passage_id: str, why: OverrideReason) -> bool:
        """Let somebody pass whom the box did not: first the ledger, then the gate. Whether the gate took the pulse.

        Raises UnknownPassage for a passage that is not among the last ones.
        """
        if passage_id not in {passage.passage_id for passage in await self.passages()}:
            raise UnknownPassage
        await self._recorder.alarm("staff_override", passage_id, why.value)
        return await self._open()

    async def release_gate(self, why: OverrideReason) -> bool:
        """Open the gate once. Whether it took the pulse."""
        await self._recorder.alarm("staff_released_gate", "gate", why.value)
        return await self._open()

    async def note_entry(self) -> None:
        """Put down that the staff view was opened, and end a call for staff: they are there."""
        await self._recorder.alarm("staff_entered", "kiosk")
        self._view_state.staff_came()

    async def note_lock(self) -> None:
        """Put down that somebody tries PINs."""
        await self._recorder.alarm("staff_pin_locked", "kiosk")

    def set_volume(self, share: float) -> None:
        """Make `share` (0 to 1) the volume of this part of the day, until the agent starts anew."""
        self._announcer.set_volume(share)

    def speak(self, language: str) -> None:
        """Make `language` the box's own, until the agent starts anew."""
        self._view_state.speak(language)

    async def _open(self) -> bool:
        try:
            await self._gate.pulse(self._pulse_ms)
        except DriverError:
            return False
        self._view_state.staff_came()
        return True

    def _seen(self, record: PassageDecided, outcome: str | None) -> SeenPassage:
        return SeenPassage(
            passage_id=record.passage_id,
            at=record.decided.wall.isoformat(timespec="seconds"),
            verdict=record.verdict,
            reasons=record.reasons,
            shown=tuple(dict.fromkeys(self._catalogue.shown("reason", reason) for reason in record.reasons)),
            temperature_c=record.temperature.estimate_c,
            mask=record.mask.state,
            outcome=outcome,
        )

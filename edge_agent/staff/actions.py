"""What staff can see and do at the box. It shows no identities, and every action is recorded in the ledger."""

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
_LOOK_BACK = 120  # records: a passage has two, with alarms between them


class OverrideReason(StrEnum):
    """Why staff overrode the box; fixed words, so that no personal data gets into the ledger."""

    CHECKED_BY_HAND = "checked_by_hand"  # staff checked document and temperature
    NO_PHONE = "no_phone"  # a child, an older person, an empty battery
    EMERGENCY = "emergency"  # ambulance, fire brigade
    BOX_FAULT = "box_fault"  # the box was wrong or broken


class SeenPassage(msgspec.Struct, frozen=True):
    """One passage as staff see it: `reasons` are the recorded ones, `shown` those that bystanders may read."""

    passage_id: str
    at: str  # ISO 8601
    verdict: str
    reasons: tuple[str, ...]
    shown: tuple[str, ...]
    temperature_c: float | None
    mask: str | None
    outcome: str | None


class UnknownPassage(Exception):
    """The passage is not among the last PASSAGES."""


class StaffActions:
    """The actions of staff, without a screen."""

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
        """The content of the staff view."""
        return {
            "passages": [msgspec.to_builtins(passage) for passage in await self.passages()],
            "house": self._view_state.default_languages,
            "report": await self._report(),
        }

    async def passages(self) -> list[SeenPassage]:
        """The last passages, newest first."""
        records = [row.record() for row in await self._ledger.recent(_LOOK_BACK)]
        outcomes = {record.passage_id: record.outcome for record in records if isinstance(record, PassageClosed)}
        decided = [record for record in records if isinstance(record, PassageDecided)]
        return [self._seen(record, outcomes.get(record.passage_id)) for record in decided[:PASSAGES]]

    async def override(self, passage_id: str, why: OverrideReason) -> bool:
        """Let a person pass whom the box did not admit: record it, then open the gate.

        Returns whether the gate accepted the pulse. Raises UnknownPassage.
        """
        if passage_id not in {passage.passage_id for passage in await self.passages()}:
            raise UnknownPassage
        await self._recorder.alarm("staff_override", passage_id, why.value)
        return await self._open()

    async def release_gate(self, why: OverrideReason) -> bool:
        """Record it, then open the gate once; returns whether the gate accepted the pulse."""
        await self._recorder.alarm("staff_released_gate", "gate", why.value)
        return await self._open()

    async def note_entry(self) -> None:
        """Record that the staff view was opened, and end a pending call for staff."""
        await self._recorder.alarm("staff_entered", "kiosk")
        self._view_state.staff_came()

    async def note_wrong_pins(self) -> None:
        """Record that wrong PINs go on; the next try has to wait."""
        await self._recorder.alarm("staff_pin_locked", "kiosk")

    def set_volume(self, share: float) -> None:
        """Set the volume (0 to 1) of this part of the day until the agent restarts."""
        self._announcer.set_volume(share)

    def speak(self, language: str) -> None:
        """Make `language` the default until the agent restarts."""
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

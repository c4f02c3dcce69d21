"""The line: one person after another, from arrival to outcome. Read it straight down."""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from config.settings import ArrivalSettings
from edge_agent.box.wall_clock import WallClock
from edge_agent.diagnostics.metrics import Metrics
from edge_agent.domain.passage import Credential, Measurement, Outcome, Passage, Reason, Verdict
from edge_agent.measurement.thermometer_drift import ThermometerDriftDetector
from edge_agent.passage.actuator import Actuator
from edge_agent.passage.person_tracker import Person, PersonTracker
from edge_agent.policy.active_policy import ActivePolicy
from edge_agent.policy.decide import decide, grade_temperature
from edge_agent.records.passage_log import log_passage
from edge_agent.records.recorder import PassageRecorder
from edge_agent.screen.view_state import Hint, ScreenStage, ViewState
from sync.contract.health import Freshness, Lookup, LookupOutcome
from sync.errors import StoreFull

_TICK_S = 0.25  # longest wait between two looks at limits while nothing changes
_ANSWERED_BY_MASK = {Reason.MASK_MISSING, Reason.MASK_INCORRECT, Reason.MASK_UNJUDGED}


class HealthLookup(Protocol):
    """Whoever knows health statuses: `sync.edge.directory.directory.Directory`."""

    async def lookup(self, person_key: str, *, budget_s: float) -> Lookup: ...

    def freshness(self) -> tuple[Freshness, float]: ...


class LostParts(Protocol):
    """Which parts cannot be relied on now."""

    @property
    def thermometer_lost(self) -> bool: ...

    @property
    def camera_lost(self) -> bool: ...


class PersonLeft(Exception):
    """The person went away before a verdict was taken."""


class LedgerFull(Exception):
    """There is no room for a verdict: staff take care of this person."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """Somebody to be served: `person` is None where the camera is lost and only a credential came."""

    person: Person | None
    arrived_at_s: float


class PassageLoop:
    """Serves people one by one until cancelled."""

    def __init__(
        self,
        *,
        presence: PersonTracker,
        parts: LostParts,
        directory: HealthLookup,
        policies: ActivePolicy,
        ledger: PassageRecorder,
        actor: Actuator,
        board: ViewState,
        clock: WallClock,
        figures: Metrics,
        settings: ArrivalSettings,
        query_budget_s: float,
        asks: Hint = Hint.SHOW_CODE,
    ) -> None:
        self._presence = presence
        self._parts = parts
        self._directory = directory
        self._policies = policies
        self._ledger = ledger
        self._actor = actor
        self._board = board
        self._clock = clock
        self._figures = figures
        self._settings = settings
        self._query_budget_s = query_budget_s
        self._asks = asks
        self._crowd = ThermometerDriftDetector()

    async def run(self) -> None:
        """Serve until cancelled."""
        chain: list[str] = []
        while True:
            try:
                passage, outcome = await self._serve(chain)
            except (PersonLeft, LedgerFull):
                self._presence.mark_served()
                chain = []
                continue
            chain = [*chain, passage.passage_id] if outcome is Outcome.RETRIED else []

    async def _serve(self, chain: list[str]) -> tuple[Passage, Outcome]:
        arrival = await self._arrival()
        credential = await self._credential(arrival)
        measurement, lookup = await asyncio.gather(self._measured(arrival), self._looked_up(credential))
        decided = self._clock.now()
        policy = self._policies.at(decided.wall)
        passage = Passage(
            passage_id=uuid.uuid4().hex,
            follows=chain[-1] if chain else None,
            decided=decided,
            credential=credential,
            measurement=measurement,
            lookup=lookup,
            decision=decide(measurement, credential, lookup, policy, decided, attempt=len(chain) + 1),
            policy_version=policy.version,
            arrived_at_s=max(arrival.arrived_at_s, credential.presented_at_s if credential else 0.0),
            grade=grade_temperature(measurement, policy.temperature),
            attempt=len(chain) + 1,
        )
        try:
            await self._ledger.commit(passage)
        except StoreFull as exc:
            await self._send_to_staff(arrival)
            raise LedgerFull from exc
        self._figures.count(passage.decision.verdict.value, passage.decision.reasons[0].value)
        acted = await self._actor.carry_out(passage)
        log_passage(passage, acted.arrival_to_prompt_ms)
        await self._watch_crowd(passage)
        outcome = await self._outcome(passage, gate_opened=acted.gate_opened)
        await self._actor.over(passage)
        await self._ledger.close(
            passage, self._clock.now(), outcome, acted.arrival_to_prompt_ms, gate_opened=acted.gate_opened
        )
        return passage, outcome

    async def _arrival(self) -> Arrival:
        """Wait for a near and steady face that was not served yet, or a bare credential where the camera is lost."""
        while True:
            person = self._presence.person
            if person and self._presence.steady and not person.served:
                return Arrival(person, person.steady_since_s)
            if self._parts.camera_lost and (credential := self._presence.credential):
                return Arrival(None, credential.presented_at_s)
            self._show_waiting(person)
            await self._change()

    def _show_waiting(self, person: Person | None) -> None:
        if person is None:
            self._board.show(ScreenStage.IDLE)
        elif not person.served:
            hint = Hint.HOLD_STILL if person.near else Hint.COME_CLOSER
            self._board.show(ScreenStage.ARRIVAL, hint=hint, face=person.box)

    async def _credential(self, arrival: Arrival) -> Credential | None:
        """The credential held, else wait for one while asking for it; None when nobody shows one in time."""
        until_s = time.monotonic() + self._settings.credential_wait_s
        while (credential := self._presence.credential) is None and time.monotonic() < until_s:
            self._must_stay(arrival)
            self._show_measuring(arrival, self._asks)
            await self._change()
        return credential

    async def _measured(self, arrival: Arrival) -> Measurement:
        """The mask and temperature of this arrival; waits for both, but for a lost part not at all."""
        until_s = time.monotonic() + self._settings.measure_wait_s
        while not self._evidence_complete(arrival) and time.monotonic() < until_s:
            self._must_stay(arrival)
            self._show_measuring(arrival, None)
            await self._change()
        return Measurement(
            temperature=self._presence.temperature(),
            mask=self._presence.mask(),
            thermometer_lost=self._parts.thermometer_lost,
            camera_lost=arrival.person is None or self._parts.camera_lost,
        )

    def _evidence_complete(self, arrival: Arrival) -> bool:
        no_face = arrival.person is None or self._parts.camera_lost
        min_frames = self._policies.at(self._clock.now().wall).mask.min_frames
        mask_known = no_face or self._presence.mask().frames >= min_frames
        warmth_known = no_face or self._parts.thermometer_lost or self._presence.temperature().samples > 0
        return mask_known and warmth_known

    async def _looked_up(self, credential: Credential | None) -> Lookup:
        if credential is None or credential.person_key is None:
            freshness, age_s = self._directory.freshness()
            return Lookup(LookupOutcome.FAILED, None, freshness, age_s, "none")
        started_s = time.perf_counter()
        lookup = await self._directory.lookup(credential.person_key, budget_s=self._query_budget_s)
        self._figures.note("lookup_ms", (time.perf_counter() - started_s) * 1000)
        return lookup

    async def _watch_crowd(self, passage: Passage) -> None:
        """Hold the thermometer against the crowd; a person who is measured again counts once."""
        if passage.follows is None and (
            wrong := self._crowd.note(passage.measurement.temperature, passage.decided.wall.hour)
        ):
            await self._ledger.alarm(passage.decided, "thermometer_drift", "thermometer", wrong)

    async def _send_to_staff(self, arrival: Arrival) -> None:
        """Say that staff will help until the person left: a verdict that is not stored is not told."""
        self._presence.mark_served()
        until_s = time.monotonic() + self._settings.result_hold_s
        while self._stays() and time.monotonic() < until_s:
            self._show_measuring(arrival, Hint.CALL_STAFF)
            await self._change()

    async def _outcome(self, passage: Passage, *, gate_opened: bool) -> Outcome:
        """Wait until the person left, or for a recheck until there is something new to judge."""
        if passage.decision.verdict is Verdict.RECHECK:
            return await self._retried(passage)
        self._presence.mark_served()
        until_s = time.monotonic() + self._settings.result_hold_s
        while (stays := self._stays()) and time.monotonic() < until_s:
            await self._change()
        if passage.decision.verdict is Verdict.ADMIT:
            return await self._through(until_s) if gate_opened else Outcome.GATE_FAILED
        return Outcome.STAYED if stays else Outcome.LEFT

    async def _through(self, until_s: float) -> Outcome:
        """Tell who walked through from a gate that only stood open, where a sensor is wired."""
        passed = await self._actor.passed(max(0.0, until_s - time.monotonic()))
        return Outcome.PASSED if passed else Outcome.OPENED

    async def _retried(self, passage: Passage) -> Outcome:
        """Give the person time to put it right; begin anew as soon as the evidence looks different."""
        started_s = time.monotonic()
        before = passage.measurement.mask.state
        self._presence.restart(started_s)
        waits_for_mask = bool(_ANSWERED_BY_MASK.intersection(passage.decision.reasons))
        while time.monotonic() - started_s < self._settings.recheck_wait_s:
            if self._presence.person is None and not self._parts.camera_lost:
                self._presence.mark_served()
                return Outcome.LEFT
            paused = time.monotonic() - started_s >= self._settings.recheck_pause_s
            mask = self._presence.recent_mask()
            if paused and (not waits_for_mask or (mask is not None and mask is not before)):
                break
            await self._change()
        self._presence.restart(time.monotonic())
        return Outcome.RETRIED

    def _stays(self) -> bool:
        person = self._presence.person
        return person is not None and person.served

    def _must_stay(self, arrival: Arrival) -> None:
        if arrival.person is not None and self._presence.person is not arrival.person and not self._parts.camera_lost:
            raise PersonLeft

    def _show_measuring(self, arrival: Arrival, hint: Hint | None) -> None:
        credential = self._presence.credential
        state = "none" if credential is None else credential.problem.value if credential.problem else "read"
        self._board.show(
            ScreenStage.MEASURING,
            hint=hint,
            face=arrival.person.box if arrival.person else None,
            temperature_c=self._presence.temperature().estimate_c,
            mask=self._presence.mask().state,
            credential=state,
        )

    async def _change(self) -> None:
        """Wait for new evidence, but look at the limits now and then."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_TICK_S):
                await self._presence.change()

"""Serves one person after another, from arrival to outcome. Read it straight down."""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from config.settings import ArrivalSettings
from edge_agent.box.wall_clock import WallClock
from edge_agent.diagnostics.metrics import UNKNOWN_LISTS, Metrics
from edge_agent.domain.passage import Credential, Measurement, Outcome, Passage, Reason, Verdict
from edge_agent.measurement.thermometer_drift import ThermometerDriftDetector
from edge_agent.passage.actuator import Actuator
from edge_agent.passage.person_tracker import Person, PersonTracker
from edge_agent.policy.active_policy import ActivePolicy
from edge_agent.policy.decide import decide
from edge_agent.records.passage_log import log_passage
from edge_agent.records.recorder import PassageRecorder
from edge_agent.screen.view_state import Hint, ScreenStage, ViewState
from sync.contract.health import Freshness, Lookup, LookupOutcome
from sync.contract.lists import label_of_list, unknown_lists
from sync.errors import StoreFull

_TICK_S = 0.25  # longest wait between two checks of the limits
_ANSWERED_BY_MASK = {Reason.MASK_MISSING, Reason.MASK_INCORRECT, Reason.MASK_UNJUDGED}


class HealthLookup(Protocol):
    """Looks up health statuses: `sync.edge.directory.directory.Directory`."""

    async def lookup(self, person_key: str, *, budget_s: float) -> Lookup: ...

    def freshness(self) -> tuple[Freshness, float]: ...


class LostParts(Protocol):
    """Which parts are lost now: `box.device_monitor.DeviceMonitor`."""

    @property
    def thermometer_lost(self) -> bool: ...

    @property
    def camera_lost(self) -> bool: ...


class PersonLeft(Exception):
    """The person went away before a verdict was taken."""


class LedgerFull(Exception):
    """The ledger has no room for a verdict: staff take care of this person."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A person to be served: `person` is None where the camera is lost and only a credential was shown."""

    person: Person | None
    arrived_at_s: float


class PassageLoop:
    """Serves people one by one until cancelled."""

    def __init__(
        self,
        *,
        tracker: PersonTracker,
        parts: LostParts,
        directory: HealthLookup,
        policy: ActivePolicy,
        recorder: PassageRecorder,
        actuator: Actuator,
        view_state: ViewState,
        clock: WallClock,
        metrics: Metrics,
        settings: ArrivalSettings,
        query_budget_s: float,
        credential_hint: Hint = Hint.SHOW_CODE,
    ) -> None:
        self._tracker = tracker
        self._parts = parts
        self._directory = directory
        self._policy = policy
        self._recorder = recorder
        self._actuator = actuator
        self._view_state = view_state
        self._clock = clock
        self._metrics = metrics
        self._settings = settings
        self._query_budget_s = query_budget_s
        self._credential_hint = credential_hint
        self._drift_detector = ThermometerDriftDetector()

    async def run(self) -> None:
        """Serve until cancelled."""
        chain: list[str] = []
        while True:
            try:
                passage, outcome = await self._serve(chain)
            except (PersonLeft, LedgerFull):
                self._tracker.mark_served()
                chain = []
                continue
            chain = [*chain, passage.passage_id] if outcome is Outcome.RETRIED else []

    async def _serve(self, chain: list[str]) -> tuple[Passage, Outcome]:
        arrival = await self._arrival()
        credential = await self._credential(arrival)
        measurement, lookup = await asyncio.gather(self._measured(arrival), self._looked_up(credential))
        decided = self._clock.now()
        policy = self._policy.at(decided)
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
            attempt=len(chain) + 1,
        )
        try:
            await self._recorder.commit(passage)
        except StoreFull as exc:
            await self._send_to_staff(arrival)
            raise LedgerFull from exc
        self._count(passage)
        acted = await self._actuator.carry_out(passage)
        log_passage(passage, acted.arrival_to_prompt_ms)
        await self._check_drift(passage)
        outcome = await self._outcome(passage, gate_opened=acted.gate_opened)
        await self._actuator.over(passage)
        await self._recorder.close(passage, outcome, acted.arrival_to_prompt_ms, gate_opened=acted.gate_opened)
        return passage, outcome

    def _count(self, passage: Passage) -> None:
        self._metrics.count(passage.decision.verdict.value, passage.decision.reasons[0].value)
        status = passage.lookup.status
        for label in sorted(set(map(label_of_list, unknown_lists(status.lists if status else ())))):
            self._metrics.count(UNKNOWN_LISTS, label)

    async def _arrival(self) -> Arrival:
        """Wait for a near and steady face that was not served yet; where the camera is lost, for a credential alone."""
        while True:
            person = self._tracker.person
            if person and self._tracker.steady and not person.served:
                return Arrival(person, person.steady_since_s)
            if self._parts.camera_lost and (credential := self._tracker.credential):
                return Arrival(None, credential.presented_at_s)
            self._show_waiting(person)
            await self._change()

    def _show_waiting(self, person: Person | None) -> None:
        if person is None:
            self._view_state.show(ScreenStage.IDLE)
        elif not person.served:
            hint = Hint.HOLD_STILL if person.near else Hint.COME_CLOSER
            self._view_state.show(ScreenStage.ARRIVAL, hint=hint, face=person.box)

    async def _credential(self, arrival: Arrival) -> Credential | None:
        """The credential shown last, else wait for one while asking for it; None when none is shown in time."""
        until_s = time.monotonic() + self._settings.credential_wait_s
        while (credential := self._tracker.credential) is None and time.monotonic() < until_s:
            self._must_stay(arrival)
            self._show_measuring(arrival, self._credential_hint)
            await self._change()
        return credential

    async def _measured(self, arrival: Arrival) -> Measurement:
        """Mask and temperature of this arrival; waits for both, and for a lost part not at all."""
        until_s = time.monotonic() + self._settings.measure_wait_s
        while not self._evidence_complete(arrival) and time.monotonic() < until_s:
            self._must_stay(arrival)
            self._show_measuring(arrival, None)
            await self._change()
        return Measurement(
            temperature=self._tracker.temperature(),
            mask=self._tracker.mask(),
            thermometer_lost=self._parts.thermometer_lost,
            camera_lost=arrival.person is None or self._parts.camera_lost,
        )

    def _evidence_complete(self, arrival: Arrival) -> bool:
        no_face = arrival.person is None or self._parts.camera_lost
        min_frames = self._policy.at(self._clock.now()).mask.min_frames
        mask_known = no_face or self._tracker.mask().frames >= min_frames
        warmth_known = no_face or self._parts.thermometer_lost or self._tracker.temperature().samples > 0
        return mask_known and warmth_known

    async def _looked_up(self, credential: Credential | None) -> Lookup:
        if credential is None or credential.person_key is None:
            freshness, age_s = self._directory.freshness()
            return Lookup(LookupOutcome.FAILED, None, freshness, age_s, "none")
        started_s = time.perf_counter()
        lookup = await self._directory.lookup(credential.person_key, budget_s=self._query_budget_s)
        self._metrics.note("lookup_ms", (time.perf_counter() - started_s) * 1000)
        return lookup

    async def _check_drift(self, passage: Passage) -> None:
        """Compare the thermometer with the people it measures; a person who is measured again counts once."""
        if passage.follows is None and (
            wrong := self._drift_detector.note(passage.measurement.temperature, passage.decided.wall.hour)
        ):
            await self._recorder.alarm("thermometer_drift", "thermometer", wrong)

    async def _send_to_staff(self, arrival: Arrival) -> None:
        """Show that staff will help until the person has left: a verdict that is not stored is not shown."""
        self._tracker.mark_served()
        until_s = time.monotonic() + self._settings.result_hold_s
        while self._stays() and time.monotonic() < until_s:
            self._show_measuring(arrival, Hint.CALL_STAFF)
            await self._change()

    async def _outcome(self, passage: Passage, *, gate_opened: bool) -> Outcome:
        """Wait until the person left, or for a recheck until there is something new to judge."""
        if passage.decision.verdict is Verdict.RECHECK:
            return await self._retried(passage)
        self._tracker.mark_served()
        until_s = time.monotonic() + self._settings.result_hold_s
        while (stays := self._stays()) and time.monotonic() < until_s:
            await self._change()
        if passage.decision.verdict is Verdict.ADMIT:
            return await self._through(until_s) if gate_opened else Outcome.GATE_FAILED
        return Outcome.STAYED if stays else Outcome.LEFT

    async def _through(self, until_s: float) -> Outcome:
        """PASSED where a sensor saw the person walk through, else OPENED."""
        passed = await self._actuator.passed(max(0.0, until_s - time.monotonic()))
        return Outcome.PASSED if passed else Outcome.OPENED

    async def _retried(self, passage: Passage) -> Outcome:
        """Give the person time to correct what was wrong; RETRIED as soon as the evidence changes."""
        started_s = time.monotonic()
        before = passage.measurement.mask.state
        self._tracker.restart(started_s, drop_credential=passage.credential_problem is not None)
        waits_for_mask = bool(_ANSWERED_BY_MASK.intersection(passage.decision.reasons))
        while time.monotonic() - started_s < self._settings.recheck_wait_s:
            if self._tracker.person is None and not self._parts.camera_lost:
                self._tracker.mark_served()
                return Outcome.LEFT
            paused = time.monotonic() - started_s >= self._settings.recheck_pause_s
            mask = self._tracker.recent_mask()
            if paused and (not waits_for_mask or (mask is not None and mask is not before)):
                break
            await self._change()
        self._tracker.restart(time.monotonic())
        return Outcome.RETRIED

    def _stays(self) -> bool:
        person = self._tracker.person
        return person is not None and person.served

    def _must_stay(self, arrival: Arrival) -> None:
        if arrival.person is not None and self._tracker.person is not arrival.person and not self._parts.camera_lost:
            raise PersonLeft

    def _show_measuring(self, arrival: Arrival, hint: Hint | None) -> None:
        credential = self._tracker.credential
        state = "none" if credential is None else credential.problem.value if credential.problem else "read"
        self._view_state.show(
            ScreenStage.MEASURING,
            hint=hint,
            face=arrival.person.box if arrival.person else None,
            temperature_c=self._tracker.temperature().estimate_c,
            mask=self._tracker.mask().state,
            credential=state,
        )

    async def _change(self) -> None:
        """Wait for new evidence, at most one tick."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_TICK_S):
                await self._tracker.change()

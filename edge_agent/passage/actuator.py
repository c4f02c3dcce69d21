"""Carries out decisions: screen, voice and gate."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from drivers.contract import Gate
from drivers.errors import DriverError
from edge_agent.diagnostics.metrics import Metrics
from edge_agent.domain.passage import Passage, Verdict
from edge_agent.screen.view_state import ScreenStage, ViewState
from edge_agent.speech.announcer import Announcer

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ActionResult:
    """What was done; `arrival_to_prompt_ms` is None where nothing was heard."""

    arrival_to_prompt_ms: int | None
    gate_opened: bool


class Actuator:
    """Carries out committed decisions."""

    def __init__(
        self, announcer: Announcer, gate: Gate, pulse_ms: int, view_state: ViewState, metrics: Metrics
    ) -> None:
        self._announcer = announcer
        self._gate = gate
        self._pulse_ms = pulse_ms
        self._view_state = view_state
        self._metrics = metrics

    async def carry_out(self, passage: Passage) -> ActionResult:
        """Show, speak and open at once; returns as soon as the voice has begun and the gate took the pulse."""
        prompt = self._announcer.prompt_for(passage.decision)
        self._show(passage, prompt)
        lit = self._light(passage, on=True)
        started_s, opened, _ = await asyncio.gather(self._announcer.say(prompt), self._open(passage), lit)
        if started_s is None:
            return ActionResult(None, opened)
        arrival_to_prompt_ms = round((started_s - passage.arrived_at_s) * 1000)
        self._metrics.note("arrival_to_prompt_ms", arrival_to_prompt_ms)
        self._metrics.note("commit_to_prompt_ms", (started_s - passage.decided.monotonic_s) * 1000)
        return ActionResult(arrival_to_prompt_ms, opened)

    async def passed(self, limit_s: float) -> bool:
        """Whether a person walked through the opened gate within `limit_s`; False where no sensor is wired."""
        return await self._gate.passed(limit_s)

    async def over(self, passage: Passage) -> None:
        """The person has left: switch the lamp off."""
        await self._light(passage, on=False)

    async def _light(self, passage: Passage, *, on: bool) -> None:
        """Switch the lamp for a passage that staff are called to."""
        if passage.decision.verdict is not Verdict.ASSIST:
            return
        try:
            await self._gate.light(on=on)
        except DriverError as exc:
            _LOG.warning("the lamp was not switched: %s", exc)

    def _show(self, passage: Passage, prompt: str | None) -> None:
        problem = passage.credential_problem
        self._view_state.show(
            ScreenStage.RESULT,
            temperature_c=passage.measurement.temperature.estimate_c,
            mask=passage.measurement.mask.state,
            credential="none" if passage.credential is None else problem.value if problem else "read",
            decision=passage.decision,
            prompt=prompt,
        )

    async def _open(self, passage: Passage) -> bool:
        if passage.decision.verdict is not Verdict.ADMIT:
            return False
        try:
            await self._gate.pulse(self._pulse_ms)
        except DriverError as exc:
            _LOG.warning("the gate did not open: %s", exc)
            return False
        return True

"""The status of the running agent as one dictionary, free of personal data."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec
import psutil

from drivers.contract import Part
from edge_agent.diagnostics.metrics import UNKNOWN_LISTS, Metrics
from edge_agent.runtime.process_age import age_s
from edge_agent.screen.view_state import ViewState
from sync.edge.ledger.ledger import LedgerStatus
from sync.edge.link.link import LinkStatus


class StatusReport:
    """Collects the status from the parts of the agent."""

    def __init__(
        self,
        *,
        view_state: ViewState,
        metrics: Metrics,
        parts: Sequence[Part],
        outbox: Callable[[], Awaitable[LedgerStatus]],
        link: Callable[[], LinkStatus],
        versions: dict[str, str],
        speech: Callable[[], dict[str, object]],
        broadcasts: Callable[[], dict[str, object]],
    ) -> None:
        self._view_state = view_state
        self._metrics = metrics
        self._parts = parts
        self._outbox = outbox
        self._link = link
        self._versions = versions
        self._speech = speech
        self._broadcasts = broadcasts
        self._process = psutil.Process()

    async def report(self) -> dict[str, object]:
        """The status, ready for JSON."""
        metrics = self._metrics
        counts = metrics.counts()
        return {
            "versions": self._versions,
            "up_s": round(age_s(), 1),
            "rss_mb": round(self._process.memory_info().rss / 1e6, 1),
            "cpu_s": round(sum(self._process.cpu_times()[:2]), 2),
            "cold_start_s": metrics.last("cold_start_s"),
            "view": to_plain(self._view_state.view),
            "counters": {part.name: part.counters for part in self._parts},
            "outbox": to_plain(await self._outbox()),
            "link": to_plain(self._link()),
            "unknown_lists": counts.pop(UNKNOWN_LISTS, {}),
            "verdicts": counts,
            "voice": self._speech(),
            "broadcasts": self._broadcasts(),
            "arrival_to_prompt_ms": metrics.percentiles("arrival_to_prompt_ms", 50, 95, 99),
            "commit_to_prompt_ms": metrics.percentiles("commit_to_prompt_ms", 50, 95, 99),
            "vision_ms": metrics.percentiles("vision_ms", 50, 95),
            "face_ms": metrics.percentiles("face_ms", 50, 95),
            "lookup_ms": metrics.percentiles("lookup_ms", 50, 99),
        }


def to_plain(value: object) -> object:
    """A struct as dictionaries and lists; a path becomes text."""
    return msgspec.to_builtins(value, enc_hook=str)

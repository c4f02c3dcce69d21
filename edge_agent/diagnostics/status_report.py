"""What a person or a script may ask of a running agent: one plain dictionary, free of personal data."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec
import psutil

from drivers.contract import Part
from edge_agent.diagnostics.metrics import Metrics
from edge_agent.runtime.process_age import age_s
from edge_agent.screen.view_state import ViewState
from sync.edge.ledger.ledger import LedgerStatus
from sync.edge.link.link import LinkStatus


class StatusReport:
    """Puts together the state of the agent from its parts."""

    def __init__(
        self,
        *,
        board: ViewState,
        figures: Metrics,
        parts: Sequence[Part],
        outbox: Callable[[], Awaitable[LedgerStatus]],
        link: Callable[[], LinkStatus],
        versions: dict[str, str],
        voice: Callable[[], dict[str, object]],
        broadcasts: Callable[[], dict[str, object]],
    ) -> None:
        self._board = board
        self._figures = figures
        self._parts = parts
        self._outbox = outbox
        self._link = link
        self._versions = versions
        self._voice = voice
        self._broadcasts = broadcasts
        self._process = psutil.Process()

    async def report(self) -> dict[str, object]:
        """Everything, ready for JSON."""
        figures = self._figures
        return {
            "versions": self._versions,
            "up_s": round(age_s(), 1),
            "rss_mb": round(self._process.memory_info().rss / 1e6, 1),
            "cpu_s": round(sum(self._process.cpu_times()[:2]), 2),
            "cold_start_s": figures.last("cold_start_s"),
            "view": to_plain(self._board.view),
            "counters": {part.name: part.counters for part in self._parts},
            "outbox": to_plain(await self._outbox()),
            "link": to_plain(self._link()),
            "verdicts": figures.counts(),
            "voice": self._voice(),
            "broadcasts": self._broadcasts(),
            "arrival_to_prompt_ms": figures.percentiles("arrival_to_prompt_ms", 50, 95, 99),
            "commit_to_prompt_ms": figures.percentiles("commit_to_prompt_ms", 50, 95, 99),
            "vision_ms": figures.percentiles("vision_ms", 50, 95),
            "face_ms": figures.percentiles("face_ms", 50, 95),
            "lookup_ms": figures.percentiles("lookup_ms", 50, 99),
        }


def to_plain(value: object) -> object:
    """A frozen value as dictionaries and lists; a path becomes text."""
    return msgspec.to_builtins(value, enc_hook=str)

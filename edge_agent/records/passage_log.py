"""One readable line a passage, free of personal data."""

from __future__ import annotations

import logging

from edge_agent.domain.passage import Passage

_LOG = logging.getLogger("edge_agent.passage")


def log_passage(passage: Passage, arrival_to_prompt_ms: int | None) -> None:
    """Log what was decided about the passage, why, and how fast."""
    reading = passage.measurement.temperature
    _LOG.info(
        "%-7s %-28s %s  mask %-9s  %s, data %s (%.0f s)  prompt after %s",
        passage.decision.verdict.value,
        "+".join(reason.value for reason in passage.decision.reasons),
        "--.- °C" if reading.estimate_c is None else f"{reading.estimate_c:.1f} °C",
        passage.measurement.mask.state or "unjudged",
        passage.lookup.outcome.value,
        passage.lookup.freshness.value,
        passage.lookup.age_s,
        "--" if arrival_to_prompt_ms is None else f"{arrival_to_prompt_ms} ms",
    )

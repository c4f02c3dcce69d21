"""Runs a simulation and reports its measurements as JSON."""

from __future__ import annotations

import asyncio
import threading
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from sync.platform.records.open_store import open_store
from sync.platform.records.received import today
from sync.platform.simulation.fleet import ProgressReport, SimulatedFleet, raise_file_limit
from sync.platform.simulation.platform import SimulatedPlatform
from sync.platform.simulation.timeline import Simulation, SimulationTimeline

_SAMPLE_S = 1.0


@dataclass(slots=True)
class _Use:
    """Memory and CPU time of one process."""

    rss_mb: float = 0.0  # maximum
    cpu_s: float = 0.0


async def simulate(settings: Simulation, report_progress: ProgressReport) -> dict[str, Any]:
    """Run the simulation; returns the report. Raises LinkLost, StoreFailed."""
    raise_file_limit()
    timeline = SimulationTimeline()
    uses: dict[str, _Use] = {}
    async with SimulatedPlatform(settings, timeline).running() as platform:
        async with asyncio.TaskGroup() as group:
            sampling = group.create_task(_sample(timeline, uses), name="sample")
            await SimulatedFleet(settings, platform, timeline, report_progress).run()
            sampling.cancel()
        report = _report(settings, timeline, platform)
        report["processes"] = {
            name: {"rss_mb": round(use.rss_mb, 1), "cpu_s": round(use.cpu_s, 1)} for name, use in sorted(uses.items())
        }
        report["threads"] = threading.active_count()
        report["at_platform"] = await _at_platform(platform, timeline) if settings.broker is None else None
    return report


def _report(settings: Simulation, timeline: SimulationTimeline, platform: SimulatedPlatform) -> dict[str, Any]:
    metrics = timeline.metrics
    attempts = sorted(at_s for each in timeline.attempts_s.values() for at_s in each if at_s <= timeline.drained_s)
    connects = platform.gate.attempts_s if platform.gate else []
    after = [at_s for at_s in attempts if timeline.broker_gone_s and at_s >= timeline.broker_gone_s]
    return {
        "boxes": settings.boxes,
        "tls": settings.tls,
        "minutes": settings.minutes,
        "passages_per_box_and_hour": settings.per_hour,
        "opened_s": round(timeline.opened_s, 1),
        "all_connected_s": round(timeline.all_connected_s - timeline.switched_on_s, 1),
        "outage": {
            "broker_away_s": settings.outage_s,
            "attempts": len(after),
            "peak_attempts_per_s": most_within(after, 1.0),
            "most_attempts_of_one_box_per_min": max(
                (
                    most_within([at_s for at_s in each if at_s >= timeline.broker_gone_s], 60.0)
                    for each in timeline.attempts_s.values()
                ),
                default=0,
            ),
            "all_back_s": round(timeline.all_back_s - timeline.broker_back_s, 1),
        }
        if settings.outage_s
        else None,
        "peak_connects_per_s": most_within(connects or attempts, 1.0),
        "door": {"knocks": len(connects), "admitted": platform.gate.admitted} if platform.gate else None,
        "records": metrics.appended,
        "acknowledged": metrics.acknowledged,
        "boxes_not_drained": timeline.undrained,
        "drained_after_traffic_s": round(timeline.drained_s - timeline.traffic_over_s, 1),
        "acknowledged_per_s": round(metrics.acknowledged / (timeline.drained_s - timeline.all_connected_s), 1),
        "latency_ms": {
            "live": percentiles(metrics.live_s),
            "alarms": percentiles(metrics.alarm_s),
            "written_offline_or_before": percentiles(metrics.late_s),
            "revocation": percentiles(timeline.revoked_s),
            "lag_of_the_simulation": percentiles(timeline.lags_s),
        },
    }


async def _at_platform(platform: SimulatedPlatform, timeline: SimulationTimeline) -> dict[str, int]:
    """Counts of the records in the store, compared with what the boxes wrote."""
    async with open_store(platform.records, reading=True) as store:
        totals = await store.totals(today(), 1)
        lost = 0
        for box, last_seq in timeline.last_seq.items():
            spans = await store.spans(box, None)
            holes = await store.holes(box, spans[-1].epoch, 1, last_seq) if spans else [(1, last_seq)]
            lost += sum(last - first + 1 for first, last in holes)
    return {
        "records": sum(totals.kinds.values()),
        "lost": lost,
        "duplicates": totals.duplicates,
        "redelivered": totals.redelivered,
    }


async def _sample(timeline: SimulationTimeline, uses: dict[str, _Use]) -> None:
    own = psutil.Process()
    while True:
        for name, pid in {"simulation": own.pid, **timeline.processes}.items():
            use = uses.setdefault(name, _Use())
            try:
                process = psutil.Process(pid)
                use.rss_mb = max(use.rss_mb, process.memory_info().rss / 1e6)
                use.cpu_s = sum(process.cpu_times()[:2])
            except psutil.NoSuchProcess:
                continue
        await asyncio.sleep(_SAMPLE_S)


def percentiles(seconds: Iterable[float]) -> dict[str, float | int]:
    """Number of values, and p50, p99 and maximum in milliseconds."""
    values = sorted(seconds)
    if not values:
        return {"count": 0}
    at = {"p50": values[len(values) // 2], "p99": values[int(len(values) * 0.99)], "max": values[-1]}
    return {"count": len(values), **{name: round(1000 * value, 1) for name, value in at.items()}}


def most_within(times_s: Sequence[float], window_s: float) -> int:
    """The largest number of `times_s` within any `window_s`."""
    ordered = sorted(times_s)
    return max((bisect_left(ordered, at_s + window_s) - place for place, at_s in enumerate(ordered)), default=0)

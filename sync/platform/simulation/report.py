"""What a simulation measured, as plain JSON."""

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
from sync.platform.simulation.city import SimulatedPlatform
from sync.platform.simulation.course import Simulation, SimulationTimeline
from sync.platform.simulation.fleet import Say, SimulatedFleet, raise_file_limit

_SAMPLE_S = 1.0


@dataclass(slots=True)
class _Use:
    """Memory and processor time of one process."""

    rss_mb: float = 0.0  # the most seen
    cpu_s: float = 0.0


async def simulate(settings: Simulation, say: Say) -> dict[str, Any]:
    """Run it and tell what happened. Raises LinkLost, StoreFailed."""
    raise_file_limit()
    course = SimulationTimeline()
    uses: dict[str, _Use] = {}
    async with SimulatedPlatform(settings, course).running() as city:
        async with asyncio.TaskGroup() as group:
            sampling = group.create_task(_sample(course, uses), name="sample")
            await SimulatedFleet(settings, city, course, say).run()
            sampling.cancel()
        report = _report(settings, course, city)
        report["processes"] = {
            name: {"rss_mb": round(use.rss_mb, 1), "cpu_s": round(use.cpu_s, 1)} for name, use in sorted(uses.items())
        }
        report["threads"] = threading.active_count()
        report["at_platform"] = await _at_platform(city, course) if settings.broker is None else None
    return report


def _report(settings: Simulation, course: SimulationTimeline, city: SimulatedPlatform) -> dict[str, Any]:
    figures = course.figures
    attempts = sorted(at_s for each in course.attempts_s.values() for at_s in each if at_s <= course.drained_s)
    knocks = city.gate.knocks_s if city.gate else []
    after = [at_s for at_s in attempts if course.broker_gone_s and at_s >= course.broker_gone_s]
    return {
        "boxes": settings.boxes,
        "tls": settings.tls,
        "minutes": settings.minutes,
        "passages_per_box_and_hour": settings.per_hour,
        "opened_s": round(course.opened_s, 1),
        "all_connected_s": round(course.all_connected_s - course.switched_on_s, 1),
        "outage": {
            "broker_away_s": settings.outage_s,
            "attempts": len(after),
            "peak_attempts_per_s": most_within(after, 1.0),
            "most_attempts_of_one_box_per_min": max(
                (
                    most_within([at_s for at_s in each if at_s >= course.broker_gone_s], 60.0)
                    for each in course.attempts_s.values()
                ),
                default=0,
            ),
            "all_back_s": round(course.all_back_s - course.broker_back_s, 1),
        }
        if settings.outage_s
        else None,
        "peak_connects_per_s": most_within(knocks or attempts, 1.0),
        "door": {"knocks": len(knocks), "admitted": city.gate.admitted} if city.gate else None,
        "records": figures.appended,
        "acknowledged": figures.acknowledged,
        "boxes_not_drained": course.undrained,
        "drained_after_traffic_s": round(course.drained_s - course.traffic_over_s, 1),
        "acknowledged_per_s": round(figures.acknowledged / (course.drained_s - course.all_connected_s), 1),
        "latency_ms": {
            "live": percentiles(figures.live_s),
            "alarms": percentiles(figures.alarm_s),
            "written_offline_or_before": percentiles(figures.late_s),
            "revocation": percentiles(course.revoked_s),
            "lag_of_the_simulation": percentiles(course.lags_s),
        },
    }


async def _at_platform(city: SimulatedPlatform, course: SimulationTimeline) -> dict[str, int]:
    """What lies in the store, against what the boxes wrote."""
    async with open_store(city.records, reading=True) as store:
        totals = await store.totals(today(), 1)
        lost = 0
        for box, last_seq in course.last_seq.items():
            spans = await store.spans(box, None)
            holes = await store.holes(box, spans[-1].epoch, 1, last_seq) if spans else [(1, last_seq)]
            lost += sum(last - first + 1 for first, last in holes)
    return {
        "records": sum(totals.kinds.values()),
        "lost": lost,
        "duplicates": totals.duplicates,
        "redelivered": totals.redelivered,
    }


async def _sample(course: SimulationTimeline, uses: dict[str, _Use]) -> None:
    own = psutil.Process()
    while True:
        for name, pid in {"simulation": own.pid, **course.processes}.items():
            use = uses.setdefault(name, _Use())
            try:
                process = psutil.Process(pid)
                use.rss_mb = max(use.rss_mb, process.memory_info().rss / 1e6)
                use.cpu_s = sum(process.cpu_times()[:2])
            except psutil.NoSuchProcess:
                continue
        await asyncio.sleep(_SAMPLE_S)


def percentiles(seconds: Iterable[float]) -> dict[str, float | int]:
    """Number of values, and p50, p99 and the largest in milliseconds."""
    values = sorted(seconds)
    if not values:
        return {"count": 0}
    at = {"p50": values[len(values) // 2], "p99": values[int(len(values) * 0.99)], "max": values[-1]}
    return {"count": len(values), **{name: round(1000 * value, 1) for name, value in at.items()}}


def most_within(times_s: Sequence[float], window_s: float) -> int:
    """The most of `times_s` that lie within any `window_s`."""
    ordered = sorted(times_s)
    return max((bisect_left(ordered, at_s + window_s) - place for place, at_s in enumerate(ordered)), default=0)

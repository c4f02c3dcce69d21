"""Figures of this run for the status: latencies and counts, bounded."""

from __future__ import annotations

from collections import Counter, deque

_KEPT = 2048


class Metrics:
    """Named series of measured numbers, each keeping its newest 2,048, and counts by two labels."""

    def __init__(self) -> None:
        self._series: dict[str, deque[float]] = {}
        self._counts: dict[str, Counter[str]] = {}

    def note(self, name: str, value: float) -> None:
        """Add one value to the series `name`."""
        self._series.setdefault(name, deque(maxlen=_KEPT)).append(value)

    def count(self, group: str, label: str) -> None:
        """Count one more `label` in `group`."""
        self._counts.setdefault(group, Counter())[label] += 1

    def counts(self) -> dict[str, dict[str, int]]:
        """Every count, by group and label."""
        return {group: dict(labels) for group, labels in self._counts.items()}

    def last(self, name: str) -> float | None:
        """The newest value of the series."""
        values = self._series.get(name)
        return round(values[-1], 3) if values else None

    def percentiles(self, name: str, *wanted: int) -> dict[str, float | None]:
        """`{"p50": …}` of the series by nearest rank, None where nothing was measured."""
        values = sorted(self._series.get(name, ()))
        return {f"p{percent}": _percentile(values, percent) for percent in wanted}


def _percentile(values: list[float], percent: int) -> float | None:
    if not values:
        return None
    return round(values[max(0, -(-percent * len(values) // 100) - 1)], 2)

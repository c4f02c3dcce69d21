"""Metrics of this process for the status report: latencies and counters, bounded."""

from __future__ import annotations

from collections import Counter, deque

_SERIES_LENGTH = 2048
_LABELS = 100
_OTHER = "other"
UNKNOWN_LISTS = "unknown_lists"  # counter group: lists of people at the gate that no rule knows, by class


class Metrics:
    """Named series, each with its newest 2,048 values, and counters by group and label, 100 labels in a group."""

    def __init__(self) -> None:
        self._series: dict[str, deque[float]] = {}
        self._counts: dict[str, Counter[str]] = {}

    def note(self, name: str, value: float) -> None:
        """Append a value to the series `name`."""
        self._series.setdefault(name, deque(maxlen=_SERIES_LENGTH)).append(value)

    def count(self, group: str, label: str) -> None:
        """Increment the counter `label` of `group`; further labels of a full group are counted as `other`."""
        counts = self._counts.setdefault(group, Counter())
        counts[label if label in counts or len(counts) < _LABELS else _OTHER] += 1

    def counts(self) -> dict[str, dict[str, int]]:
        """All counters, by group and label."""
        return {group: dict(labels) for group, labels in self._counts.items()}

    def last(self, name: str) -> float | None:
        """The newest value of the series, None if it is empty."""
        values = self._series.get(name)
        return round(values[-1], 3) if values else None

    def percentiles(self, name: str, *wanted: int) -> dict[str, float | None]:
        """Percentiles of the series by nearest rank, as `{"p50": …}`; None if it is empty."""
        values = sorted(self._series.get(name, ()))
        return {f"p{percent}": _percentile(values, percent) for percent in wanted}


def _percentile(values: list[float], percent: int) -> float | None:
    if not values:
        return None
    return round(values[max(0, -(-percent * len(values) // 100) - 1)], 2)

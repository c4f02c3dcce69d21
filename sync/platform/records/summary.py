"""What a batch of new records adds to the summaries, from which the fleet page reads its counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sync.contract.records import RECORD_TYPES
from sync.platform.records.received import ReceivedRecord

KIND = "kind"  # key: kind of record, or OTHER: a box can invent kinds
OTHER = "other"
VERDICT = "verdict"  # key: verdict, detail: its first reason
DUPLICATE = "duplicate"  # an effect stored with a second number; must stay 0
REDELIVERED = "redelivered"  # a record that was received again and ignored


def day_tally(day: str) -> str:
    """Name of the tally of one day; key: box, detail: verdict."""
    return f"day {day}"


@dataclass(frozen=True, slots=True)
class Summary:
    """Rows to add to the tables, sorted by key so that two writers do not deadlock."""

    tally: list[tuple[str, str, str, int]]  # name, key, detail, count
    streams: list[tuple[str, str, int, int, int]]  # box, epoch, records, highest seq, newest receipt in ms
    spans: list[tuple[str, str, str, int, int, int]]  # box, day, epoch, records, first seq, last seq


def summarise(new: Sequence[ReceivedRecord], redelivered: int, duplicates: int) -> Summary:
    """The summary of `new` records, which were not stored before."""
    tally: Counter[tuple[str, str, str]] = Counter()
    streams: dict[tuple[str, str], tuple[int, int, int]] = {}
    spans: dict[tuple[str, str, str], tuple[int, int, int]] = {}
    for each in new:
        name, day = each.name, each.day
        tally[KIND, each.kind if each.kind in RECORD_TYPES else OTHER, ""] += 1
        if each.verdict is not None:
            tally[VERDICT, each.verdict, each.reason or ""] += 1
            tally[day_tally(day), name.box, each.verdict] += 1
        count, highest, newest_ms = streams.get((name.box, name.epoch), (0, 0, 0))
        streams[name.box, name.epoch] = (count + 1, max(highest, name.seq), max(newest_ms, each.received_ms))
        count, first, last = spans.get((name.box, day, name.epoch), (0, name.seq, name.seq))
        spans[name.box, day, name.epoch] = (count + 1, min(first, name.seq), max(last, name.seq))
    for what, count in ((REDELIVERED, redelivered), (DUPLICATE, duplicates)):
        if count:
            tally[what, "", ""] += count
    return Summary(
        tally=sorted((*key, count) for key, count in tally.items()),
        streams=sorted((*key, *value) for key, value in streams.items()),
        spans=sorted((*key, *value) for key, value in spans.items()),
    )

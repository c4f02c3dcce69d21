"""The queue of broadcasts: which are valid, which are due, which is next. No I/O and no clock."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from datetime import datetime, timedelta

from edge_agent.speech.broadcasts.broadcast import OfferResult, trimmed
from edge_agent.speech.broadcasts.saved_broadcasts import SavedBroadcasts
from edge_agent.speech.broadcasts.schedule import BadSchedule, Schedule
from sync.contract.orders import Broadcast, Priority

KEPT = 64
PLAYED_KEPT = 256  # remembered ids, so that a broadcast delivered twice is played once
TOO_LATE = timedelta(minutes=10)  # a scheduled broadcast that waited this long is skipped
LOOK_AHEAD = timedelta(hours=24)


@dataclass(slots=True)
class QueuedBroadcast:
    """One queued broadcast; it has been waiting to be played since `due`."""

    broadcast: Broadcast
    schedule: Schedule | None
    order: int
    due: datetime | None = None
    minute: datetime | None = None  # the last scheduled minute that was handled

    def next(self, now: datetime) -> datetime | None:
        """When it is played next, None where that is not known or too far off."""
        start = self.broadcast.valid_from.astimezone(now.tzinfo)
        if self.schedule is not None:
            at = self.schedule.next(max(now, start), LOOK_AHEAD)
        else:
            at = start if now < start < now + LOOK_AHEAD else None
        return at if at is not None and at < self.broadcast.valid_until else None


class BroadcastQueue:
    """At most KEPT broadcasts; every `now` is the local time, with its zone.

    `certain`: whether `now` is confirmed. If not, a broadcast that seems to be over is not played and stays queued.
    """

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self._entries: dict[str, QueuedBroadcast] = {}
        self._played: deque[str] = deque(maxlen=PLAYED_KEPT)
        self._order = 0

    def restore(self, kept: SavedBroadcasts, languages: tuple[str, ...], now: datetime, *, certain: bool) -> None:
        """Queue the saved broadcasts that are still valid."""
        self._played.extend(kept.told)
        for broadcast in kept.broadcasts:
            self.take(broadcast, languages, now, certain=certain)

    def kept(self) -> SavedBroadcasts:
        """The state that must survive a restart."""
        return SavedBroadcasts(tuple(entry.broadcast for entry in self._entries.values()), tuple(self._played))

    def take(self, broadcast: Broadcast, languages: tuple[str, ...], now: datetime, *, certain: bool) -> OfferResult:
        """Queue a broadcast that has a text in one of `languages`; returns whether it was accepted."""
        broadcast = trimmed(broadcast)
        if (certain and broadcast.valid_until <= now) or broadcast.broadcast_id in self._played:
            return OfferResult.OVER
        if not any(broadcast.texts.get(language) for language in languages):
            return OfferResult.EMPTY
        try:
            schedule = Schedule.parse(broadcast.schedule) if broadcast.schedule else None
        except BadSchedule:
            return OfferResult.BAD_SCHEDULE
        known = self._entries.get(broadcast.broadcast_id)
        if known and known.broadcast == broadcast:
            return OfferResult.REPLACED
        if not known and len(self._entries) >= KEPT and not self._made_room_for(broadcast):
            return OfferResult.FULL
        self._order += 1
        self._entries[broadcast.broadcast_id] = QueuedBroadcast(broadcast, schedule, self._order)
        return OfferResult.REPLACED if known else OfferResult.TAKEN

    def strike(self, broadcast_id: str) -> bool:
        """Remove a broadcast; False where it is not queued."""
        return self._entries.pop(broadcast_id, None) is not None

    def look(self, now: datetime, *, quiet: bool, certain: bool) -> None:
        """Remove expired broadcasts and mark due ones; scheduled ones are skipped in quiet hours."""
        if certain:
            for name in [name for name, entry in self._entries.items() if entry.broadcast.valid_until <= now]:
                del self._entries[name]
        for entry in self._entries.values():
            if entry.broadcast.valid_from <= now < entry.broadcast.valid_until:
                self._note_due(entry, now, quiet=quiet)
            else:
                entry.due = None

    def emergency(self, now: datetime) -> Broadcast | None:
        """The newest emergency that is valid."""
        emergencies = self._of(Priority.EMERGENCY)
        valid = [each for each in emergencies if each.broadcast.valid_from <= now < each.broadcast.valid_until]
        return max(valid, key=lambda entry: entry.order).broadcast if valid else None

    def coming(self, now: datetime) -> tuple[datetime, Broadcast] | None:
        """The next broadcast and its time."""
        coming = [(at, entry.order, entry) for entry in self._of(Priority.NORMAL) if (at := entry.next(now))]
        if not coming:
            return None
        at, _, entry = min(coming)
        return at, entry.broadcast

    def pop_due(self) -> Broadcast | None:
        """Remove and return the broadcast that has waited longest; it counts as played."""
        due = [(entry.due, entry.order, entry) for entry in self._of(Priority.NORMAL) if entry.due is not None]
        if not due:
            return None
        entry = min(due)[2]
        entry.due = None
        if entry.schedule is None:
            del self._entries[entry.broadcast.broadcast_id]
            self._played.append(entry.broadcast.broadcast_id)
        return entry.broadcast

    def again(self, broadcast: Broadcast, now: datetime) -> None:
        """Queue an interrupted broadcast once more, behind those that are due."""
        name = broadcast.broadcast_id
        if name in self._played:
            self._played.remove(name)
            self._order += 1
            self._entries[name] = QueuedBroadcast(broadcast, None, self._order)
        if name in self._entries:
            self._entries[name].due = now

    def status(self) -> dict[str, object]:
        """Number of queued broadcasts and counters."""
        due = sum(entry.due is not None for entry in self._entries.values())
        return {"listed": len(self._entries), "due": due, **self.counters}

    def _of(self, priority: Priority) -> list[QueuedBroadcast]:
        return [entry for entry in self._entries.values() if entry.broadcast.priority is priority]

    def _made_room_for(self, broadcast: Broadcast) -> bool:
        """Remove the newest normal broadcast to make room for an emergency."""
        normal = self._of(Priority.NORMAL)
        if broadcast.priority is not Priority.EMERGENCY or not normal:
            return False
        del self._entries[max(normal, key=lambda entry: entry.order).broadcast.broadcast_id]
        self.counters["given_up_for_emergency"] += 1
        return True

    def _note_due(self, entry: QueuedBroadcast, now: datetime, *, quiet: bool) -> None:
        if entry.schedule is None:
            entry.due = entry.due or now
            return
        minute = now.replace(second=0, microsecond=0)
        if minute != entry.minute and entry.schedule.matches(now):
            entry.minute = minute
            entry.due = None if quiet else now
        if entry.due is not None and now - entry.due > TOO_LATE:
            entry.due = None
            self.counters["too_late"] += 1

"""Moves the outbox to the platform: alarms before live passages before backlog."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Coroutine, Iterable, Iterator
from dataclasses import dataclass

import msgspec

from sync.contract.envelope import Event
from sync.contract.messages import BACKLOG_LIMIT, Ack, Backlog, BacklogEntry
from sync.contract.records import RecordId
from sync.contract.topics import Channel, Topic, source_from
from sync.edge.ledger.ledger import Ledger
from sync.edge.ledger.schema import Row, wall_ms
from sync.edge.link.rate_limit import RateLimiter
from sync.errors import LinkLost, PublishRefused
from sync.interruptible_sleep import happened
from sync.mqtt.connection import Connection
from sync.mqtt.events import publish_event

_BACKLOG_PATIENCE = 3  # its turn comes late at a platform that a whole district fills after an outage


@dataclass(frozen=True, slots=True)
class SenderSettings:
    """Pace of the pump. Windows count records that were sent and not yet acknowledged by the platform."""

    resend_s: float = 10.0  # without an acknowledgement a record is sent again; backlog has more patience
    live_age_s: float = 60.0  # older passages are history and travel as backlog
    alarm_window: int = 100
    live_window: int = 20  # when more passages wait, all of them are backlog, and only later ones are live again
    backlog_window: int = 10 * BACKLOG_LIMIT  # without a pace; with one, a message at a time
    silent_s: float = 30.0  # an acknowledgement is owed for so long: the platform is taken for away
    lost_s: float = 90.0  # and now the connection is given up


@dataclass(frozen=True, slots=True)
class _Sent:
    """What is on the way: when it is due again (monotonic), and whether it went as backlog."""

    due_s: float
    is_backlog: bool


class Sender:
    """Serves one connection. The outbox alone remembers what is owed; here is only what was lately sent.

    The broker's PUBACK frees nothing. While the platform is away nothing is sent: the broker would take it and drop it.
    Whether it listens is told by the age of its last acknowledgement, and not by what it once said.
    """

    def __init__(
        self, ledger: Ledger, connection: Connection, district: str, box: str, settings: SenderSettings
    ) -> None:
        self._ledger = ledger
        self._connection = connection
        self._district = district
        self._box = box
        self._settings = settings
        self._sent: dict[tuple[str, int], _Sent] = {}  # by epoch and number
        self._freed: set[tuple[str, int]] = set()  # of those, what was settled since the last read began
        self._read_to = 0  # backlog up to this number was read and sent
        self._pace = RateLimiter()
        self._owed_since_s: float | None = None  # since when an acknowledgement is missing, monotonic
        self._live_after = 0  # passages up to this number are backlog
        self._platform = asyncio.Event()
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Send what is due, for ever; raises LinkLost."""
        with self._ledger.changes.waking(self._wake):
            while True:
                await happened(self._platform)
                self._wake.clear()
                while self._platform.is_set() and await self._send_next():
                    pass
                await self._rest()

    @property
    def platform_is_silent(self) -> bool:
        """Whether the platform owes us an acknowledgement for so long that it must be away, whatever it says."""
        return self._silent_s() > self._settings.silent_s

    def _silent_s(self) -> float:
        return 0.0 if self._owed_since_s is None else time.monotonic() - self._owed_since_s

    def platform_is(self, *, online: bool, backlog_per_s: float | None = None) -> None:
        """Start or stop sending. A platform says `online` when it begins: what it had not committed may be gone."""
        self._owed_since_s = None
        if online:
            self._sent.clear()
            self._read_to = 0
            self._pace.set(backlog_per_s)
            self._platform.set()
        else:
            self._platform.clear()
        self._wake.set()

    def pace_is(self, backlog_per_s: float | None) -> None:
        """Go on at another pace."""
        self._pace.set(backlog_per_s)
        self._wake.set()

    async def acknowledged(self, ack: Ack) -> None:
        """Let the outbox forget what the platform committed, and park what it will never take."""
        await self._ledger.acknowledge(ack.epoch, ack.ranges, ack.heads)
        for refusal in ack.refused:
            await self._ledger.park(ack.epoch, refusal.seq, f"platform: {refusal.reason}")
        if ack.missing:
            await self._ledger.owe_again(ack.epoch, ack.missing)
            self._read_to = 0
        settled = (*ack.ranges, *((refusal.seq, refusal.seq) for refusal in ack.refused))
        for epoch, seq in list(self._sent):
            if epoch == ack.epoch and any(first <= seq <= last for first, last in settled):
                del self._sent[epoch, seq]
                self._freed.add((epoch, seq))
        self._owed_since_s = time.monotonic() if self._sent else None
        if ack.backlog_per_s is not None:
            self._pace.set(ack.backlog_per_s)

    async def _rest(self) -> None:
        """Until something changes, the row that was sent first is due again, or the pace allows more backlog."""
        if self._silent_s() > self._settings.lost_s:
            raise LinkLost(f"no acknowledgement for {self._settings.lost_s:.3g} s")
        # With something overdue, or nothing on the way, the backlog is read from its start: what is owed is there.
        now_s = time.monotonic()
        owed = {name: sent for name, sent in self._sent.items() if sent.due_s > now_s}
        if self._read_to and (len(owed) < len(self._sent) or not owed):
            self._read_to = 0
            self._wake.set()
        self._sent = owed
        waits = [wait_s] if (wait_s := self._pace.wait_s()) else []
        if self._sent:
            waits.append(min(sent.due_s for sent in owed.values()) - now_s)
        await happened(self._wake, min(waits) if waits and self._platform.is_set() else math.inf)

    async def _send_next(self) -> bool:
        """Send the most urgent messages that are due; False when none is."""
        if alarms := self._due(await self._alarms()):
            await _together(self._send_live(Channel.ALARM, row) for row in alarms)
        elif live := self._due(self._live(await self._newest())):
            await _together(self._send_live(Channel.PASSAGE, row) for row in live)
        elif self._pace.wait_s():
            return False
        elif old := await self._due_backlog():
            await _together(self._backlogs(old))
        elif earlier := self._due(await self._read(self._ledger.earlier_unacknowledged(limit=self._window()))):
            await _together(self._backlogs(earlier))
        else:
            return False
        return True

    async def _due_backlog(self) -> list[Row]:
        """Rows behind those read before, as far as the window goes: each is read once, unless it is due again."""
        room, after = self._window() - sum(sent.is_backlog for sent in self._sent.values()), self._read_to
        if room <= 0:
            return []
        rows = await self._read(self._ledger.unacknowledged(False, after_seq=after, limit=room))
        if self._read_to != after:
            return []  # it was set back in the meantime
        # A passage that came after the look for live ones is live all the same.
        return self._due([row for row in rows if not self._is_live(row)])

    def _window(self) -> int:
        """How much backlog may be on the way: of a whole district that sends by pace, no box crowds the platform."""
        return BACKLOG_LIMIT if self._pace.limited else self._settings.backlog_window

    def _backlogs(self, rows: list[Row]) -> Iterator[Coroutine[None, None, None]]:
        """Messages of up to 100 records each, as many as the pace allows now."""
        for first in range(0, len(rows), BACKLOG_LIMIT):
            if self._pace.wait_s():
                self._read_to = min(self._read_to, rows[first].seq - 1)  # what was read and not sent is read again
                return
            some = rows[first : first + BACKLOG_LIMIT]
            self._pace.spend(len(some))
            if some[0].epoch == self._ledger.epoch:
                self._read_to = some[-1].seq
            yield self._send_backlog(some)

    async def _alarms(self) -> list[Row]:
        return await self._read(self._ledger.unacknowledged(True, limit=self._settings.alarm_window))

    async def _newest(self) -> list[Row]:
        limit = self._settings.live_window + 1
        return await self._read(self._ledger.newest_unacknowledged(limit, after_seq=self._live_after))

    async def _read(self, rows: Awaitable[list[Row]]) -> list[Row]:
        """Rows that wait, without those that were acknowledged while they were read."""
        self._freed.clear()
        return [row for row in await rows if row.name not in self._freed]

    def _due(self, rows: list[Row]) -> list[Row]:
        now_s = time.monotonic()
        return [row for row in rows if row.name not in self._sent or self._sent[row.name].due_s <= now_s]

    def _is_live(self, row: Row) -> bool:
        return row.seq > self._live_after and row.appended_ms >= wall_ms() - 1000 * self._settings.live_age_s

    def _live(self, newest: list[Row]) -> list[Row]:
        live = [row for row in newest if self._is_live(row)]
        if newest and not 0 < len(live) <= self._settings.live_window:
            self._live_after = newest[-1].seq
            return []
        return live

    async def _send_live(self, channel: Channel, row: Row) -> None:
        name = RecordId(self._box, row.epoch, row.seq)
        source = source_from(self._district, self._box)
        await self._send(channel, [row], Event(str(name), source, row.kind, row.appended, row.body, row.chain_hex))

    async def _send_backlog(self, rows: list[Row]) -> None:
        entries = tuple(
            BacklogEntry(row.seq, row.kind, row.appended, msgspec.Raw(row.body), row.chain_hex) for row in rows
        )
        backlog = Backlog(rows[0].epoch, entries)
        name = RecordId(self._box, rows[0].epoch, rows[0].seq)
        await self._send(
            Channel.BACKLOG,
            rows,
            Event.of(backlog, source_from(self._district, self._box), event_id=f"{name}+{len(rows)}"),
        )

    async def _send(self, channel: Channel, rows: list[Row], event: Event) -> None:
        sent_s = time.monotonic()
        is_backlog = channel is Channel.BACKLOG
        sent = _Sent(sent_s + self._settings.resend_s * (_BACKLOG_PATIENCE if is_backlog else 1), is_backlog)
        self._sent.update(dict.fromkeys((row.name for row in rows), sent))
        self._owed_since_s = self._owed_since_s or sent_s
        try:
            await publish_event(self._connection, Topic(self._district, channel, self._box), event)
        except PublishRefused as refused:
            if refused.code == PublishRefused.QUOTA_EXCEEDED:
                return  # it passes: these rows are due again after `resend_s`
            for row in rows:
                await self._ledger.park(row.epoch, row.seq, f"broker: {refused}")
                self._sent.pop(row.name, None)
            if not self._sent:
                self._owed_since_s = None


async def _together(sending: Iterable[Coroutine[None, None, None]]) -> None:
    """Send all at once, as far as the connection's window goes; they leave in their order."""
    async with asyncio.TaskGroup() as group:
        for each in sending:
            group.create_task(each, name="pump: send")

"""Sends the unacknowledged records to the platform: alarms first, then live passages, then backlog."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, replace

import msgspec

from sync.contract.envelope import Event
from sync.contract.messages import BACKLOG_LIMIT, Ack, Backlog, BacklogEntry
from sync.contract.records import RecordId
from sync.contract.topics import Channel, Topic, source_from
from sync.edge.ledger.ledger import Ledger
from sync.edge.ledger.schema import Row, wall_ms
from sync.edge.link.rate_limit import RateLimiter
from sync.errors import LinkLost, MessageTooLarge, PublishRefused
from sync.interruptible_sleep import happened
from sync.mqtt.connection import Connection
from sync.mqtt.events import fits, publish_event

log = logging.getLogger(__name__)

_BACKLOG_RESEND_FACTOR = 3  # after an outage the platform receives the backlog of the whole district and answers late


@dataclass(frozen=True, slots=True)
class SenderSettings:
    """Timing of the sender. Windows count records that were sent and not yet acknowledged by the platform."""

    resend_s: float = 10.0  # an unacknowledged record is sent again after this time; backlog after 3 times this
    live_age_s: float = 60.0  # older passages are sent as backlog
    alarm_window: int = 100
    live_window: int = 20  # if more passages are pending, all of them become backlog, and only later ones are live
    backlog_window: int = 10 * BACKLOG_LIMIT  # without a rate limit; with one, one message at a time
    silent_s: float = 30.0  # after this time without a due acknowledgement the platform counts as offline
    lost_s: float = 90.0  # after this time without a due acknowledgement the connection is closed


@dataclass(frozen=True, slots=True)
class _Sent:
    """A record in flight: when to send it again (monotonic), and whether it was sent as backlog.

    `is_too_large`: it was not sent, and no acknowledgement is due.
    """

    due_s: float
    is_backlog: bool
    is_too_large: bool = False


class Sender:
    """Serves one connection. The ledger stores which records are unacknowledged; this class tracks those in flight.

    PUBACK by the broker does not acknowledge a record. Nothing is sent while the platform is offline, because the
    broker would accept and drop it. The age of the last acknowledgement decides whether the platform is online, not
    only its own announcement.
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
        self._answered: set[tuple[str, int]] = set()  # acknowledged or refused since the last read began
        self._read_to = 0  # backlog up to this number was read and sent
        self._rate = RateLimiter()
        self._unanswered_since_s: float | None = None  # since when an acknowledgement is due, monotonic
        self._live_after = 0  # passages up to this number are backlog
        self._limit_logged = False
        self._platform = asyncio.Event()
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Send due records until cancelled. Raises LinkLost."""
        with self._ledger.changes.subscribe(self._wake):
            while True:
                await happened(self._platform)
                self._wake.clear()
                while self._platform.is_set() and await self._send_next():
                    pass
                await self._rest()

    @property
    def platform_is_silent(self) -> bool:
        """Whether an acknowledgement has been due for longer than `silent_s`."""
        return self._silent_s() > self._settings.silent_s

    def _silent_s(self) -> float:
        return 0.0 if self._unanswered_since_s is None else time.monotonic() - self._unanswered_since_s

    def set_platform(self, *, online: bool, backlog_per_s: float | None = None) -> None:
        """Start or stop sending. A platform that starts may have lost uncommitted records, so all are sent again."""
        self._unanswered_since_s = None
        if online:
            self._sent.clear()
            self._read_to = 0
            self._rate.set(backlog_per_s)
            self._platform.set()
        else:
            self._platform.clear()
        self._wake.set()

    def set_rate(self, backlog_per_s: float | None) -> None:
        """Change the rate limit."""
        self._rate.set(backlog_per_s)
        self._wake.set()

    async def acknowledged(self, ack: Ack) -> None:
        """Mark committed records as acknowledged, park refused ones, and send missing ones again."""
        await self._ledger.acknowledge(ack.epoch, ack.ranges, ack.heads)
        for refusal in ack.refused:
            await self._ledger.park(ack.epoch, refusal.seq, f"platform: {refusal.reason}")
        if ack.missing:
            await self._ledger.send_again(ack.epoch, ack.missing)
            self._read_to = 0
        answered = (*ack.ranges, *((refusal.seq, refusal.seq) for refusal in ack.refused))
        for epoch, seq in list(self._sent):
            if epoch == ack.epoch and any(first <= seq <= last for first, last in answered):
                del self._sent[epoch, seq]
                self._answered.add((epoch, seq))
        self._unanswered_since_s = time.monotonic() if self._awaits_answer() else None
        if ack.backlog_per_s is not None:
            self._rate.set(ack.backlog_per_s)

    async def _rest(self) -> None:
        """Wait until something changes, a record is due again, or the rate limit allows more backlog."""
        if self._silent_s() > self._settings.lost_s:
            raise LinkLost(f"no acknowledgement for {self._settings.lost_s:.3g} s")
        # If a record is overdue, or none is in flight, the backlog is read again from its start.
        now_s = time.monotonic()
        in_flight = {name: sent for name, sent in self._sent.items() if sent.due_s > now_s}
        if self._read_to and (len(in_flight) < len(self._sent) or not in_flight):
            self._read_to = 0
            self._wake.set()
        self._sent = in_flight
        waits = [wait_s] if (wait_s := self._rate.wait_s()) else []
        if self._sent:
            waits.append(min(sent.due_s for sent in in_flight.values()) - now_s)
        await happened(self._wake, min(waits) if waits and self._platform.is_set() else math.inf)

    async def _send_next(self) -> bool:
        """Send the most urgent due messages; return False if there are none."""
        if alarms := self._due(await self._alarms()):
            await _together(self._send_live(Channel.ALARM, row) for row in alarms)
        elif live := self._due(self._live(await self._newest())):
            await _together(self._send_live(Channel.PASSAGE, row) for row in live)
        elif self._rate.wait_s():
            return False
        elif old := await self._due_backlog():
            await _together(self._backlogs(old))
        elif earlier := self._due(await self._read(self._ledger.earlier_unacknowledged(limit=self._window()))):
            await _together(self._backlogs(earlier))
        else:
            return False
        return True

    async def _due_backlog(self) -> list[Row]:
        """Due rows after `_read_to`, up to the window; a row is read once unless it is due again."""
        room, after = self._window() - sum(sent.is_backlog for sent in self._sent.values()), self._read_to
        if room <= 0:
            return []
        rows = await self._read(self._ledger.unacknowledged(False, after_seq=after, limit=room))
        if self._read_to != after:
            return []  # `_read_to` was reset during the read
        # A passage that was appended after the search for live ones is still live.
        return self._due([row for row in rows if not self._is_live(row)])

    def _window(self) -> int:
        """Number of backlog records in flight; small with a rate limit, so that all boxes can use the platform."""
        return BACKLOG_LIMIT if self._rate.limited else self._settings.backlog_window

    def _backlogs(self, rows: list[Row]) -> Iterator[Coroutine[None, None, None]]:
        """Messages of up to 100 records each, as many as the rate limit allows now."""
        for first in range(0, len(rows), BACKLOG_LIMIT):
            if self._rate.wait_s():
                self._read_to = min(self._read_to, rows[first].seq - 1)  # read the unsent rows again
                return
            some = rows[first : first + BACKLOG_LIMIT]
            self._rate.spend(len(some))
            if some[0].epoch == self._ledger.epoch:
                self._read_to = some[-1].seq
            yield self._send_backlog(some)

    async def _alarms(self) -> list[Row]:
        return await self._read(self._ledger.unacknowledged(True, limit=self._settings.alarm_window))

    async def _newest(self) -> list[Row]:
        limit = self._settings.live_window + 1
        return await self._read(self._ledger.newest_unacknowledged(limit, after_seq=self._live_after))

    async def _read(self, rows: Awaitable[list[Row]]) -> list[Row]:
        """`rows` without those that were acknowledged or refused during the read."""
        self._answered.clear()
        return [row for row in await rows if row.name not in self._answered]

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
        event = Event.of(backlog, source_from(self._district, self._box), event_id=f"{name}+{len(rows)}")
        if len(rows) > 1 and not fits(self._connection, Topic(self._district, Channel.BACKLOG, self._box), event):
            self._log_limit()
            half = len(rows) // 2
            await self._send_backlog(rows[:half])
            await self._send_backlog(rows[half:])
            return
        await self._send(Channel.BACKLOG, rows, event)

    async def _send(self, channel: Channel, rows: list[Row], event: Event) -> None:
        sent_s = time.monotonic()
        is_backlog = channel is Channel.BACKLOG
        sent = _Sent(sent_s + self._settings.resend_s * (_BACKLOG_RESEND_FACTOR if is_backlog else 1), is_backlog)
        self._sent.update(dict.fromkeys((row.name for row in rows), sent))
        self._unanswered_since_s = self._unanswered_since_s or sent_s
        try:
            await publish_event(self._connection, Topic(self._district, channel, self._box), event)
        except MessageTooLarge as exc:
            log.warning("record %s: not sent, tried again later: %s", rows[0].name, exc)
            self._sent.update(dict.fromkeys((row.name for row in rows), replace(sent, is_too_large=True)))
            if not self._awaits_answer():
                self._unanswered_since_s = None
        except PublishRefused as refused:
            if refused.code == PublishRefused.QUOTA_EXCEEDED:
                return  # temporary: these rows are due again after `resend_s`
            for row in rows:
                await self._ledger.park(row.epoch, row.seq, f"broker: {refused}")
                self._sent.pop(row.name, None)
            if not self._awaits_answer():
                self._unanswered_since_s = None

    def _awaits_answer(self) -> bool:
        """Whether an acknowledgement is due for a record in flight."""
        return any(not sent.is_too_large for sent in self._sent.values())

    def _log_limit(self) -> None:
        """Report once for each connection that messages are divided."""
        if not self._limit_logged:
            self._limit_logged = True
            log.warning(
                "backlog: the broker accepts packets of %d bytes, so its messages are divided",
                self._connection.max_packet_bytes,
            )


async def _together(sending: Iterable[Coroutine[None, None, None]]) -> None:
    """Send all concurrently within the window of the connection, in order."""
    async with asyncio.TaskGroup() as group:
        for each in sending:
            group.create_task(each, name="sender: send")

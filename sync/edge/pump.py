"""Moves the outbox to the platform: alarms before live passages before backlog."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass

import msgspec

from sync.connection import Connection
from sync.contract.envelope import Event
from sync.contract.messages import BACKLOG_LIMIT, Ack, Backlog, Entry
from sync.contract.records import RecordId
from sync.contract.topics import Lane, Topic, source_of
from sync.edge.ledger_file import Row, wall_ms
from sync.edge.outbox import Outbox
from sync.errors import PublishRefused
from sync.post import post


@dataclass(frozen=True, slots=True)
class PumpSettings:
    """Pace of the pump. Windows count records that were sent and not yet acknowledged by the platform."""

    resend_s: float = 10.0  # without an acknowledgement a record is sent again
    live_age_s: float = 60.0  # older passages are history and travel as backlog
    alarm_window: int = 100
    live_window: int = 20  # when more passages wait, all of them are backlog, and only later ones are live again
    backlog_window: int = 4 * BACKLOG_LIMIT


class Pump:
    """Serves one connection. The outbox alone remembers what is owed; here is only what was lately sent.

    The broker's PUBACK frees nothing. While the platform is away nothing is sent: the broker would take it and drop it.
    """

    def __init__(self, outbox: Outbox, connection: Connection, district: str, box: str, settings: PumpSettings) -> None:
        self._outbox = outbox
        self._connection = connection
        self._district = district
        self._box = box
        self._settings = settings
        self._sent: dict[int, float] = {}  # number -> monotonic second of the last publish
        self._live_after = 0  # passages up to this number are backlog
        self._platform = asyncio.Event()
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Send what is due, for ever; raises LinkLost."""
        with self._outbox.watched(self._wake):
            while True:
                await self._platform.wait()
                self._wake.clear()
                while self._platform.is_set() and await self._send_next():
                    pass
                await self._rest()

    def platform_is(self, *, online: bool) -> None:
        """Start or stop sending. A platform says `online` when it begins: what it had not committed may be gone."""
        if online:
            self._sent.clear()
            self._platform.set()
        else:
            self._platform.clear()
        self._wake.set()

    async def acknowledged(self, ack: Ack) -> None:
        """Let the outbox forget what the platform committed, and park what it will never take."""
        if ack.epoch != self._outbox.epoch:
            return
        await self._outbox.acknowledge(ack.epoch, ack.ranges)
        for refusal in ack.refused:
            await self._outbox.park(refusal.seq, f"platform: {refusal.reason}")
        for seq in [seq for seq in self._sent if any(first <= seq <= last for first, last in ack.ranges)]:
            del self._sent[seq]

    async def _rest(self) -> None:
        """Until something changes, or the row that was sent first is due again."""
        wait_s = None
        if self._sent and self._platform.is_set():
            wait_s = max(0.0, min(self._sent.values()) + self._settings.resend_s - time.monotonic())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._wake.wait()

    async def _send_next(self) -> bool:
        """Send the most urgent message that is due; False when none is."""
        if alarms := self._due(await self._outbox.unacknowledged(True, limit=self._settings.alarm_window)):
            await self._send_live(Lane.ALARM, alarms[0])
        elif live := self._due(self._live(await self._outbox.newest_unacknowledged(self._settings.live_window + 1))):
            await self._send_live(Lane.PASSAGE, live[0])
        elif old := self._due(await self._outbox.unacknowledged(False, limit=self._settings.backlog_window)):
            await self._send_backlog(old[:BACKLOG_LIMIT])
        else:
            return False
        return True

    def _due(self, rows: list[Row]) -> list[Row]:
        sent_before = time.monotonic() - self._settings.resend_s
        return [row for row in rows if self._sent.get(row.seq, sent_before) <= sent_before]

    def _live(self, newest: list[Row]) -> list[Row]:
        oldest_ms = wall_ms() - 1000 * self._settings.live_age_s
        live = [row for row in newest if row.appended_ms >= oldest_ms and row.seq > self._live_after]
        if len(live) > self._settings.live_window:
            self._live_after = live[-1].seq
            return []
        return live

    async def _send_live(self, lane: Lane, row: Row) -> None:
        name = RecordId(self._box, self._outbox.epoch, row.seq)
        source = source_of(self._district, self._box)
        await self._send(lane, [row], Event(str(name), source, row.kind, row.appended, row.body))

    async def _send_backlog(self, rows: list[Row]) -> None:
        entries = tuple(Entry(row.seq, row.kind, row.appended, msgspec.Raw(row.body)) for row in rows)
        backlog = Backlog(self._outbox.epoch, entries)
        name = RecordId(self._box, self._outbox.epoch, rows[0].seq)
        await self._send(
            Lane.BACKLOG, rows, Event.of(backlog, source_of(self._district, self._box), event_id=f"{name}+{len(rows)}")
        )

    async def _send(self, lane: Lane, rows: list[Row], event: Event) -> None:
        sent_s = time.monotonic()
        self._sent.update({row.seq: sent_s for row in rows})
        try:
            await post(self._connection, Topic(self._district, lane, self._box), event)
        except PublishRefused as refused:
            if refused.code == PublishRefused.QUOTA_EXCEEDED:
                return  # it passes: these rows are due again after `resend_s`
            for row in rows:
                await self._outbox.park(row.seq, f"broker: {refused}")

"""Publishes signed orders and receives the reports of the boxes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from sync.contract.channels import CHANNEL_RULES, Direction
from sync.contract.envelope import Event
from sync.contract.health import Colour
from sync.contract.orders import (
    REVOCATION_LIMIT,
    Broadcast,
    Command,
    CommandDone,
    Desired,
    OrderBody,
    OrderOutOfTime,
    Reported,
    Revocation,
    Withdrawal,
)
from sync.contract.signed import Order, Signed
from sync.contract.topics import Channel, Topic, every_box, source_from
from sync.errors import BadMessage, MessageTooLarge
from sync.mqtt.connection import Connection
from sync.mqtt.events import box_from, decode_event, publish_event, topic_from
from sync.mqtt.packets import Subscription
from sync.platform.directory.store import Authorisation, DirectoryStore, Issued
from sync.platform.orders.order_log import OrderLog

_COMMAND = timedelta(seconds=30)  # boxes reject a longer validity
_REVOCATION = timedelta(days=1)  # a box that is offline for longer receives the change with its directory
_DESIRED = timedelta(days=3650)  # valid until the next one


class OrderIssuer:
    """Issues the orders of one district over one connection."""

    def __init__(self, connection: Connection, order_log: OrderLog, district: str) -> None:
        self._connection = connection
        self._order_log = order_log
        self._district = district
        self._sent: set[str] = set()  # nonces

    async def desire(self, boxes: Collection[str], desired: Desired, wait_s: float) -> dict[str, Reported | None]:
        """Send desired settings to `boxes`; returns what each reported within `wait_s` (None: no report)."""
        await self.listen()
        versions = {
            box: await self._send(desired, Topic(self._district, Channel.DESIRED, box), _DESIRED) for box in boxes
        }
        reports: dict[str, Reported | None] = dict.fromkeys(boxes)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while None in reports.values():
                    box, answer = await self._answer()
                    if isinstance(answer, Reported) and answer.version == versions.get(box):
                        reports[box] = answer
        return reports

    async def command(self, box: str, name: str, arguments: dict[str, Any], wait_s: float) -> CommandDone | None:
        """Send a command to `box`; returns its report, or None if there was none within `wait_s`."""
        await self.listen()
        topic = Topic(self._district, Channel.COMMAND, box, name)
        signed = await self._order_log.sign(Command(arguments), topic, _COMMAND)
        nonce = _order(signed).nonce
        await self._publish(signed, topic)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while True:
                    sender, answer = await self._answer()
                    if isinstance(answer, CommandDone) and (sender, answer.nonce) == (box, nonce):
                        return answer
        return None

    async def revoke(self, directory: DirectoryStore, person_keys: Sequence[str], colour: Colour) -> list[str]:
        """Set the colour of persons in the directory, and send it to every box as a revocation.

        Returns those who were not in the directory; the revocation is stored for them too.
        """
        return await self._issue(person_keys, lambda keys: directory.revoke(keys, colour, datetime.now(UTC)))

    async def reinstate(self, directory: DirectoryStore, person_keys: Sequence[str], order: Authorisation) -> list[str]:
        """End revocations, and send the earlier status to every box; returns those who were not revoked."""
        return await self._issue(person_keys, lambda keys: directory.reinstate(keys, order))

    async def _issue(
        self, person_keys: Sequence[str], apply: Callable[[Sequence[str]], Awaitable[Issued]]
    ) -> list[str]:
        """Apply an order to persons and send the operations; returns the `others` of all parts."""
        others: list[str] = []
        for first in range(0, len(person_keys), REVOCATION_LIMIT):
            issued = await apply(person_keys[first : first + REVOCATION_LIMIT])
            others += issued.others
            if issued.ops:
                await self._send_revocation(Revocation(issued.generation, issued.ops))
        return others

    async def _send_revocation(self, revocation: Revocation) -> None:
        """Send it in parts if the broker does not accept it whole."""
        try:
            await self._send(revocation, Topic(self._district, Channel.REVOCATION), _REVOCATION)
        except MessageTooLarge:
            half = len(revocation.ops) // 2
            if half == 0:
                raise
            for ops in (revocation.ops[:half], revocation.ops[half:]):
                await self._send_revocation(Revocation(revocation.generation, ops))

    async def broadcast(self, message: Broadcast | Withdrawal, valid_for: timedelta) -> None:
        """Send a broadcast, or its withdrawal, to every box."""
        await self._send(message, Topic(self._district, Channel.BROADCAST), valid_for)

    async def collect_out_of_time(self, wait_s: float) -> dict[str, OrderOutOfTime]:
        """What boxes answer within `wait_s` whose clock takes the revocations and broadcasts sent here as out of time.

        Call `listen` before they are sent.
        """
        found: dict[str, OrderOutOfTime] = {}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while True:
                    box, answer = await self._answer()
                    if isinstance(answer, OrderOutOfTime) and answer.nonce in self._sent:
                        found[box] = answer
        return found

    async def _send(self, body: OrderBody, topic: Topic, valid_for: timedelta) -> int:
        signed = await self._order_log.sign(body, topic, valid_for)
        order = _order(signed)
        self._sent.add(order.nonce)
        await self._publish(signed, topic)
        return order.version

    async def _publish(self, signed: Signed, topic: Topic) -> None:
        await publish_event(self._connection, topic, Event.of(signed, source_from(self._district, None)))

    async def listen(self) -> None:
        """Receive the answers of the boxes from now on."""
        answers = every_box(self._district, Channel.REPORTED)
        await self._connection.subscribe(Subscription(answers, CHANNEL_RULES[Channel.REPORTED].qos))

    async def _answer(self) -> tuple[str, Reported | CommandDone | OrderOutOfTime]:
        """The next report of a box on an order, with the name of the box."""
        while True:
            [message] = await self._connection.batch(1)
            with contextlib.suppress(BadMessage):
                report = decode_event(message, Direction.UP).message(Reported, CommandDone, OrderOutOfTime)
                if isinstance(report, Reported | CommandDone | OrderOutOfTime):
                    return box_from(topic_from(message)), report


def _order(signed: Signed) -> Order:
    return msgspec.json.decode(signed.order, type=Order)

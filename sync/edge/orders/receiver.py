"""Receives signed orders at the box: verifies them, prevents replays and passes them to handlers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sync.contract.orders import (
    Broadcast,
    Command,
    CommandDone,
    Desired,
    OrderOutOfTime,
    Reported,
    Revocation,
    Withdrawal,
)
from sync.contract.records import Clock
from sync.contract.signed import Order, Signed, authenticate, check_time
from sync.contract.topics import Channel, Topic
from sync.edge.ledger.system_clock import system_clock
from sync.edge.orders.replay_guard import AcceptedOrder, ReplayGuard
from sync.errors import BadMessage, OrderEarly, OrderExpired, OrderOlder, OrderRefused, OrderUnfit

log = logging.getLogger(__name__)

_COMMAND_LIMIT_S = 5.0  # the next message waits for the command

OrderAnswer = Reported | CommandDone | OrderOutOfTime
CommandHandler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
Revoke = Callable[[Revocation], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class OrderHandlers:
    """Handlers for orders.

    `apply` applies and stores the desired state and returns whether a restart is needed; it must be idempotent. It and
    the commands raise OrderUnfit for orders that this box cannot carry out. `broadcast` receives broadcasts and
    withdrawals; it returns immediately and stores a bounded number.
    """

    apply: Callable[[Desired], Awaitable[bool]]
    commands: Mapping[str, CommandHandler] = field(default_factory=dict)
    broadcast: Callable[[Broadcast | Withdrawal], None] = lambda _: None


class OrderReceiver:
    """Handles messages on the signed channels of one box; a message with an invalid signature has no effect."""

    def __init__(
        self,
        replay_guard: ReplayGuard,
        key: Ed25519PublicKey,
        handlers: OrderHandlers,
        clock: Callable[[], Clock] = system_clock,
    ) -> None:
        """`key`: the public key of the platform."""
        self.refused = 0
        self._replay_guard = replay_guard
        self._key = key
        self._handlers = handlers
        self._clock = clock

    async def handle(self, topic: Topic, signed: Signed, revoke: Revoke) -> OrderAnswer | None:
        """Carry out the order received on `topic`, a revocation by `revoke`; return the answer. Raises StoreFailed."""
        try:
            order = authenticate(signed, self._key, at=str(topic))
            now = self._clock()
            try:
                check_time(order, now.wall)
            except (OrderEarly, OrderExpired) as exc:
                return await self._out_of_time(topic, order, exc, now, revoke)
            return await self._carry_out(topic, order, revoke)
        except (OrderRefused, BadMessage) as exc:
            self.refused += 1
            log.warning("order on %s refused: %s", topic, exc)
            version = exc.version if isinstance(exc, OrderRefused) else None
            if topic.channel is not Channel.DESIRED or version is None:
                return None
            return Reported(version, False, str(exc), (await self._replay_guard.accepted()).in_force)

    async def _out_of_time(
        self, topic: Topic, order: Order, why: OrderEarly | OrderExpired, now: Clock, revoke: Revoke
    ) -> OrderAnswer:
        """Answer an authentic order that is early or expired by the clock of the box.

        A revocation counts nevertheless, unless it is expired by a clock in sync.
        """
        log.warning("order on %s is %s by the clock of this box, %s", topic, why, now.wall.isoformat())
        counts = topic.channel is Channel.REVOCATION and (isinstance(why, OrderEarly) or not now.in_sync)
        self.refused += not counts
        if topic.channel is Channel.DESIRED:
            in_force = (await self._replay_guard.accepted()).in_force
            return Reported(order.version, False, why.reason, in_force, box_time=now.wall)
        if topic.channel is Channel.COMMAND:
            return CommandDone(topic.command or "", order.nonce, False, why.reason, box_time=now.wall)
        if counts:
            await self._carry_out(topic, order, revoke)
        return OrderOutOfTime(order.kind, order.nonce, why.reason, now.wall, done=counts)

    async def _carry_out(self, topic: Topic, order: Order, revoke: Revoke) -> OrderAnswer | None:
        match topic.channel:
            case Channel.DESIRED:
                return await self._desired(order)
            case Channel.COMMAND:
                return await self._command(topic.command or "", order)
            case Channel.REVOCATION:
                # Revoke before the replay check, so that a power cut loses nothing; revoking is idempotent.
                await revoke(order.content(Revocation))
                await self._replay_guard.accept(order)
            case Channel.BROADCAST:
                await self._replay_guard.accept(order)
                withdrawn = order.kind == Withdrawal.TYPE
                self._handlers.broadcast(order.content(Withdrawal) if withdrawn else order.content(Broadcast))
            case _:
                raise BadMessage(f"no orders are expected on {topic.channel}")
        return None

    async def _desired(self, order: Order) -> Reported:
        """Apply a desired state. The retained order is received at each connection; its first report is repeated."""
        accepted = await self._replay_guard.accepted()
        if accepted.report is not None and order.nonce == accepted.nonce:
            return accepted.report
        if order.version <= accepted.version:
            raise OrderOlder(f"older than version {accepted.version}, which was received before", order.version)
        try:
            restart_needed = await self._handlers.apply(order.content(Desired))
        except (OrderUnfit, BadMessage) as exc:
            report = Reported(order.version, False, str(exc), accepted.in_force)
        else:
            report = Reported(order.version, True, "", order.version, restart_needed)
        await self._replay_guard.save_accepted(AcceptedOrder(order.version, order.nonce, report, report.in_force))
        return report

    async def _command(self, name: str, order: Order) -> CommandDone:
        await self._replay_guard.accept(order)
        handler = self._handlers.commands.get(name)
        if handler is None:
            return CommandDone(name, order.nonce, False, "unknown command")
        try:
            async with asyncio.timeout(_COMMAND_LIMIT_S):
                result = await handler(order.content(Command).arguments)
        except (OrderUnfit, BadMessage) as exc:
            return CommandDone(name, order.nonce, False, str(exc))
        except TimeoutError:
            return CommandDone(name, order.nonce, False, f"timed out after {_COMMAND_LIMIT_S:.3g} s")
        return CommandDone(name, order.nonce, True, "", result)

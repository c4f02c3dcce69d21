"""Signed orders at the box: checked, remembered so that each is carried out once, and handed on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sync.contract.orders import Broadcast, Command, CommandDone, Desired, Reported, Revocation, Withdrawal
from sync.contract.signed import Order, Signed, verify
from sync.contract.topics import Channel, Topic
from sync.edge.orders.replay_guard import AcceptedOrder, ReplayGuard
from sync.errors import BadMessage, OrderOlder, OrderRefused, OrderUnfit

log = logging.getLogger(__name__)

_COMMAND_S = 5.0  # how long a command may take; the next message waits for it

Answer = Reported | CommandDone
CarryOut = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
Revoke = Callable[[Revocation], Awaitable[None]]


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class OrderHandlers:
    """Who carries orders out.

    `apply` takes the desired state and keeps it; it returns whether a restart is needed. It and the commands raise
    OrderUnfit for what this box cannot do. Applying the same twice must be as good as once. `tell` takes broadcasts
    and their withdrawals; it answers at once and keeps a bounded number.
    """

    apply: Callable[[Desired], Awaitable[bool]]
    commands: Mapping[str, CarryOut] = field(default_factory=dict)
    tell: Callable[[Broadcast | Withdrawal], None] = lambda _: None


class OrderReceiver:
    """Takes what comes on the signed channels of one box. Nothing is done for a message whose signature is wrong."""

    def __init__(
        self, memory: ReplayGuard, key: Ed25519PublicKey, hands: OrderHandlers, now: Callable[[], datetime] = _utc_now
    ) -> None:
        """`key` is the platform's; `now` gives the wall time."""
        self.refused = 0
        self._memory = memory
        self._key = key
        self._hands = hands
        self._now = now

    async def take(self, topic: Topic, signed: Signed, revoke: Revoke) -> Answer | None:
        """Carry out what came on `topic`, revocations by `revoke`; returns what to answer. Raises StoreFailed."""
        try:
            order = verify(signed, self._key, at=str(topic), now=self._now())
            return await self._carry_out(topic, order, revoke)
        except (OrderRefused, BadMessage) as exc:
            self.refused += 1
            log.warning("order on %s refused: %s", topic, exc)
            version = exc.version if isinstance(exc, OrderRefused) else None
            if topic.channel is not Channel.DESIRED or version is None:
                return None
            return Reported(version, False, str(exc), (await self._memory.taken()).in_force)

    async def _carry_out(self, topic: Topic, order: Order, revoke: Revoke) -> Answer | None:
        match topic.channel:
            case Channel.DESIRED:
                return await self._desired(order)
            case Channel.COMMAND:
                return await self._command(topic.command or "", order)
            case Channel.REVOCATION:
                # First, and again should it come again: its operation is counted once, and a power cut loses nothing.
                await revoke(order.content(Revocation))
                await self._memory.once(order)
            case Channel.BROADCAST:
                await self._memory.once(order)
                withdrawn = order.kind == Withdrawal.TYPE
                self._hands.tell(order.content(Withdrawal) if withdrawn else order.content(Broadcast))
            case _:
                raise BadMessage(f"no orders come on {topic.channel}")
        return None

    async def _desired(self, order: Order) -> Reported:
        """The retained order comes again with each connection: then the answer is what it was."""
        taken = await self._memory.taken()
        if taken.report is not None and order.nonce == taken.nonce:
            return taken.report
        if order.version <= taken.version:
            raise OrderOlder(f"version {taken.version} was taken before", order.version)
        try:
            restart_needed = await self._hands.apply(order.content(Desired))
        except (OrderUnfit, BadMessage) as exc:
            report = Reported(order.version, False, str(exc), taken.in_force)
        else:
            report = Reported(order.version, True, "", order.version, restart_needed)
        await self._memory.take(AcceptedOrder(order.version, order.nonce, report, report.in_force))
        return report

    async def _command(self, name: str, order: Order) -> CommandDone:
        await self._memory.once(order)
        carry_out = self._hands.commands.get(name)
        if carry_out is None:
            return CommandDone(name, order.nonce, False, "this box knows no such command")
        try:
            async with asyncio.timeout(_COMMAND_S):
                result = await carry_out(order.content(Command).arguments)
        except (OrderUnfit, BadMessage) as exc:
            return CommandDone(name, order.nonce, False, str(exc))
        except TimeoutError:
            return CommandDone(name, order.nonce, False, f"not done within {_COMMAND_S:.3g} s")
        return CommandDone(name, order.nonce, True, "", result)

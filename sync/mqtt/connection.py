"""An MQTT connection with `await` and `async for`, used by boxes and by the platform."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from sync.errors import LinkError, LinkLost, LinkRefused, MessageTooLarge, NoAnswer, PublishRefused
from sync.interruptible_sleep import AWAKE_S
from sync.mqtt.packets import (
    NO_PROPERTIES,
    UNLIMITED_BYTES,
    Message,
    Options,
    Properties,
    Reply,
    Subscription,
    publish_bytes,
)
from sync.mqtt.paho_client import Wire


class Connection:
    """One connection to one broker, from CONNACK until it ends; a new connection is a new object.

    Received messages are queued. QoS 1 cannot overflow the queue: the broker stops at `receive_maximum` messages
    without PUBACK, and PUBACK is sent when a message is taken from the queue (with `manual_ack`: by `ack`). QoS 0
    messages that find the queue full are dropped and counted in `dropped`.
    """

    def __init__(self, options: Options) -> None:
        self.session_present = False
        self.max_packet_bytes = UNLIMITED_BYTES
        self.dropped = 0
        self._options = options
        self._wire = Wire(options, self)
        self._window = asyncio.Semaphore(0)
        self._replies: dict[int, asyncio.Future[list[Reply]]] = {}
        self._requests: dict[bytes, asyncio.Future[Message]] = {}
        self._inbox: asyncio.Queue[Message | LinkError] = asyncio.Queue()
        self._over: LinkError | None = None
        self._being_read = False
        self._reply_s: float | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, options: Options) -> AsyncIterator[Connection]:
        """Connect, and send DISCONNECT on exit. Raises LinkError if the connection cannot be established."""
        connection = cls(options)
        try:
            connack = await connection._wire.connect()
            connection.session_present = connack.session_present
            connection.max_packet_bytes = connack.max_packet_bytes
            connection._window = asyncio.Semaphore(connack.window)
            yield connection
        finally:
            await connection._wire.close()

    @property
    def reply_age_s(self) -> float | None:
        """Seconds since the broker's last PUBACK or SUBACK; None before the first."""
        return None if self._reply_s is None else time.monotonic() - self._reply_s

    async def publish(
        self, topic: str, body: bytes, *, qos: int = 1, retain: bool = False, properties: Properties = NO_PROPERTIES
    ) -> None:
        """Send one message when the window has space; with QoS 1 wait for PUBACK. Raises PublishRefused, LinkLost.

        A message that the broker would not accept is not sent, because it would close the connection: MessageTooLarge.
        """
        size_bytes = publish_bytes(topic, body, properties)
        if size_bytes > self.max_packet_bytes:
            raise MessageTooLarge(size_bytes, self.max_packet_bytes)
        async with self._window:
            self._check()
            packet_id = self._wire.publish(topic, body, qos, retain, properties)
            if qos == 0:
                return
            [reply] = await self._reply(packet_id, "PUBACK")
        if reply.refused:
            raise PublishRefused(reply.code, reply.name)

    async def subscribe(self, *subscriptions: Subscription) -> None:
        """Subscribe to all filters; raises LinkRefused with the first one that was denied."""
        self._check()
        replies = await self._reply(self._wire.subscribe(subscriptions), "SUBACK")
        for subscription, reply in zip(subscriptions, replies, strict=True):
            if reply.refused:
                raise LinkRefused(f"subscription to {subscription.topic_filter}: {reply.name}")

    async def request(
        self, topic: str, body: bytes, *, answer_topic: str, timeout_s: float, properties: Properties = NO_PROPERTIES
    ) -> Message:
        """Publish with QoS 0 and wait for the answer on `answer_topic`, which must be subscribed already.

        Raises NoAnswer, LinkLost.
        """
        correlation = secrets.token_bytes(12)
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._requests[correlation] = answer
        question = properties.replace(response_topic=answer_topic, correlation=correlation)
        try:
            async with asyncio.timeout(timeout_s):
                await self.publish(topic, body, qos=0, properties=question)
                return await answer
        except TimeoutError as exc:
            raise NoAnswer(f"no answer within {timeout_s:.3g} s") from exc
        except MessageTooLarge as exc:
            raise NoAnswer(str(exc)) from exc
        finally:
            del self._requests[correlation]

    async def messages(self) -> AsyncIterator[Message]:
        """Iterate over received messages; raises LinkError when the connection ends. One reader at a time."""
        with self._one_reader():
            while True:
                yield await self._take()

    async def batch(self, limit: int) -> list[Message]:
        """Wait for one message and return it with all others already queued, at most `limit`; raises LinkError."""
        with self._one_reader():
            taken = [await self._take()]
            while len(taken) < limit and not self._inbox.empty() and self._over is None:
                taken.append(await self._take())
            return taken

    def ack(self, message: Message) -> None:
        """Send the PUBACK of `message`; does nothing after the connection has ended."""
        if self._over is None:
            self._wire.ack(message)

    def on_reply(self, packet_id: int, replies: list[Reply]) -> None:
        self._reply_s = time.monotonic()
        waiting = self._replies.get(packet_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(replies)

    def on_message(self, message: Message) -> None:
        answer = self._requests.get(message.properties.correlation or b"")
        if answer is not None and not answer.done():
            self.ack(message)
            answer.set_result(message)
        elif message.qos == 0 and self._inbox.qsize() >= self._options.receive_maximum:
            self.dropped += 1
        else:
            self._inbox.put_nowait(message)

    def on_end(self, why: LinkError) -> None:
        """Store the first reason and fail every waiting call with it."""
        if self._over is not None:
            return
        self._over = why
        self._inbox.put_nowait(why)
        waiters: list[asyncio.Future[Any]] = [*self._replies.values(), *self._requests.values()]
        for waiting in waiters:
            if not waiting.done():
                waiting.set_exception(why)

    @contextmanager
    def _one_reader(self) -> Iterator[None]:
        if self._being_read:
            raise RuntimeError("a connection has one reader")
        self._being_read = True
        try:
            yield
        finally:
            self._being_read = False

    async def _take(self) -> Message:
        item = await self._next()
        if isinstance(item, LinkError):
            self._inbox.put_nowait(item)
            raise item
        if not self._options.manual_ack:
            self.ack(item)
        return item

    async def _next(self) -> Message | LinkError:
        while self._inbox.empty():
            with suppress(TimeoutError):
                async with asyncio.timeout(AWAKE_S):
                    return await self._inbox.get()
        return self._inbox.get_nowait()

    async def _reply(self, packet_id: int, what: str) -> list[Reply]:
        reply: asyncio.Future[list[Reply]] = asyncio.get_running_loop().create_future()
        self._replies[packet_id] = reply
        try:
            async with asyncio.timeout(self._options.reply_timeout_s):
                return await reply
        except TimeoutError:
            silent = LinkLost(f"no {what} within {self._options.reply_timeout_s:.3g} s")
            self.on_end(silent)
            raise silent from None
        finally:
            del self._replies[packet_id]

    def _check(self) -> None:
        if self._over is not None:
            raise self._over

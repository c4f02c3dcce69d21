"""An in-memory broker and connections to it at packet level, with random faults from a seed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from random import Random

from sync.errors import LinkError, LinkLost
from sync.mqtt.packets import ConnAck, Message, Options, Properties, Reply, Subscription
from sync.mqtt.paho_client import Listener
from tests.faults.virtual import VirtualLoop, running_process

_SHARE = "$share/"


@dataclass
class Trouble:
    """Probability of each fault per message (0 to 1), and the maximum delay."""

    cut_before: float = 0.0  # the connection breaks, the broker never saw it
    cut_after: float = 0.0  # the broker has it, its PUBACK is lost with the connection
    doubled: float = 0.0
    overtaken: float = 0.0  # delivered up to 3 s after those behind it
    delay_s: float = 0.01
    stalled: float = 0.0  # the wire stands still for up to 15 s


class _Pipe:
    """One direction of a connection: ordered, delayed, and ended at once when it is cut."""

    def __init__(self, loop: VirtualLoop, dice: Random, trouble: Trouble) -> None:
        self._loop = loop
        self._dice = dice
        self._trouble = trouble
        self._free_s = 0.0
        self._open = True

    def send(self, arrive: Callable[[], None]) -> None:
        delay_s = self._dice.uniform(0, self._trouble.delay_s)
        if self._dice.random() < self._trouble.stalled:
            delay_s += self._dice.uniform(0, 15)
        self._free_s = max(self._free_s, self._loop.time() + delay_s)
        self._loop.call_at(self._free_s, lambda: arrive() if self._open else None)

    def cut(self) -> None:
        self._open = False


class MemoryWire:
    """Replaces `sync.mqtt.paho_client.Wire`; ends with the process that created it."""

    def __init__(self, broker: MemoryBroker, options: Options, listener: Listener) -> None:
        self.options = options
        self.listener = listener
        self.process = running_process.get()
        self.up = broker.pipe()
        self.down = broker.pipe()
        self._broker = broker
        self._ids = count(1)
        self._over: LinkError | None = None
        self._welcome: asyncio.Future[ConnAck] = asyncio.get_running_loop().create_future()
        self.process.on_death.append(self._die)

    async def connect(self) -> ConnAck:
        self._check()
        if self.process.alive:
            self.up.send(lambda: self._broker.on_connect(self))
        try:
            async with asyncio.timeout(self.options.connect_timeout_s):
                return await self._welcome
        except TimeoutError:
            raise LinkLost("no CONNACK") from None

    def publish(self, topic: str, body: bytes, qos: int, retain: bool, properties: Properties) -> int:
        self._check()
        packet = Message(topic, body, qos, retain, properties, next(self._ids))
        self.up.send(lambda: self._broker.on_publish(self, packet))
        return packet.packet_id

    def subscribe(self, subscriptions: tuple[Subscription, ...]) -> int:
        self._check()
        packet_id = next(self._ids)
        self.up.send(lambda: self._broker.on_subscribe(self, packet_id, subscriptions))
        return packet_id

    def ack(self, message: Message) -> None:
        if message.qos:
            self.up.send(lambda: self._broker.on_puback(self, message.packet_id))

    async def close(self) -> None:
        if self._over is None:
            self._over = LinkLost("closed")
            self.up.send(lambda: self._broker.on_disconnect(self))
        self.process.on_death.remove(self._die)

    def cut(self) -> None:
        """Cut the connection; messages in transit are lost, and the broker notices."""
        self.up.cut()
        self.down.cut()
        self._broker.on_lost(self)
        if self._over is None:
            self._over = LinkLost("the connection was lost")
            if not self._welcome.done():
                self._welcome.set_exception(self._over)
                self._welcome.exception()
            self.listener.on_end(self._over)

    def _die(self) -> None:
        """The process was killed; data already passed to the kernel may or may not arrive."""
        late_s = self._broker.after_death_s()
        if late_s is None:
            self.cut()
            return
        self.down.cut()
        self._over = LinkLost("the process is dead")
        self.listener.on_end(self._over)
        asyncio.get_running_loop().call_later(late_s, self.cut)

    def on_connack(self, welcome: ConnAck) -> None:
        if not self._welcome.done():
            self._welcome.set_result(welcome)

    def _check(self) -> None:
        if self._over is not None:
            raise self._over
        if not self.process.alive:
            raise LinkLost("a dead process sends nothing")


@dataclass(eq=False)
class _Session:
    """State of one client at the broker."""

    client: str
    wire: MemoryWire | None = None
    filters: dict[str, Subscription] = field(default_factory=dict)
    waiting: deque[tuple[float, Message]] = field(default_factory=deque)  # with the second it expires
    under_way: dict[int, Message] = field(default_factory=dict)
    ids: count[int] = field(default_factory=lambda: count(1))


class MemoryBroker:
    """Sessions, retained messages, wills, shared subscriptions and receive-maximum of MQTT 5."""

    def __init__(self, loop: VirtualLoop, dice: Random, say: Callable[[str], None]) -> None:
        self.trouble = Trouble()
        self._loop = loop
        self._dice = dice
        self._say = say
        self._up = True
        self._sessions: dict[str, _Session] = {}
        self._retained: dict[str, Message] = {}

    def wire(self, options: Options, listener: Listener) -> MemoryWire:
        """Creates the wire of a Connection."""
        return MemoryWire(self, options, listener)

    def pipe(self) -> _Pipe:
        return _Pipe(self._loop, self._dice, self.trouble)

    def after_death_s(self) -> float | None:
        """For how long the last packets of a killed process still arrive; None: not at all."""
        return self._dice.uniform(0, 20) if self._dice.random() < 0.5 else None

    def calm(self) -> None:
        """Stop all faults on current and future wires."""
        self.trouble.__init__()  # type: ignore[misc]

    def connections(self) -> list[MemoryWire]:
        return [session.wire for session in self._sessions.values() if session.wire is not None]

    def go(self, *, wiped: bool) -> None:
        """Kill the broker; `wiped`: also erase its disk."""
        self._up = False
        for wire in self.connections():
            wire.cut()
        if wiped:
            self._sessions.clear()
            self._retained.clear()

    def come(self) -> None:
        self._up = True

    # Called by the wires.

    def on_connect(self, wire: MemoryWire) -> None:
        client = wire.options.client_id
        if not self._up:
            wire.cut()
            return
        known = self._sessions.get(client)
        if known is not None and known.wire is not None:
            known.wire.cut()
        if known is None or wire.options.clean_start:
            known = self._sessions[client] = _Session(client)
            wire.down.send(lambda: wire.on_connack(ConnAck(False, wire.options.window)))
        else:
            wire.down.send(lambda: wire.on_connack(ConnAck(True, wire.options.window)))
        known.wire = wire
        for packet in known.under_way.values():
            self._send_down(known, packet)
        self._feed(known)

    def on_disconnect(self, wire: MemoryWire) -> None:
        session = self._session(wire)
        if session is not None:
            self._left(session)

    def on_lost(self, wire: MemoryWire) -> None:
        """Detect the loss of `wire` and publish its will, unless the client has reconnected by then."""
        session = self._session(wire)
        if session is None:
            return
        self._left(session)
        will = wire.options.will
        if will is not None:
            last_word = Message(will.topic, will.body, will.qos, will.retained, will.properties, 0)
            self._loop.call_later(will.delay_s, lambda: self._say_will(session, last_word))

    def on_subscribe(self, wire: MemoryWire, packet_id: int, wanted: tuple[Subscription, ...]) -> None:
        session = self._session(wire)
        if session is None:
            return
        session.filters.update({each.topic_filter: each for each in wanted})
        wire.down.send(lambda: wire.listener.on_reply(packet_id, [Reply(each.qos, "Granted") for each in wanted]))
        for each in wanted:
            for kept in self._retained.values():
                if _matches(each.topic_filter, kept.topic):
                    self._queue(session, kept, each)

    def on_publish(self, wire: MemoryWire, packet: Message) -> None:
        if self._session(wire) is None:
            return
        if self._dice.random() < self.trouble.cut_before:
            self._say(f"cut before {packet.topic}")
            wire.cut()
            return
        for _ in range(2 if self._dice.random() < self.trouble.doubled else 1):
            self._route(packet, wire.options.client_id)
        if self._dice.random() < self.trouble.cut_after:
            self._say(f"cut after {packet.topic}")
            wire.cut()
        elif packet.qos:
            wire.down.send(lambda: wire.listener.on_reply(packet.packet_id, [Reply(0, "Success")]))

    def on_puback(self, wire: MemoryWire, packet_id: int) -> None:
        session = self._session(wire)
        if session is not None:
            session.under_way.pop(packet_id, None)
            self._feed(session)

    def _session(self, wire: MemoryWire) -> _Session | None:
        session = self._sessions.get(wire.options.client_id)
        return session if session is not None and session.wire is wire else None

    def _left(self, session: _Session) -> None:
        assert session.wire is not None
        if session.wire.options.session_expiry_s == 0:
            del self._sessions[session.client]
        session.wire = None

    def _say_will(self, session: _Session, last_word: Message) -> None:
        if self._up and session.wire is None and self._sessions.get(session.client) in (session, None):
            self._route(last_word, session.client)

    def _route(self, packet: Message, sender: str) -> None:
        if packet.retained:
            self._retained[packet.topic] = packet
        shared: dict[str, list[tuple[_Session, Subscription]]] = {}
        for session in self._sessions.values():
            for each in session.filters.values():
                if not _matches(each.topic_filter, packet.topic) or (each.no_local and session.client == sender):
                    continue
                if each.topic_filter.startswith(_SHARE):
                    shared.setdefault(each.topic_filter, []).append((session, each))
                else:
                    self._queue(session, replace(packet, retained=False), each)
        for members in shared.values():
            self._queue(*_spread(self._dice.choice(members), replace(packet, retained=False)))

    def _queue(self, session: _Session, packet: Message, to: Subscription) -> None:
        qos = min(packet.qos, to.qos)
        if qos == 0 and session.wire is None:
            return
        if self._dice.random() < self.trouble.overtaken:
            self._loop.call_later(self._dice.uniform(0, 3), lambda: self._add(session, replace(packet, qos=qos)))
        else:
            self._add(session, replace(packet, qos=qos))

    def _add(self, session: _Session, packet: Message) -> None:
        lasts_s = packet.properties.expiry_s
        session.waiting.append((float("inf") if lasts_s is None else self._loop.time() + lasts_s, packet))
        self._feed(session)

    def _feed(self, session: _Session) -> None:
        while session.wire is not None and session.waiting:
            if len(session.under_way) >= session.wire.options.receive_maximum:
                return
            expires_s, packet = session.waiting.popleft()
            if expires_s < self._loop.time():
                continue
            numbered = replace(packet, packet_id=next(session.ids))
            if packet.qos:
                session.under_way[numbered.packet_id] = numbered
            self._send_down(session, numbered)

    def _send_down(self, session: _Session, packet: Message) -> None:
        wire = session.wire
        if wire is not None:
            wire.down.send(lambda: wire.listener.on_message(packet))


def _spread(member: tuple[_Session, Subscription], packet: Message) -> tuple[_Session, Message, Subscription]:
    return member[0], packet, member[1]


def _matches(topic_filter: str, topic: str) -> bool:
    wanted = topic_filter.removeprefix(_SHARE).partition("/")[2] if topic_filter.startswith(_SHARE) else topic_filter
    parts, there = wanted.split("/"), topic.split("/")
    return len(parts) == len(there) and all(part in ("+", each) for part, each in zip(parts, there, strict=True))

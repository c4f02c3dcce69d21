"""Signed orders: verified, in time, carried out once, and answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from sync.contract.health import Colour
from sync.contract.messages import DirectoryOp
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
from sync.contract.signed import Signed, read_private_key, read_public_key, verify
from sync.contract.topics import Channel, Topic
from sync.edge.ledger.system_clock import system_clock
from sync.edge.orders.receiver import OrderHandlers, OrderReceiver
from sync.edge.orders.replay_guard import ORDER_MIGRATIONS, ReplayGuard
from sync.errors import (
    BadMessage,
    BadSignature,
    OrderEarly,
    OrderExpired,
    OrderForAnother,
    OrderRefused,
    OrderTooLong,
    OrderUnfit,
)
from sync.storage.sqlite_thread import SqliteThread
from tests.sync.city import SIGNING_KEY, WHEN, signed, status_of

DESIRED = Topic("demo", Channel.DESIRED, "box-1")
COMMAND = Topic("demo", Channel.COMMAND, "box-1", "status")
REVOCATION = Topic("demo", Channel.REVOCATION)
BROADCAST = Topic("demo", Channel.BROADCAST)
HOUR_S = 3600.0


def broadcast(broadcast_id: str) -> Broadcast:
    return Broadcast(
        broadcast_id=broadcast_id,
        texts={"en": "The gate closes at ten."},
        valid_from=WHEN,
        valid_until=WHEN + timedelta(days=1),
    )


def revocation(index: int, op: int, generation: str = "g", colour: Colour | None = Colour.RED) -> Revocation:
    status = status_of(index, colour=colour or Colour.GREEN, version=op)
    body = b"null" if colour is None else msgspec.json.encode(status)
    return Revocation(generation, (DirectoryOp(op, status.person_key, msgspec.Raw(body)),))


def check(order: Signed, topic: Topic) -> None:
    verify(order, SIGNING_KEY.public_key(), at=str(topic), now=datetime.now(UTC))


def test_a_valid_order_is_accepted() -> None:
    order = signed(Desired(policy={"version": 2}), DESIRED, version=7)
    again = msgspec.json.decode(msgspec.json.encode(order), type=Signed)
    inside = verify(again, SIGNING_KEY.public_key(), at=str(DESIRED), now=datetime.now(UTC))
    assert (inside.version, inside.content(Desired).policy) == (7, {"version": 2})
    with pytest.raises(BadMessage):
        inside.content(Command)


@pytest.mark.parametrize(
    ("order", "topic", "refusal"),
    [
        (lambda: signed(Desired(), DESIRED, key=Ed25519PrivateKey.generate()), DESIRED, BadSignature),
        (lambda: signed(Desired(), DESIRED), Topic("demo", Channel.DESIRED, "box-2"), OrderForAnother),
        (lambda: signed(Desired(), DESIRED), Topic("other", Channel.DESIRED, "box-1"), OrderForAnother),
        (lambda: signed(Command(), COMMAND), Topic("demo", Channel.COMMAND, "box-1", "open"), OrderForAnother),
        (lambda: signed(Desired(), DESIRED, begins_s=HOUR_S), DESIRED, OrderEarly),
        (lambda: signed(Desired(), DESIRED, begins_s=-HOUR_S), DESIRED, OrderExpired),
        (lambda: signed(Command(), COMMAND, lasts_s=31), COMMAND, OrderTooLong),
    ],
)
def test_other_orders_are_refused(order: Callable[[], Signed], topic: Topic, refusal: type[OrderRefused]) -> None:
    with pytest.raises(refusal):
        check(order(), topic)  # signed now: a suite that runs for minutes would find it expired


@pytest.mark.parametrize("change", [(b'"version":1', b'"version":2'), (b"sentinel/v1", b"sentinel/V1"), (b"}", b" }")])
def test_no_byte_of_an_order_may_change(change: tuple[bytes, bytes]) -> None:
    order = signed(Desired(), DESIRED)
    forged = msgspec.structs.replace(order, order=msgspec.Raw(bytes(order.order).replace(*change)))
    with pytest.raises(BadSignature):
        check(forged, DESIRED)


def test_signed_orders_with_an_invalid_body_are_rejected() -> None:
    for text in (b"[]", b'{"kind":"sentinel.desired"}'):
        signature = SIGNING_KEY.sign(b"sentinel/v1 order\n" + text).hex()
        with pytest.raises(BadMessage):
            check(Signed(msgspec.Raw(text), signature), DESIRED)


def test_keys_are_read_from_files(tmp_path: Path) -> None:
    public, private, foreign = tmp_path / "public.pem", tmp_path / "private.pem", tmp_path / "foreign.pem"
    public.write_bytes(SIGNING_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    private.write_bytes(SIGNING_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    foreign.write_bytes(X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert read_public_key(public) == SIGNING_KEY.public_key() == read_private_key(private).public_key()
    for read, path in ((read_public_key, private), (read_private_key, public), (read_private_key, foreign)):
        with pytest.raises(ValueError):  # noqa: PT011 - whatever it is called
            read(path)


@dataclass
class Recorder:
    """Handlers that record the orders."""

    applied: list[Desired] = field(default_factory=list)
    revoked: list[Revocation] = field(default_factory=list)
    broadcasts: list[Broadcast | Withdrawal] = field(default_factory=list)
    ran: list[dict[str, Any]] = field(default_factory=list)

    async def apply(self, desired: Desired) -> bool:
        if desired.policy == {"bad": True}:
            raise OrderUnfit("no such rule")
        self.applied.append(desired)
        return bool(desired.settings)

    async def status(self, arguments: dict[str, Any]) -> dict[str, Any]:
        self.ran.append(arguments)
        if "stuck" in arguments:
            await asyncio.Event().wait()
        if "no" in arguments:
            raise OrderUnfit("not here")
        return {"up_s": 5}

    async def revoke(self, revocation: Revocation) -> None:
        self.revoked.append(revocation)

    def handlers(self) -> OrderHandlers:
        return OrderHandlers(self.apply, {"status": self.status}, self.broadcasts.append)


@asynccontextmanager
async def orders_of(
    home: Path, recorder: Recorder, clock: Callable[[], Clock] = system_clock
) -> AsyncIterator[OrderReceiver]:
    async with ReplayGuard.opened(home / "orders.db") as memory:
        yield OrderReceiver(memory, SIGNING_KEY.public_key(), recorder.handlers(), clock)


async def test_the_desired_state_is_applied_once_and_reported_each_time(tmp_path: Path) -> None:
    recorder = Recorder()
    first = signed(Desired(policy={"version": 2}), DESIRED, version=3)
    for _ in range(2):
        async with orders_of(tmp_path, recorder) as orders:
            for _ in range(2):
                answer = await orders.handle(DESIRED, first, recorder.revoke)
                assert answer == Reported(3, accepted=True, in_force=3)
    assert recorder.applied == [Desired(policy={"version": 2})]
    async with orders_of(tmp_path, recorder) as orders:
        older = signed(Desired(policy={"version": 1}), DESIRED, version=3)
        assert await orders.handle(DESIRED, older, recorder.revoke) == Reported(
            3, accepted=False, reason="older than version 3, which was received before", in_force=3
        )
        bad = signed(Desired(policy={"bad": True}), DESIRED, version=4)
        assert await orders.handle(DESIRED, bad, recorder.revoke) == Reported(
            4, accepted=False, reason="no such rule", in_force=3
        )
        late = signed(Desired(), DESIRED, version=5, begins_s=-HOUR_S)
        expired = await orders.handle(DESIRED, late, recorder.revoke)
        assert isinstance(expired, Reported)
        assert (expired.version, expired.accepted, expired.reason, expired.in_force) == (5, False, "expired", 3)
        better = signed(Desired(settings={"arrival": {"leave_s": 1.0}}), DESIRED, version=5)
        assert await orders.handle(DESIRED, better, recorder.revoke) == Reported(
            5, accepted=True, in_force=5, restart_needed=True
        )
        forged = signed(Desired(), DESIRED, version=9, key=Ed25519PrivateKey.generate())
        assert await orders.handle(DESIRED, forged, recorder.revoke) is None
        assert orders.refused == 3
    assert len(recorder.applied) == 2


def off_by(seconds: float, *, in_sync: bool = False) -> Callable[[], Clock]:
    """The clock of a box that is wrong by so many seconds."""

    def read() -> Clock:
        now = system_clock()
        return msgspec.structs.replace(now, wall=now.wall + timedelta(seconds=seconds), in_sync=in_sync)

    return read


@pytest.mark.parametrize(("off_s", "reason"), [(-120.0, "early"), (-1e9, "early"), (600.0, "expired")])
async def test_an_order_out_of_time_is_answered_with_the_time_of_the_box(
    tmp_path: Path, off_s: float, reason: str
) -> None:
    """A box without RTC and NTP whose clock is slow or fast."""
    recorder = Recorder()
    async with orders_of(tmp_path, recorder, off_by(off_s)) as orders:
        desired = await orders.handle(DESIRED, signed(Desired(), DESIRED, version=3), recorder.revoke)
        command = await orders.handle(COMMAND, signed(Command(), COMMAND), recorder.revoke)
        spoken = await orders.handle(BROADCAST, signed(broadcast("b-1"), BROADCAST), recorder.revoke)
    assert isinstance(desired, Reported)
    assert (desired.version, desired.accepted, desired.reason) == (3, False, reason)
    assert isinstance(command, CommandDone)
    assert (command.command, command.done, command.reason) == ("status", False, reason)
    assert isinstance(spoken, OrderOutOfTime)
    assert (spoken.kind, spoken.done, spoken.reason) == (Broadcast.TYPE, False, reason)
    for answer in (desired, command, spoken):
        assert answer.box_time is not None
        assert abs((answer.box_time - datetime.now(UTC)).total_seconds() - off_s) < 10
    assert (recorder.applied, recorder.ran, recorder.broadcasts) == ([], [], [])


@pytest.mark.parametrize(
    ("off_s", "in_sync", "counts"),
    [(-120.0, False, True), (-120.0, True, True), (-1e9, False, True), (600.0, False, True), (600.0, True, False)],
)
async def test_revocations_count_whatever_a_clock_says_that_is_not_in_sync(
    tmp_path: Path, off_s: float, in_sync: bool, counts: bool
) -> None:
    recorder = Recorder()
    order = signed(revocation(1, 5), REVOCATION)
    async with orders_of(tmp_path, recorder, off_by(off_s, in_sync=in_sync)) as orders:
        answer = await orders.handle(REVOCATION, order, recorder.revoke)
        assert isinstance(answer, OrderOutOfTime)
        assert (answer.done, answer.nonce) == (counts, msgspec.json.decode(order.order)["nonce"])
        forged = signed(revocation(2, 6), REVOCATION, key=Ed25519PrivateKey.generate())
        assert await orders.handle(REVOCATION, forged, recorder.revoke) is None
    assert recorder.revoked == [revocation(1, 5)] * counts


async def test_a_desired_state_that_came_early_is_applied_when_the_clock_is_right(tmp_path: Path) -> None:
    recorder, order = Recorder(), signed(Desired(policy={"version": 2}), DESIRED, version=3)
    async with orders_of(tmp_path, recorder, off_by(-120.0)) as orders:
        await orders.handle(DESIRED, order, recorder.revoke)
    async with orders_of(tmp_path, recorder) as orders:
        assert await orders.handle(DESIRED, order, recorder.revoke) == Reported(3, accepted=True, in_force=3)


async def test_a_command_runs_once_and_is_answered(tmp_path: Path) -> None:
    recorder = Recorder()
    order = signed(Command({"a": 1}), COMMAND)
    async with orders_of(tmp_path, recorder) as orders:
        done = await orders.handle(COMMAND, order, recorder.revoke)
        assert isinstance(done, CommandDone)
        assert (done.command, done.done, done.result) == ("status", True, {"up_s": 5})
        assert await orders.handle(COMMAND, order, recorder.revoke) is None
    async with orders_of(tmp_path, recorder) as orders:
        assert await orders.handle(COMMAND, order, recorder.revoke) is None
        unknown = Topic("demo", Channel.COMMAND, "box-1", "explode")
        refused = await orders.handle(unknown, signed(Command(), unknown), recorder.revoke)
        assert isinstance(refused, CommandDone)
        assert (refused.done, refused.reason) == (False, "unknown command")
        refused = await orders.handle(COMMAND, signed(Command({"no": 1}), COMMAND), recorder.revoke)
        assert isinstance(refused, CommandDone)
        assert (refused.done, refused.reason) == (False, "not here")
    assert recorder.ran == [{"a": 1}, {"no": 1}]


async def test_revocations_and_broadcasts_are_handled_once(tmp_path: Path) -> None:
    recorder = Recorder()
    revoked = signed(revocation(1, 5), REVOCATION)
    announced = signed(broadcast("b-1"), BROADCAST)
    withdrawn = signed(Withdrawal("b-1"), BROADCAST)
    async with orders_of(tmp_path, recorder) as orders:
        for _ in range(2):
            await orders.handle(REVOCATION, revoked, recorder.revoke)
            await orders.handle(BROADCAST, announced, recorder.revoke)
            await orders.handle(BROADCAST, withdrawn, recorder.revoke)
        assert recorder.revoked == [revocation(1, 5)] * 2  # the replica counts an operation once
        assert recorder.broadcasts == [broadcast("b-1"), Withdrawal("b-1")]
        assert orders.refused == 3
        assert await orders.handle(REVOCATION, signed(broadcast("b-1"), REVOCATION), recorder.revoke) is None
        assert orders.refused == 4


async def test_the_replay_guard_is_bounded_and_keeps_every_valid_order(tmp_path: Path) -> None:
    recorder = Recorder()
    async with SqliteThread.opened(tmp_path / "orders.db", ORDER_MIGRATIONS) as store:
        orders = OrderReceiver(ReplayGuard(store, limit=3), SIGNING_KEY.public_key(), recorder.handlers())
        old = [signed(broadcast(f"old-{n}"), BROADCAST, begins_s=-50 - n, lasts_s=1) for n in range(3)]
        new = [signed(broadcast(f"new-{n}"), BROADCAST, lasts_s=HOUR_S) for n in range(4)]
        for order in (*old, *new):
            await orders.handle(BROADCAST, order, recorder.revoke)
        assert len(recorder.broadcasts) == 6
        await orders.handle(BROADCAST, new[0], recorder.revoke)
        assert (len(recorder.broadcasts), orders.refused) == (6, 2)

"""The stores of a box for `flips`: ledger, replica of the directory, orders, faces."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np

from edge_agent.faces.consent import Consent, Giver
from edge_agent.faces.register import FaceEntry, FaceRegister
from models.recognition.embedding import FaceVectors
from sync.contract.health import Colour, HealthStatus
from sync.contract.messages import DirectoryOp
from sync.contract.orders import Reported, Revocation
from sync.contract.records import AlarmRaised, Clock, Gap, Record
from sync.contract.signed import Order
from sync.edge.directory.directory import Directory
from sync.edge.ledger.ledger import Ledger
from sync.edge.ledger.recovery import start_new_epoch
from sync.edge.ledger.schema import Row
from sync.edge.orders.replay_guard import AcceptedOrder, ReplayGuard
from sync.errors import OrderReplayed
from sync.platform.directory.store import DirectoryStore
from sync.storage.encryption import KEY_BYTES, KeyedCipher
from sync.storage.set_aside import aside_files
from tests.edge_agent.clocks import moment
from tests.faults.flips import Silent, Wrong
from tests.sync.city import BUDGET_BYTES, alarm, mixed, passage, status_of
from tests.sync.edge.test_directory import fetch

CIPHER = KeyedCipher(bytes(range(KEY_BYTES)))
NOW = datetime(2022, 4, 1, 8, 0, tzinfo=UTC)
_MANY = 10_000
_PACK = "pack-1"


@dataclass(frozen=True)
class Records:
    """The rows of a ledger by epoch and number, and those that are pending."""

    written: dict[tuple[str, int], Row]
    pending: set[tuple[str, int]]


class LedgerStore:
    """Pending and acknowledged records of this epoch and of an earlier one."""

    name = "ledger.db"

    def opened(self, path: Path) -> AbstractAsyncContextManager[Ledger]:
        return Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES, cipher=CIPHER)

    async def filled(self, path: Path) -> AsyncIterator[Records]:
        async with self.opened(path) as ledger:
            await ledger.append_all(mixed(20))
            await ledger.acknowledge(ledger.epoch, [(1, 5), (12, 15)])
        start_new_epoch(path)
        async with self.opened(path) as ledger:
            await ledger.append_all(mixed(30, 100))
            await ledger.acknowledge(ledger.epoch, [(3, 9), (15, 15)])
            truth = await self._truth(ledger)
        yield truth
        async with self.opened(path) as ledger:
            for index in range(12):
                await ledger.append(alarm(200 + index) if index % 5 == 0 else passage(200 + index))
            await ledger.acknowledge(ledger.epoch, [(16, 18)])
            yield await self._truth(ledger)

    async def _truth(self, ledger: Ledger) -> Records:
        pending = await pending_rows(ledger)
        rows = {row.name: row for row in (*pending, *await ledger.recent(_MANY))}
        return Records(rows, {row.name for row in pending})

    async def check(self, path: Path, truth: Records) -> None:
        for start in range(2):
            async with self.opened(path) as ledger:
                rows = await pending_rows(ledger, drained=start == 1)
                seq = await ledger.append(passage(9))
            known = {row.name: row for row in rows if row.name in truth.written}
            if any(row != truth.written[name] for name, row in known.items()):
                raise Wrong("a record differs from the one that was stored")
            if (ledger.epoch, seq) in truth.written:
                raise Wrong("a number was used twice")
        lost = truth.pending - known.keys()
        self._account(path, lost, [row.record() for row in rows if row.name not in truth.written])

    def _account(self, path: Path, lost: set[tuple[str, int]], reports: list[Record]) -> None:
        gaps = [each for each in reports if isinstance(each, Gap)]
        alarms = [each for each in reports if isinstance(each, AlarmRaised) and each.kind == "ledger_damaged"]
        earlier = any("earlier epochs" in each.detail for each in alarms)
        for epoch, seq in lost:
            if not earlier and not any(each.epoch == epoch and each.first_seq <= seq <= each.last_seq for each in gaps):
                raise Silent(f"{len(lost)} records, for instance {seq} of {epoch}")
        if (lost or aside_files(path)) and not alarms:
            raise Silent("no alarm")


async def pending_rows(ledger: Ledger, *, drained: bool = False) -> list[Row]:
    """The rows that are due for delivery; `drained`: those of all earlier epochs, which are acknowledged."""
    rows: list[Row] = []
    while earlier := await ledger.earlier_unacknowledged(_MANY):
        rows += earlier
        if not drained:
            break
        await ledger.acknowledge(earlier[0].epoch, [(1, _MANY)])
    for alarms in (False, True):  # what is found unreadable in the first is reported in the second
        rows += await ledger.unacknowledged(alarms, limit=_MANY)
    return rows


@dataclass(frozen=True)
class People:
    """Statuses by person key, and when the replica was confirmed."""

    statuses: dict[str, HealthStatus]
    confirmed: Clock


def confirmed_at(directory: Directory) -> Clock:
    assert directory.confirmed is not None
    return directory.confirmed


class ReplicaStore:
    """Statuses, and revocations that are ahead of them."""

    name = "directory.db"

    async def filled(self, path: Path) -> AsyncIterator[People]:
        statuses = {each.person_key: each for each in (status_of(index) for index in range(60))}
        async with DirectoryStore.opened(path.with_name("source.db")) as source:
            await source.put(statuses.values())
            async with Directory.opened(path, cipher=CIPHER) as directory:
                await fetch(source, directory)
            yield People(statuses, confirmed_at(directory))
            async with Directory.opened(path, cipher=CIPHER) as directory:
                await source.put([status_of(3, colour=Colour.YELLOW)])
                await fetch(source, directory)
                red = [status_of(index, colour=Colour.RED) for index in (5, 6)]
                ops = tuple(
                    DirectoryOp(source.last_op + 1 + number, each.person_key, msgspec.Raw(msgspec.json.encode(each)))
                    for number, each in enumerate(red)
                )
                await directory.revoke(Revocation(directory._position.generation, ops))
                changed = [status_of(3, colour=Colour.YELLOW), *red]
                yield People(statuses | {each.person_key: each for each in changed}, confirmed_at(directory))

    async def check(self, path: Path, truth: People) -> None:
        for _ in range(2):
            async with Directory.opened(path, cipher=CIPHER) as directory:
                found = {key: (await directory.lookup(key, budget_s=0.01)).status for key in truth.statuses}
                confirmed = directory.confirmed
            for key, status in found.items():
                if status is not None and msgspec.structs.replace(status, version=0) != truth.statuses[key]:
                    raise Wrong("a status differs from the newest one")
            if confirmed is not None and confirmed.monotonic_ms > truth.confirmed.monotonic_ms:
                raise Wrong("the replica appears newer than it is")
            if None in found.values() and not aside_files(path):
                raise Silent("a status is missing")


@dataclass(frozen=True)
class CarriedOut:
    """Orders that were carried out, and the newest desired state."""

    orders: list[Order]
    accepted: AcceptedOrder


class OrderStore:
    """Orders that were carried out."""

    name = "orders.db"

    async def filled(self, path: Path) -> AsyncIterator[CarriedOut]:
        orders: list[Order] = []
        for state in range(2):
            async with ReplayGuard.opened(path) as guard:
                for index in range(20):
                    orders.append(_order(100 * state + index))
                    await guard.accept(orders[-1])
                accepted = AcceptedOrder(40 + state, "n" * 32, Reported(40 + state, True, "", 40 + state), 40 + state)
                await guard.save_accepted(accepted)
                if state:
                    yield CarriedOut(list(orders), accepted)
            if not state:
                yield CarriedOut(list(orders), accepted)

    async def check(self, path: Path, truth: CarriedOut) -> None:
        async with ReplayGuard.opened(path) as guard:
            accepted = await guard.accepted()
            if accepted != truth.accepted and accepted != AcceptedOrder():
                raise Wrong("another desired state")
            missing = accepted != truth.accepted
            for order in truth.orders:
                try:
                    await guard.accept(order)
                    missing = True
                except OrderReplayed:
                    pass
            if missing and not aside_files(path):
                raise Silent("an order could be replayed")


def _order(index: int) -> Order:
    return Order(
        "sentinel.order.command",
        "demo/box-1/command",
        index,
        NOW,
        NOW + timedelta(hours=1),
        f"{index:032x}",
        msgspec.Raw(b"{}"),
    )


@dataclass(frozen=True)
class Faces:
    """Vectors by person key, and the keys that were withdrawn."""

    vectors: dict[str, np.ndarray]  # type: ignore[type-arg]


class FaceStore:
    """Registered and withdrawn faces."""

    name = "faces.db"

    async def filled(self, path: Path) -> AsyncIterator[Faces]:
        vectors = {}
        for state in range(2):
            async with FaceRegister.opened(path, CIPHER) as register:
                for index in range(8):
                    key = f"{100 * state + index:064x}"
                    vector = np.zeros(128, np.float32)
                    vector[8 * state + index] = 1
                    row = await register.add(
                        FaceEntry(key, FaceVectors(vector), _PACK),
                        Consent(Giver.SELF, NOW, NOW + timedelta(9)),
                        alike=0.5,
                    )
                    vectors[key] = vector
                    if index % 4 == 3:
                        await register.remove(row)
                        del vectors[key]
                for event in await register.events():
                    await register.delete_event(event)
                if state:
                    yield Faces(dict(vectors))
            if not state:
                yield Faces(dict(vectors))

    async def check(self, path: Path, truth: Faces) -> None:
        async with FaceRegister.opened(path, CIPHER) as register:
            gallery = (await register.galleries(_PACK, None, moment(NOW + timedelta(hours=1)))).whole
            damaged = [each for each in await register.events() if each.what == "damaged"]
            await register.rows()
            found = dict(zip(gallery.person_keys, gallery.vectors, strict=True))
        if not found.keys() <= truth.vectors.keys():
            raise Wrong("a withdrawn face")
        if any(not np.array_equal(vector, truth.vectors[key]) for key, vector in found.items()):
            raise Wrong("another face")
        if len(found) < len(truth.vectors) and not aside_files(path) and not damaged:
            raise Silent("a face is missing")

"""`orders.db`: which orders were carried out, so that a repeat does nothing, before and after a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from sqlite_utils import Database, Migrations

from sync.contract.orders import Reported
from sync.contract.signed import Order
from sync.errors import OrderReplayed, OrderUnfit
from sync.storage.sqlite_thread import SqliteThread

ORDER_MIGRATIONS = Migrations("orders")

_LIMIT = 10_000  # nonces
# What expired first goes first. An order that is still valid is never forgotten.
_FORGET = "DELETE FROM nonce WHERE nonce IN (SELECT nonce FROM nonce WHERE expires_ms < ? ORDER BY expires_ms LIMIT ?)"


class AcceptedOrder(msgspec.Struct, frozen=True):
    """The newest desired state and what was reported of it; `in_force` is the last version accepted."""

    version: int = 0
    nonce: str = ""
    report: Reported | None = None
    in_force: int | None = None


@ORDER_MIGRATIONS()
def create(db: Database) -> None:
    """Nonces of orders carried out, and the desired state that was last taken."""
    db.conn.execute("CREATE TABLE nonce (nonce TEXT PRIMARY KEY, expires_ms INTEGER NOT NULL) WITHOUT ROWID")
    db.conn.execute("CREATE INDEX nonce_expires ON nonce (expires_ms)")
    db.conn.execute("CREATE TABLE taken (body BLOB NOT NULL)")
    db.conn.execute("INSERT INTO taken VALUES (?)", (msgspec.json.encode(AcceptedOrder()),))


class ReplayGuard:
    """What was carried out; on the disk before anything is done. At most `limit` orders are remembered."""

    def __init__(self, store: SqliteThread, limit: int = _LIMIT) -> None:
        self._store = store
        self._limit = limit

    @classmethod
    @asynccontextmanager
    async def opened(cls, path: Path) -> AsyncIterator[ReplayGuard]:
        """The memory at `path`; with a damaged one an order that is still valid could be repeated once."""
        async with SqliteThread.opened(path, ORDER_MIGRATIONS) as store:
            yield cls(store)

    async def once(self, order: Order) -> None:
        """Note that `order` is carried out now; raises OrderReplayed when it was, OrderUnfit when too many wait."""
        await self._store.write(lambda db: _once(db, order, self._limit))

    async def touch(self) -> None:
        """Return as soon as the thread of the file is free."""
        await self._store.touch()

    async def taken(self) -> AcceptedOrder:
        """The desired state last taken."""
        return await self._store.run(_taken)

    async def take(self, taken: AcceptedOrder) -> None:
        """Note what became of a desired state."""
        body = msgspec.json.encode(taken)
        await self._store.write(lambda db: db.conn.execute("UPDATE taken SET body = ?", (body,)))


def _taken(db: Database) -> AcceptedOrder:
    [body] = db.conn.execute("SELECT body FROM taken").fetchone()
    return msgspec.json.decode(body, type=AcceptedOrder)


def _once(db: Database, order: Order, limit: int) -> None:
    if db.conn.execute("SELECT 1 FROM nonce WHERE nonce = ?", (order.nonce,)).fetchone():
        raise OrderReplayed("carried out before", order.version)
    [held] = db.conn.execute("SELECT count(*) FROM nonce").fetchone()
    if held >= limit:
        not_before_ms = int(order.not_before.timestamp() * 1000)
        if not db.conn.execute(_FORGET, (not_before_ms, held - limit + 1)).rowcount:
            raise OrderUnfit(f"{limit} orders are valid at once", order.version)
    db.conn.execute("INSERT INTO nonce VALUES (?, ?)", (order.nonce, int(order.expires.timestamp() * 1000)))

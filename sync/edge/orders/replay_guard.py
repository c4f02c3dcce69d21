"""`orders.db`: orders that were carried out, so that a replay has no effect, even after a restart."""

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
# Delete the nonces that expired first; the nonce of an order that is still valid is never deleted.
_FORGET = "DELETE FROM nonce WHERE nonce IN (SELECT nonce FROM nonce WHERE expires_ms < ? ORDER BY expires_ms LIMIT ?)"


class AcceptedOrder(msgspec.Struct, frozen=True):
    """The newest desired state and its report; `in_force` is the last accepted version."""

    version: int = 0
    nonce: str = ""
    report: Reported | None = None
    in_force: int | None = None


@ORDER_MIGRATIONS()
def create(db: Database) -> None:
    """Nonces of orders that were carried out, and the newest desired state."""
    db.conn.execute("CREATE TABLE nonce (nonce TEXT PRIMARY KEY, expires_ms INTEGER NOT NULL) WITHOUT ROWID")
    db.conn.execute("CREATE INDEX nonce_expires ON nonce (expires_ms)")
    db.conn.execute("CREATE TABLE taken (body BLOB NOT NULL)")
    db.conn.execute("INSERT INTO taken VALUES (?)", (msgspec.json.encode(AcceptedOrder()),))


class ReplayGuard:
    """Records an order on the disk before it is carried out. Stores at most `limit` nonces."""

    def __init__(self, store: SqliteThread, limit: int = _LIMIT) -> None:
        self._store = store
        self._limit = limit

    @classmethod
    @asynccontextmanager
    async def opened(cls, path: Path) -> AsyncIterator[ReplayGuard]:
        """Open the file at `path`. After damage an order that is still valid could be replayed once."""
        async with SqliteThread.opened(path, ORDER_MIGRATIONS) as store:
            yield cls(store)

    async def accept(self, order: Order) -> None:
        """Record that `order` is carried out now. Raises OrderReplayed, and OrderUnfit if too many are still valid."""
        await self._store.write(lambda db: _accept(db, order, self._limit))

    async def touch(self) -> None:
        """Return when the thread of the file is free."""
        await self._store.touch()

    async def accepted(self) -> AcceptedOrder:
        """The newest desired state."""
        return await self._store.run(_read_accepted)

    async def save_accepted(self, accepted: AcceptedOrder) -> None:
        """Store a desired state and its report."""
        body = msgspec.json.encode(accepted)
        await self._store.write(lambda db: db.conn.execute("UPDATE taken SET body = ?", (body,)))


def _read_accepted(db: Database) -> AcceptedOrder:
    [body] = db.conn.execute("SELECT body FROM taken").fetchone()
    return msgspec.json.decode(body, type=AcceptedOrder)


def _accept(db: Database, order: Order, limit: int) -> None:
    if db.conn.execute("SELECT 1 FROM nonce WHERE nonce = ?", (order.nonce,)).fetchone():
        raise OrderReplayed("replayed: it was carried out before", order.version)
    [count] = db.conn.execute("SELECT count(*) FROM nonce").fetchone()
    if count >= limit:
        not_before_ms = int(order.not_before.timestamp() * 1000)
        if not db.conn.execute(_FORGET, (not_before_ms, count - limit + 1)).rowcount:
            raise OrderUnfit(f"more than {limit} orders are valid at the same time", order.version)
    db.conn.execute("INSERT INTO nonce VALUES (?, ?)", (order.nonce, int(order.expires.timestamp() * 1000)))

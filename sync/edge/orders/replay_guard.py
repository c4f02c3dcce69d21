"""`orders.db`: orders that were carried out, so that a replay has no effect, even after a restart."""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import msgspec
from sqlite_utils import Database, Migrations

from sync.contract.orders import Reported
from sync.contract.signed import Order
from sync.errors import DamagedFile, OrderReplayed, OrderUnfit
from sync.storage.damage import connect_read_only
from sync.storage.salvage import salvage_copy
from sync.storage.set_aside import aside_files
from sync.storage.sqlite_thread import SqliteThread

log = logging.getLogger(__name__)

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
        """Open the file at `path`. A damaged one is set aside, and what can be read in it counts as carried out.

        An order whose row cannot be read could be replayed once while it is valid.
        """
        async with SqliteThread.opened(path, ORDER_MIGRATIONS, check=_check) as store:
            for aside in aside_files(path):
                await store.write(lambda db, aside=aside: _restore(db, aside))  # type: ignore[misc]
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
        await self._store.write(lambda db: _save_accepted(db, accepted))


def _save_accepted(db: Database, accepted: AcceptedOrder) -> None:
    body = msgspec.json.encode(accepted)
    db.conn.execute("UPDATE taken SET body = ?", (body + _checksum(body),))


def _read_accepted(db: Database) -> AcceptedOrder:
    """The newest desired state. Raises DamagedFile, msgspec.DecodeError."""
    [body] = db.conn.execute("SELECT body FROM taken").fetchone()
    return _decode(body)


def _decode(stored: bytes, *, checked: bool = False) -> AcceptedOrder:
    """The desired state in `stored`; `checked`: not without a checksum, which files from before 0.2 do not have."""
    body, newline, checksum = stored.partition(b"\n")
    if (checked or newline) and newline + checksum != _checksum(body):
        raise DamagedFile("the newest desired state is damaged")
    return msgspec.json.decode(body, type=AcceptedOrder)


def _checksum(body: bytes) -> bytes:
    return b"\n" + hashlib.sha256(body).hexdigest().encode()


def _check(db: Database) -> None:
    _read_accepted(db)


def _restore(db: Database, aside: Path) -> None:
    """Add what can be read in a file that was set aside."""
    try:
        with salvage_copy(aside) as copy, closing(connect_read_only(copy)) as old:
            old.execute("PRAGMA writable_schema=ON")
            for row in old.execute("SELECT nonce, expires_ms FROM nonce"):
                db.conn.execute("INSERT OR IGNORE INTO nonce VALUES (?, ?)", row)
            [body] = old.execute("SELECT body FROM taken").fetchone()
            accepted = _decode(body, checked=True)
    except (sqlite3.DatabaseError, DamagedFile, msgspec.DecodeError, TypeError) as exc:
        log.warning("%s: some orders that were carried out cannot be read: %s", aside.name, type(exc).__name__)
    else:
        if accepted.version > _read_accepted(db).version:
            _save_accepted(db, accepted)


def _accept(db: Database, order: Order, limit: int) -> None:
    if db.conn.execute("SELECT 1 FROM nonce WHERE nonce = ?", (order.nonce,)).fetchone():
        raise OrderReplayed("replayed: it was carried out before", order.version)
    [count] = db.conn.execute("SELECT count(*) FROM nonce").fetchone()
    if count >= limit:
        not_before_ms = int(order.not_before.timestamp() * 1000)
        if not db.conn.execute(_FORGET, (not_before_ms, count - limit + 1)).rowcount:
            raise OrderUnfit(f"more than {limit} orders are valid at the same time", order.version)
    db.conn.execute("INSERT INTO nonce VALUES (?, ?)", (order.nonce, int(order.expires.timestamp() * 1000)))

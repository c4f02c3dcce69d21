"""`orders.db`: every order that was signed, so that the versions of each topic only increase."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlite_utils import Database, Migrations

from sync.contract.orders import OrderBody
from sync.contract.signed import Signed, sign
from sync.contract.topics import Topic
from sync.storage.sqlite_thread import SqliteThread

ORDER_LOG_MIGRATIONS = Migrations("order book")


@ORDER_LOG_MIGRATIONS()
def create(db: Database) -> None:
    """Signed orders by topic and version."""
    db.conn.execute(
        "CREATE TABLE given (topic TEXT, version INTEGER, kind TEXT NOT NULL, signed_ms INTEGER NOT NULL,"
        " signed BLOB NOT NULL, PRIMARY KEY (topic, version)) WITHOUT ROWID"
    )


class OrderLog:
    """Signs orders with the platform's key and stores them."""

    def __init__(self, store: SqliteThread, key: Ed25519PrivateKey) -> None:
        self._store = store
        self._key = key

    @classmethod
    @asynccontextmanager
    async def opened(cls, path: Path, key: Ed25519PrivateKey) -> AsyncIterator[OrderLog]:
        """The order log at `path`. Raises StoreFailed."""
        async with SqliteThread.opened(path, ORDER_LOG_MIGRATIONS) as store:
            yield cls(store, key)

    async def sign(self, body: OrderBody, topic: Topic, valid_for: timedelta) -> Signed:
        """Sign and store `body` as the next order for `topic`, valid from now for `valid_for`. Raises StoreFailed."""
        now, to = datetime.now(UTC), str(topic)

        def write(db: Database) -> Signed:
            # The transaction begins with a write, so of two concurrent commands the second gets the next version.
            db.conn.execute("UPDATE given SET version = version WHERE 0")
            [last] = db.conn.execute("SELECT coalesce(max(version), 0) FROM given WHERE topic = ?", (to,)).fetchone()
            order = sign(body, self._key, to=to, version=last + 1, not_before=now, expires=now + valid_for)
            row = (to, last + 1, body.TYPE, int(now.timestamp() * 1000), msgspec.json.encode(order))
            db.conn.execute("INSERT INTO given VALUES (?, ?, ?, ?, ?)", row)
            return order

        return await self._store.write(write)

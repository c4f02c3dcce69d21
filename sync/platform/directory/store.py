"""The directory of the platform: newest status of each person, and the operation that last changed it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NoReturn

import msgspec
from sqlite_utils import Database, Migrations

from sync.contract.checksum import EMPTY, checksum_of, update_checksum
from sync.contract.health import HealthStatus
from sync.contract.messages import PAGE_LIMIT, DirectoryCheckpoint, DirectoryOp, DirectoryPage, DirectoryRequest
from sync.errors import DamagedFile
from sync.storage.change_signal import ChangeSignal
from sync.storage.sqlite_thread import SqliteThread

DIRECTORY_STORE_MIGRATIONS = Migrations("source")
_NULL = msgspec.Raw(b"null")


class _Version(msgspec.Struct, frozen=True):
    """The only field of a stored status that a change needs."""

    version: int = 0


class _Head(msgspec.Struct, frozen=True):
    """State of the stream of operations; tombstones up to `purged_op` are deleted."""

    generation: str
    op: int = 0
    checksum: str = EMPTY
    rows: int = 0
    purged_op: int = 0


@DIRECTORY_STORE_MIGRATIONS()
def create(db: Database) -> None:
    """Persons with their newest operation (`body` null: a tombstone) and the head of the stream."""
    db.conn.execute("CREATE TABLE person (person_key TEXT PRIMARY KEY, op INTEGER NOT NULL UNIQUE, body BLOB)")
    db.conn.execute("CREATE TABLE head (body BLOB NOT NULL)")
    db.conn.execute("INSERT INTO head VALUES (?)", (msgspec.json.encode(_Head(secrets.token_hex(8))),))


class DirectoryStore:
    """Every change of a person gets the next operation number; only the newest of each person is stored.

    The operations after a cursor, in order, are therefore a change feed and, from cursor 0, a complete copy.
    """

    def __init__(self, store: SqliteThread, last_op: int) -> None:
        self.last_op = last_op
        self._store = store
        self.changes = ChangeSignal()

    @classmethod
    @asynccontextmanager
    async def opened(cls, path: Path) -> AsyncIterator[DirectoryStore]:
        """The directory at `path`; a damaged or emptied one is set aside. Raises StoreFailed.

        A new one has a new generation: boxes fetch it as a whole, after the next import.
        """
        async with SqliteThread.opened(path, DIRECTORY_STORE_MIGRATIONS, check=_check) as store:
            yield cls(store, (await store.run(_head)).op)

    async def put(self, statuses: Iterable[HealthStatus]) -> int:
        """Write `statuses`, one operation for each that differs; returns how many did."""
        return await self._change(lambda change: sum(change.put(status) for status in statuses))

    async def put_at_once(self, statuses: Iterable[HealthStatus]) -> tuple[str, tuple[DirectoryOp, ...]]:
        """As `put`; returns the generation and the newest operation of each of these persons, even if unchanged."""
        statuses = tuple(statuses)
        await self.put(statuses)
        return await self._store.run(lambda db: (_head(db).generation, _ops_from(db, statuses)))

    async def remove(self, person_keys: Iterable[str]) -> int:
        """Replace persons by tombstones; returns how many existed."""
        return await self._change(lambda change: sum(change.remove(key) for key in person_keys))

    async def purge(self) -> int:
        """Delete all tombstones; boxes that have not received them must start again."""
        return await self._store.write(_purge)

    async def status(self, person_key: str) -> HealthStatus | None:
        """Newest status of one person."""
        body = await self._store.run(lambda db: _body(db, person_key))
        return None if body is None else msgspec.json.decode(body, type=HealthStatus)

    async def page(self, request: DirectoryRequest) -> DirectoryPage:
        """The operations after the position in `request`; the last page has a checkpoint."""
        return await self._store.run(lambda db: _page(db, request))

    async def follow(self, period_s: float = 0.5) -> NoReturn:
        """Detect changes by other processes, such as an import, until cancelled. Raises StoreFailed."""
        seen = await self._store.run(_outside_changes)
        while True:
            await asyncio.sleep(period_s)
            now = await self._store.run(_outside_changes)
            if now != seen:
                seen = now
                self._notify((await self._store.run(_head)).op)

    async def _change(self, work: Callable[[_Change], int]) -> int:
        def apply(db: Database) -> tuple[int, int]:
            # The transaction begins with a write, so that it waits for another process here and does not fail later.
            db.conn.execute("UPDATE head SET body = body")
            change = _Change(db)
            count = work(change)
            db.conn.execute("UPDATE head SET body = ?", (msgspec.json.encode(change.head),))
            return count, change.head.op

        count, last_op = await self._store.write(apply)
        self._notify(last_op)
        return count

    def _notify(self, last_op: int) -> None:
        self.last_op = last_op
        self.changes.notify()


def _check(db: Database) -> None:
    """Raise DamagedFile if the persons are not those of the head."""
    head = _head(db)
    checksum = checksum_of(body for (body,) in db.conn.execute("SELECT body FROM person"))
    rows, newest = db.conn.execute("SELECT count(body), coalesce(max(op), 0) FROM person").fetchone()
    if (checksum, rows) != (head.checksum, head.rows) or newest > head.op:
        raise DamagedFile("the persons are not those of the last change")


def _outside_changes(db: Database) -> int:
    """A number that changes whenever another connection commits to the file."""
    [version] = db.conn.execute("PRAGMA data_version").fetchone()
    return int(version)


def _head(db: Database) -> _Head:
    [body] = db.conn.execute("SELECT body FROM head").fetchone()
    return msgspec.json.decode(body, type=_Head)


def _body(db: Database, person_key: str) -> bytes | None:
    found = db.conn.execute("SELECT body FROM person WHERE person_key = ?", (person_key,)).fetchone()
    return found[0] if found else None


class _Change:
    """Operations of one transaction; the caller writes the head once, at the end."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.head = _head(db)

    def put(self, status: HealthStatus) -> bool:
        old = _body(self._db, status.person_key)
        version = 0 if old is None else msgspec.json.decode(old, type=_Version).version
        if old == msgspec.json.encode(msgspec.structs.replace(status, version=version)):
            return False
        newest = msgspec.structs.replace(status, version=self.head.op + 1)
        self._write(status.person_key, old, msgspec.json.encode(newest))
        return True

    def remove(self, person_key: str) -> bool:
        old = _body(self._db, person_key)
        if old is not None:
            self._write(person_key, old, None)
        return old is not None

    def _write(self, person_key: str, old: bytes | None, new: bytes | None) -> None:
        head = self.head
        self.head = msgspec.structs.replace(
            head,
            op=head.op + 1,
            rows=head.rows + (new is not None) - (old is not None),
            checksum=update_checksum(head.checksum, old, new),
        )
        self._db.conn.execute("INSERT OR REPLACE INTO person VALUES (?, ?, ?)", (person_key, self.head.op, new))


def _ops_from(db: Database, statuses: Iterable[HealthStatus]) -> tuple[DirectoryOp, ...]:
    select = "SELECT op, person_key, body FROM person WHERE person_key = ?"
    found = (db.conn.execute(select, (status.person_key,)).fetchone() for status in statuses)
    return tuple(DirectoryOp(op, key, _NULL if body is None else msgspec.Raw(body)) for op, key, body in sorted(found))


def _purge(db: Database) -> int:
    gone = db.conn.execute("DELETE FROM person WHERE body IS NULL").rowcount
    head = _head(db)
    db.conn.execute(
        "UPDATE head SET body = ?", (msgspec.json.encode(msgspec.structs.replace(head, purged_op=head.op)),)
    )
    return gone


def _page(db: Database, request: DirectoryRequest) -> DirectoryPage:
    head, cursor = _head(db), request.cursor
    foreign = request.generation != head.generation or cursor > head.op or cursor < head.purged_op
    if cursor > 0 and foreign:
        return DirectoryPage(head.generation, cursor, start_again=True)
    found = db.conn.execute(
        "SELECT op, person_key, body FROM person WHERE op > ? ORDER BY op LIMIT ?", (cursor, PAGE_LIMIT)
    ).fetchall()
    ops = tuple(DirectoryOp(op, key, _NULL if body is None else msgspec.Raw(body)) for op, key, body in found)
    complete = not ops or len(ops) < PAGE_LIMIT or ops[-1].op == head.op
    checkpoint = DirectoryCheckpoint(head.op, head.rows, head.checksum) if complete else None
    return DirectoryPage(head.generation, cursor, ops, checkpoint)

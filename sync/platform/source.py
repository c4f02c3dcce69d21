"""The city's directory: newest status of each person, and the operation that last changed it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
from sqlite_utils import Database, Migrations

from sync.contract.checksum import EMPTY, changed
from sync.contract.health import HealthStatus
from sync.contract.messages import PAGE_LIMIT, Checkpoint, DirectoryOp, DirectoryPage, DirectoryRequest
from sync.sqlite_thread import SqliteThread

SOURCE_MIGRATIONS = Migrations("source")
T = TypeVar("T")
_NULL = msgspec.Raw(b"null")


class _Head(msgspec.Struct, frozen=True):
    """The stream of operations as a whole; tombstones up to `purged_op` are gone."""

    generation: str
    op: int = 0
    checksum: str = EMPTY
    rows: int = 0
    purged_op: int = 0


@SOURCE_MIGRATIONS()
def create(db: Database) -> None:
    """Persons with their newest operation (`body` null: a tombstone) and the head of the stream."""
    db.conn.execute("CREATE TABLE person (person_key TEXT PRIMARY KEY, op INTEGER NOT NULL UNIQUE, body BLOB)")
    db.conn.execute("CREATE TABLE head (body BLOB NOT NULL)")
    db.conn.execute("INSERT INTO head VALUES (?)", (msgspec.json.encode(_Head(secrets.token_hex(8))),))


class DirectorySource:
    """Every change of a person gets the next operation number; a person keeps only the newest.

    So the operations after a cursor, in order, are both a change feed and, from cursor 0, a whole copy.
    """

    def __init__(self, store: SqliteThread, last_op: int) -> None:
        self.last_op = last_op
        self._store = store
        self._watchers: set[asyncio.Event] = set()

    @classmethod
    @asynccontextmanager
    async def opened(cls, path: Path) -> AsyncIterator[DirectorySource]:
        async with SqliteThread.opened(path, SOURCE_MIGRATIONS) as store:
            yield cls(store, (await store.run(_head)).op)

    async def put(self, statuses: Iterable[HealthStatus]) -> int:
        """Write `statuses`, each one an operation unless nothing changed; returns how many did."""
        return await self._change(lambda db: _put(db, statuses))

    async def remove(self, person_keys: Iterable[str]) -> int:
        """Replace persons by tombstones; returns how many there were."""
        return await self._change(lambda db: sum(_remove(db, key) for key in person_keys))

    async def purge(self) -> int:
        """Forget all tombstones: boxes that did not see them yet must start again."""
        return await self._store.write(_purge)

    async def status(self, person_key: str) -> HealthStatus | None:
        """Newest status of one person."""
        body = await self._store.run(lambda db: _body(db, person_key))
        return None if body is None else msgspec.json.decode(body, type=HealthStatus)

    async def page(self, request: DirectoryRequest) -> DirectoryPage:
        """What follows the position in `request`; its checkpoint is there when nothing follows after it."""
        return await self._store.run(lambda db: _page(db, request))

    @contextmanager
    def watched(self, changed: asyncio.Event) -> Iterator[None]:
        """While the block lasts, `changed` is set after every change."""
        self._watchers.add(changed)
        try:
            yield
        finally:
            self._watchers.discard(changed)

    async def _change(self, work: Callable[[Database], int]) -> int:
        count, self.last_op = await self._store.write(lambda db: (work(db), _head(db).op))
        for watcher in self._watchers:
            watcher.set()
        return count


def _head(db: Database) -> _Head:
    [body] = db.conn.execute("SELECT body FROM head").fetchone()
    return msgspec.json.decode(body, type=_Head)


def _body(db: Database, person_key: str) -> bytes | None:
    found = db.conn.execute("SELECT body FROM person WHERE person_key = ?", (person_key,)).fetchone()
    return found[0] if found else None


def _put(db: Database, statuses: Iterable[HealthStatus]) -> int:
    count = 0
    for status in statuses:
        old = _body(db, status.person_key)
        version = 0 if old is None else msgspec.json.decode(old, type=HealthStatus).version
        if old != msgspec.json.encode(msgspec.structs.replace(status, version=version)):
            newest = msgspec.structs.replace(status, version=_head(db).op + 1)
            _write(db, status.person_key, old, msgspec.json.encode(newest))
            count += 1
    return count


def _remove(db: Database, person_key: str) -> bool:
    old = _body(db, person_key)
    if old is not None:
        _write(db, person_key, old, None)
    return old is not None


def _write(db: Database, person_key: str, old: bytes | None, new: bytes | None) -> None:
    head = _head(db)
    op = head.op + 1
    rows = head.rows + (new is not None) - (old is not None)
    head = msgspec.structs.replace(head, op=op, rows=rows, checksum=changed(head.checksum, old, new))
    db.conn.execute("INSERT OR REPLACE INTO person VALUES (?, ?, ?)", (person_key, op, new))
    db.conn.execute("UPDATE head SET body = ?", (msgspec.json.encode(head),))


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
    checkpoint = Checkpoint(head.op, head.rows, head.checksum) if complete else None
    return DirectoryPage(head.generation, cursor, ops, checkpoint)

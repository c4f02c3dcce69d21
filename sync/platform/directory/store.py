"""The directory of the platform: newest status of each person, and the operation that last changed it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import NoReturn, TypeVar

import msgspec
from sqlite_utils import Database, Migrations

from sync.contract.checksum import EMPTY, checksum_of, update_checksum
from sync.contract.decoding import decoded
from sync.contract.health import Colour, HealthStatus
from sync.contract.messages import PAGE_LIMIT, DirectoryCheckpoint, DirectoryOp, DirectoryPage, DirectoryRequest
from sync.errors import BadMessage, DamagedFile
from sync.storage.change_signal import ChangeSignal
from sync.storage.sqlite_thread import SqliteThread

DIRECTORY_STORE_MIGRATIONS = Migrations("source")
_NULL = msgspec.Raw(b"null")
_STATUS = msgspec.json.Decoder(HealthStatus)
_TICK = timedelta(microseconds=1)  # smallest step of `as_of`
T = TypeVar("T")


class PutResult(StrEnum):
    """What a row did to the directory."""

    CHANGED = "changed"
    SAME = "same"
    OLDER = "older"  # the stored status is newer and was kept


@dataclass(frozen=True, slots=True)
class Update:
    """A status from a source that does not state the fields `unstated`: they keep their stored values."""

    status: HealthStatus
    unstated: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Issued:
    """Operations to send to the boxes before their page, and the persons to whom the order did not apply as usual.

    Of a revocation these are persons who were not in the directory; of a reinstatement those who are not revoked.
    """

    generation: str
    ops: tuple[DirectoryOp, ...]
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Authorisation:
    """Who ordered that a revocation ends, and why."""

    by: str
    reason: str
    at: datetime


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


@DIRECTORY_STORE_MIGRATIONS()
def revocations(db: Database) -> None:
    """Revocations in force, with the status before (null: the person was not known), and who ended which."""
    db.conn.execute("CREATE TABLE revocation (person_key TEXT PRIMARY KEY, before BLOB) WITHOUT ROWID")
    db.conn.execute(
        "CREATE TABLE reinstatement (person_key TEXT NOT NULL, at_ms INTEGER NOT NULL, by TEXT NOT NULL,"
        " reason TEXT NOT NULL)"
    )


class DirectoryStore:
    """Every change of a person gets the next operation number; only the newest of each person is stored.

    A status never replaces one with a later `as_of`; of equal ones the one written last counts. A revocation is later
    than whatever it replaces, so only later data or `reinstate` end it.

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
        """Write `statuses`, one operation for each that differs and is not older; returns how many did."""
        return (await self.update([Update(status) for status in statuses])).count(PutResult.CHANGED)

    async def update(self, updates: Sequence[Update]) -> list[PutResult]:
        """Write `updates` in one transaction; returns what each did."""
        return await self._change(lambda change: [change.put(update) for update in updates])

    async def revoke(self, person_keys: Sequence[str], colour: Colour, now: datetime) -> Issued:
        """Set the colour of persons, known or not, as of `now` or just after their status; ends their exemptions."""
        keys = tuple(dict.fromkeys(person_keys))
        return await self._change(lambda change: change.issue(keys, lambda key: change.revoke(key, colour, now)))

    async def reinstate(self, person_keys: Sequence[str], order: Authorisation) -> Issued:
        """End revocations by a named order: each person has the status from before, or none, again."""
        keys = tuple(dict.fromkeys(person_keys))
        return await self._change(lambda change: change.issue(keys, lambda key: change.reinstate(key, order)))

    async def remove(self, person_keys: Iterable[str]) -> int:
        """Replace persons by tombstones; returns how many existed."""
        return await self._change(lambda change: sum(change.remove(key) for key in person_keys))

    async def purge(self) -> int:
        """Delete all tombstones; boxes that have not received them must start again."""
        return await self._store.write(_purge)

    async def status(self, person_key: str) -> HealthStatus | None:
        """Newest status of one person. Raises BadMessage for a row of an older version that is not valid today."""
        body = await self._store.run(lambda db: _body(db, person_key))
        return None if body is None else decoded("directory row", _STATUS, body)

    async def page(self, request: DirectoryRequest, limit: int = PAGE_LIMIT) -> DirectoryPage:
        """At most `limit` operations after the position in `request`; the last page has a checkpoint."""
        return await self._store.run(lambda db: _page(db, request, limit))

    async def follow(self, period_s: float = 0.5) -> NoReturn:
        """Detect changes by other processes, such as an import, until cancelled. Raises StoreFailed."""
        seen = await self._store.run(_outside_changes)
        while True:
            await asyncio.sleep(period_s)
            now = await self._store.run(_outside_changes)
            if now != seen:
                seen = now
                self._notify((await self._store.run(_head)).op)

    async def _change(self, work: Callable[[_Change], T]) -> T:
        def apply(db: Database) -> tuple[T, int]:
            # The transaction begins with a write, so that it waits for another process here and does not fail later.
            db.conn.execute("UPDATE head SET body = body")
            change = _Change(db)
            result = work(change)
            db.conn.execute("UPDATE head SET body = ?", (msgspec.json.encode(change.head),))
            return result, change.head.op

        result, last_op = await self._store.write(apply)
        self._notify(last_op)
        return result

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

    def put(self, update: Update) -> PutResult:
        new, old = update.status, self._status(update.status.person_key)
        if old is not None:
            new = msgspec.structs.replace(new, **{name: getattr(old, name) for name in update.unstated})
            if new.as_of < old.as_of or (new.as_of == old.as_of and self._is_revoked(new.person_key)):
                return PutResult.OLDER
            if msgspec.structs.replace(new, version=old.version) == old:
                return PutResult.SAME
        self._forget_revocation(new.person_key)
        self._write(new.person_key, new)
        return PutResult.CHANGED

    def remove(self, person_key: str) -> bool:
        self._forget_revocation(person_key)
        there = _body(self._db, person_key) is not None
        if there:
            self._write(person_key, None)
        return there

    def issue(self, person_keys: tuple[str, ...], order: Callable[[str], bool]) -> Issued:
        """Apply `order` to each person; its result says whether it applied as usual."""
        others = tuple(key for key in person_keys if not order(key))
        return Issued(self.head.generation, _ops_from(self._db, person_keys), others)

    def revoke(self, person_key: str, colour: Colour, now: datetime) -> bool:
        """Returns whether the person is in the directory; a person who is not is revoked from now on too."""
        body, old = _body(self._db, person_key), self._status(person_key)
        as_of = now if old is None else max(now, old.as_of + _TICK)
        new = HealthStatus(person_key=person_key, colour=colour, as_of=as_of)
        if old is not None:
            new = msgspec.structs.replace(old, colour=colour, as_of=as_of, exempt_until=None, exempt_by="")
        self._db.conn.execute("INSERT OR IGNORE INTO revocation VALUES (?, ?)", (person_key, body))
        self._write(person_key, new)
        return body is not None

    def reinstate(self, person_key: str, order: Authorisation) -> bool:
        """Returns whether the person was revoked."""
        found = self._db.conn.execute("SELECT before FROM revocation WHERE person_key = ?", (person_key,)).fetchone()
        if found is None:
            return False
        self._forget_revocation(person_key)
        self._write(person_key, _read(found[0]))
        row = (person_key, int(order.at.timestamp() * 1000), order.by, order.reason)
        self._db.conn.execute("INSERT INTO reinstatement VALUES (?, ?, ?, ?)", row)
        return True

    def _status(self, person_key: str) -> HealthStatus | None:
        return _read(_body(self._db, person_key))

    def _is_revoked(self, person_key: str) -> bool:
        select = "SELECT 1 FROM revocation WHERE person_key = ?"
        return self._db.conn.execute(select, (person_key,)).fetchone() is not None

    def _forget_revocation(self, person_key: str) -> None:
        self._db.conn.execute("DELETE FROM revocation WHERE person_key = ?", (person_key,))

    def _write(self, person_key: str, status: HealthStatus | None) -> None:
        """Store `status` (None: a tombstone) as the next operation."""
        old, new = _body(self._db, person_key), None
        if status is not None:
            new = msgspec.json.encode(msgspec.structs.replace(status, version=self.head.op + 1))
        head = self.head
        self.head = msgspec.structs.replace(
            head,
            op=head.op + 1,
            rows=head.rows + (new is not None) - (old is not None),
            checksum=update_checksum(head.checksum, old, new),
        )
        self._db.conn.execute("INSERT OR REPLACE INTO person VALUES (?, ?, ?)", (person_key, self.head.op, new))


def _read(body: bytes | None) -> HealthStatus | None:
    """The status in `body`; None also for a row of an older version that is not valid today: any data replace it."""
    if body is not None:
        with suppress(BadMessage):
            return decoded("directory row", _STATUS, body)
    return None


def _ops_from(db: Database, person_keys: Iterable[str]) -> tuple[DirectoryOp, ...]:
    """The newest operation of each of these persons, in order; none of a person who was never known."""
    select = "SELECT op, person_key, body FROM person WHERE person_key = ?"
    found = (db.conn.execute(select, (key,)).fetchone() for key in person_keys)
    ops = sorted(each for each in found if each is not None)
    return tuple(DirectoryOp(op, key, _NULL if body is None else msgspec.Raw(body)) for op, key, body in ops)


def _purge(db: Database) -> int:
    gone = db.conn.execute("DELETE FROM person WHERE body IS NULL").rowcount
    head = _head(db)
    db.conn.execute(
        "UPDATE head SET body = ?", (msgspec.json.encode(msgspec.structs.replace(head, purged_op=head.op)),)
    )
    return gone


def _page(db: Database, request: DirectoryRequest, limit: int) -> DirectoryPage:
    head, cursor = _head(db), request.cursor
    foreign = request.generation != head.generation or cursor > head.op or cursor < head.purged_op
    if cursor > 0 and foreign:
        return DirectoryPage(head.generation, cursor, start_again=True)
    found = db.conn.execute(
        "SELECT op, person_key, body FROM person WHERE op > ? ORDER BY op LIMIT ?", (cursor, limit)
    ).fetchall()
    ops = tuple(DirectoryOp(op, key, _NULL if body is None else msgspec.Raw(body)) for op, key, body in found)
    complete = not ops or len(ops) < limit or ops[-1].op == head.op
    checkpoint = DirectoryCheckpoint(head.op, head.rows, head.checksum) if complete else None
    return DirectoryPage(head.generation, cursor, ops, checkpoint)

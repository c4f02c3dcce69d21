"""`boxes.db`: the boxes of a district with their status, their tokens and their certificates."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from sqlite_utils import Database, Migrations

from sync.contract.enrolment import check_serial
from sync.contract.topics import check_name
from sync.platform.authority.certificates import PLATFORM, utc_now
from sync.storage.sqlite_thread import SqliteThread

T = TypeVar("T")
Row = tuple[Any, ...]
Revoked = list[tuple[int, datetime]]  # certificate serial number, time of revocation
REGISTRY_MIGRATIONS = Migrations("boxes")
TOKEN_LIMIT = timedelta(hours=24)
_TOKEN_BYTES = 13  # 104 bits; the token is the first 20 characters of base32, 100 bits


class BoxStatus(StrEnum):
    """Status of a box."""

    INVITED = "invited"  # has a token and has not enrolled
    PENDING = "pending"  # requested a certificate; waits for an operator
    ACCEPTED = "accepted"  # receives its certificate and renews it
    REVOKED = "revoked"  # receives no certificate; the broker rejects it


class BoxEntry(msgspec.Struct, frozen=True):
    """One box: `request` is the digest of the key that waits for a certificate, `certificate` the newest one as PEM."""

    name: str
    serial: str
    status: BoxStatus
    accepted_ahead: bool
    request: str | None
    certificate: bytes | None
    certificate_key: str | None
    expires: datetime | None


class TokenEntry(msgspec.Struct, frozen=True):
    """One token: the serial it is for, when it expires if unused, and the digest of the key that used it."""

    serial: str
    expires: datetime
    used_by: str | None


@REGISTRY_MIGRATIONS()
def create(db: Database) -> None:
    """Boxes, tokens as hashes, certificates."""
    db.conn.execute("CREATE TABLE about (url TEXT NOT NULL)")
    db.conn.execute("CREATE TABLE broker (folder TEXT PRIMARY KEY) WITHOUT ROWID")
    db.conn.execute(
        "CREATE TABLE box (name TEXT PRIMARY KEY, serial TEXT NOT NULL UNIQUE, status TEXT NOT NULL,"
        " accepted_ahead INTEGER NOT NULL, request TEXT, certificate BLOB, certificate_key TEXT, expires_ms INTEGER)"
        " WITHOUT ROWID"
    )
    db.conn.execute(
        "CREATE TABLE token (hash TEXT PRIMARY KEY, serial TEXT NOT NULL, expires_ms INTEGER NOT NULL, used_by TEXT)"
        " WITHOUT ROWID"
    )
    db.conn.execute(
        "CREATE TABLE certificate (number TEXT PRIMARY KEY, box TEXT NOT NULL, expires_ms INTEGER NOT NULL,"
        " revoked_ms INTEGER) WITHOUT ROWID"
    )


@REGISTRY_MIGRATIONS()
def issues(db: Database) -> None:
    """When each certificate was issued, and the digest of its key; unknown for older ones."""
    db.conn.execute("ALTER TABLE certificate ADD COLUMN issued_ms INTEGER NOT NULL DEFAULT 0")
    db.conn.execute("ALTER TABLE certificate ADD COLUMN key TEXT NOT NULL DEFAULT ''")
    db.conn.execute("CREATE INDEX certificate_box ON certificate (box, issued_ms)")


class RegistryTransaction:
    """The registry inside one transaction."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def token(self, token: str) -> TokenEntry | None:
        row = self._row("SELECT serial, expires_ms, used_by FROM token WHERE hash = ?", _hash(token))
        return TokenEntry(row[0], _time(row[1]), row[2]) if row else None

    def use(self, token: str, key: str) -> None:
        """Bind the token to `key`."""
        self._do("UPDATE token SET used_by = ? WHERE hash = ?", key, _hash(token))

    def box(self, *, name: str | None = None, serial: str | None = None) -> BoxEntry | None:
        row = self._row("SELECT * FROM box WHERE name = ? OR serial = ?", name, serial)
        return _entry(row) if row else None

    def boxes(self) -> list[BoxEntry]:
        return [_entry(row) for row in self._db.conn.execute("SELECT * FROM box ORDER BY name")]

    def put(self, box: BoxEntry) -> None:
        """Insert or replace `box`."""
        expires_ms = _ms(box.expires) if box.expires else None
        values = (box.name, box.serial, box.status.value, int(box.accepted_ahead), box.request)
        self._do(
            "INSERT OR REPLACE INTO box VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            *values,
            box.certificate,
            box.certificate_key,
            expires_ms,
        )

    def invite(self, serial: str, expires: datetime) -> str:
        """A new token for `serial`, which replaces its previous ones. Only its hash is stored."""
        token = base64.b32encode(secrets.token_bytes(_TOKEN_BYTES)).decode()[:20]
        self._do("DELETE FROM token WHERE serial = ?", serial)
        self._do("INSERT INTO token VALUES (?, ?, ?, NULL)", _hash(token), serial, _ms(expires))
        return token

    def add_certificate(self, number: int, box: str, key: str, issued: datetime, expires: datetime) -> None:
        """Add a certificate of `box`; `key` is the digest of its key."""
        values = (f"{number:x}", box, _ms(expires), _ms(issued), key)
        self._do(
            "INSERT INTO certificate (number, box, expires_ms, revoked_ms, issued_ms, key)"
            " VALUES (?, ?, ?, NULL, ?, ?)",
            *values,
        )

    def issued_between(self, box: str, first: datetime, last: datetime) -> list[datetime]:
        """When certificates of `box` were issued, oldest first."""
        rows = self._db.conn.execute(
            "SELECT issued_ms FROM certificate WHERE box = ? AND issued_ms BETWEEN ? AND ? ORDER BY issued_ms",
            (box, _ms(first), _ms(last)),
        )
        return [_time(issued_ms) for (issued_ms,) in rows]

    def was_certified(self, box: str, key: str) -> bool:
        """Whether a certificate of `box` was issued for the key with this digest."""
        return self._row("SELECT 1 FROM certificate WHERE box = ? AND key = ?", box, key) is not None

    def is_revoked(self, number: int) -> bool:
        row = self._row("SELECT revoked_ms FROM certificate WHERE number = ?", f"{number:x}")
        return row is None or row[0] is not None

    def revoke_certificates(self, box: str, when: datetime, keep: Iterable[int] = ()) -> int:
        """Revoke all certificates of `box` except those numbered in `keep`; returns how many were valid."""
        done = self._db.conn.execute(
            "UPDATE certificate SET revoked_ms = ? WHERE box = ? AND revoked_ms IS NULL"
            " AND number NOT IN (SELECT value FROM json_each(?))",
            (_ms(when), box, json.dumps([f"{number:x}" for number in keep])),
        )
        return int(done.rowcount)

    def revoked(self) -> Revoked:
        """Serial numbers of revoked certificates, with the time of revocation."""
        rows = self._db.conn.execute("SELECT number, revoked_ms FROM certificate WHERE revoked_ms IS NOT NULL")
        return [(int(number, 16), _time(revoked_ms)) for number, revoked_ms in rows]

    def brokers(self) -> list[Path]:
        """Folders of broker configurations, which contain a revocation list."""
        return [Path(folder) for (folder,) in self._db.conn.execute("SELECT folder FROM broker ORDER BY folder")]

    def add_broker(self, folder: Path) -> None:
        self._do("INSERT OR IGNORE INTO broker VALUES (?)", str(folder))

    def url(self) -> str:
        """The URL for enrolment. Raises ValueError if no authority was created."""
        row = self._row("SELECT url FROM about")
        if row is None:
            raise ValueError("no authority exists: create one with edge-platform ca init")
        return str(row[0])

    def set_url(self, url: str) -> None:
        self._do("DELETE FROM about")
        self._do("INSERT INTO about VALUES (?)", url)

    def _row(self, query: str, *values: object) -> Row | None:
        row: Row | None = self._db.conn.execute(query, values).fetchone()
        return row

    def _do(self, statement: str, *values: object) -> None:
        self._db.conn.execute(statement, values)


class Registry:
    """The boxes of one district; `now` is its clock."""

    def __init__(self, store: SqliteThread, now: Callable[[], datetime] = utc_now) -> None:
        self.now = now
        self._store = store

    @classmethod
    @asynccontextmanager
    async def opened(cls, path: Path, now: Callable[[], datetime] = utc_now) -> AsyncIterator[Registry]:
        """The registry at `path`. Raises StoreFailed."""
        async with SqliteThread.opened(path, REGISTRY_MIGRATIONS) as store:
            yield cls(store, now)

    async def change(self, work: Callable[[RegistryTransaction], T]) -> T:
        """Run `work` in one transaction; returns its result after the commit. Raises StoreFailed."""

        def write(db: Database) -> T:
            # The transaction begins with a write, so of two processes the second sees the changes of the first.
            db.conn.execute("UPDATE box SET name = name WHERE 0")
            return work(RegistryTransaction(db))

        return await self._store.write(write)

    async def invite(
        self, serial: str, name: str, *, lasts: timedelta = TOKEN_LIMIT, accept: bool = False
    ) -> tuple[str, datetime]:
        """A token for the box with this `serial`, to be named `name`, and its expiry. Raises ValueError, StoreFailed.

        `accept`: the box is accepted without waiting for an operator.
        """
        check_serial(serial)
        if check_name(name) == PLATFORM:
            raise ValueError(f"{PLATFORM} is the platform's own name at the broker")
        if not timedelta(0) < lasts <= TOKEN_LIMIT:
            raise ValueError("a token is valid for at most 24 hours")
        expires = self.now() + lasts

        def work(transaction: RegistryTransaction) -> str:
            for known in (transaction.box(name=name), transaction.box(serial=serial)):
                if known and (known.name, known.serial) != (name, serial):
                    raise ValueError(f"{known.name} is already the box with serial {known.serial}")
            known = transaction.box(name=name) or BoxEntry(
                name, serial, BoxStatus.INVITED, False, None, None, None, None
            )
            invited = msgspec.structs.replace(known, status=BoxStatus.INVITED, accepted_ahead=accept, request=None)
            transaction.put(invited)
            return transaction.invite(serial, expires)

        return await self.change(work), expires

    async def accept(self, name: str) -> BoxEntry:
        """Accept a pending box. Raises ValueError if it is not pending."""

        def work(transaction: RegistryTransaction) -> BoxEntry:
            box = _require_box(transaction, name)
            if box.status is not BoxStatus.PENDING:
                raise ValueError(f"{name} is not pending: it is {box.status}")
            accepted = msgspec.structs.replace(box, status=BoxStatus.ACCEPTED)
            transaction.put(accepted)
            return accepted

        return await self.change(work)

    async def revoke(self, name: str) -> tuple[Revoked, list[Path]]:
        """Revoke the box and its certificates. Raises ValueError if the box does not exist.

        Returns all revoked certificates, and the folders of brokers whose lists must be updated.
        """

        def work(transaction: RegistryTransaction) -> tuple[Revoked, list[Path]]:
            box = _require_box(transaction, name)
            transaction.put(msgspec.structs.replace(box, status=BoxStatus.REVOKED, accepted_ahead=False, request=None))
            transaction.revoke_certificates(name, self.now())
            return transaction.revoked(), transaction.brokers()

        return await self.change(work)

    async def register_broker(self, folder: Path) -> Revoked:
        """Register a broker folder, whose revocation list `revoke` updates; returns the revoked certificates."""

        def work(transaction: RegistryTransaction) -> Revoked:
            transaction.add_broker(folder)
            return transaction.revoked()

        return await self.change(work)


def _require_box(transaction: RegistryTransaction, name: str) -> BoxEntry:
    box = transaction.box(name=name)
    if box is None:
        raise ValueError(f"box {name!r} does not exist: see edge-platform boxes list")
    return box


def _entry(row: Row) -> BoxEntry:
    name, serial, status, ahead, request, certificate, key, expires_ms = row
    expires = _time(expires_ms) if expires_ms is not None else None
    return BoxEntry(name, serial, BoxStatus(status), bool(ahead), request, certificate, key, expires)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _ms(time: datetime) -> int:
    return int(time.timestamp() * 1000)


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)

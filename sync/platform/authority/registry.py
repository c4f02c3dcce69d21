"""`boxes.db`: which boxes there are, what they may do, their tokens and the certificates they got."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable
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
Revoked = list[tuple[int, datetime]]  # serial numbers of certificates, and when
REGISTRY_MIGRATIONS = Migrations("boxes")
TOKEN_LIMIT = timedelta(hours=24)
_TOKEN_BYTES = 13  # 104 bits, 20 characters of base32 and a rest of 4 bits


class BoxStatus(StrEnum):
    """What a box may do."""

    INVITED = "invited"  # it has a token and has not come yet
    PENDING = "pending"  # it asked for a certificate; an operator has to look at it
    ACCEPTED = "accepted"  # it gets its certificate, and renews it itself
    REVOKED = "revoked"  # it gets nothing, and the broker refuses it


class BoxEntry(msgspec.Struct, frozen=True):
    """One box: `request` is the key that waits for a certificate, `certificate` the newest one as PEM."""

    name: str
    serial: str
    status: BoxStatus
    accepted_ahead: bool
    request: str | None
    certificate: bytes | None
    certificate_key: str | None
    expires: datetime | None


class TokenEntry(msgspec.Struct, frozen=True):
    """One token: whose it is, until when it can be used first, and the key that used it."""

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


class RegistryTransaction:
    """The registry inside one transaction."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def token(self, token: str) -> TokenEntry | None:
        row = self._row("SELECT serial, expires_ms, used_by FROM token WHERE hash = ?", _hashed(token))
        return TokenEntry(row[0], _time(row[1]), row[2]) if row else None

    def use(self, token: str, key: str) -> None:
        """From now on the token is of use to `key` alone."""
        self._do("UPDATE token SET used_by = ? WHERE hash = ?", key, _hashed(token))

    def box(self, *, name: str | None = None, serial: str | None = None) -> BoxEntry | None:
        row = self._row("SELECT * FROM box WHERE name = ? OR serial = ?", name, serial)
        return _entry(row) if row else None

    def boxes(self) -> list[BoxEntry]:
        return [_entry(row) for row in self._db.conn.execute("SELECT * FROM box ORDER BY name")]

    def put(self, box: BoxEntry) -> None:
        """`box` as it is from now on."""
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
        """A new token for `serial`; those before it are void. It is stored as its hash alone."""
        token = base64.b32encode(secrets.token_bytes(_TOKEN_BYTES)).decode()[:20]
        self._do("DELETE FROM token WHERE serial = ?", serial)
        self._do("INSERT INTO token VALUES (?, ?, ?, NULL)", _hashed(token), serial, _ms(expires))
        return token

    def note_certificate(self, number: int, box: str, expires: datetime) -> None:
        self._do("INSERT INTO certificate VALUES (?, ?, ?, NULL)", f"{number:x}", box, _ms(expires))

    def is_revoked(self, number: int) -> bool:
        row = self._row("SELECT revoked_ms FROM certificate WHERE number = ?", f"{number:x}")
        return row is None or row[0] is not None

    def revoke_certificates(self, box: str, when: datetime) -> int:
        """All certificates of `box` count no more; returns how many there were."""
        done = self._db.conn.execute(
            "UPDATE certificate SET revoked_ms = ? WHERE box = ? AND revoked_ms IS NULL", (_ms(when), box)
        )
        return int(done.rowcount)

    def revoked(self) -> Revoked:
        """Serial numbers of revoked certificates and when they were revoked."""
        rows = self._db.conn.execute("SELECT number, revoked_ms FROM certificate WHERE revoked_ms IS NOT NULL")
        return [(int(number, 16), _time(revoked_ms)) for number, revoked_ms in rows]

    def brokers(self) -> list[Path]:
        """Folders of broker configurations that hold a list of the revoked."""
        return [Path(folder) for (folder,) in self._db.conn.execute("SELECT folder FROM broker ORDER BY folder")]

    def broker_at(self, folder: Path) -> None:
        self._do("INSERT OR IGNORE INTO broker VALUES (?)", str(folder))

    def url(self) -> str:
        """Where boxes enrol; ValueError when no authority was made here."""
        row = self._row("SELECT url FROM about")
        if row is None:
            raise ValueError("no authority was made here yet: edge-platform ca init")
        return str(row[0])

    def url_is(self, url: str) -> None:
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
        """What `work` returns; all that it changed is on the disk, or nothing. Raises StoreFailed."""

        def write(db: Database) -> T:
            # The transaction begins with a write, so of two processes the second sees what the first did.
            db.conn.execute("UPDATE box SET name = name WHERE 0")
            return work(RegistryTransaction(db))

        return await self._store.write(write)

    async def invite(
        self, serial: str, name: str, *, lasts: timedelta = TOKEN_LIMIT, accept: bool = False
    ) -> tuple[str, datetime]:
        """A token for the box of this `serial`, which will be `name`, and until when. ValueError says what is wrong.

        `accept`: the operator knows this box; it need not wait when it comes.
        """
        check_serial(serial)
        if check_name(name) == PLATFORM:
            raise ValueError(f"{PLATFORM} is the platform's own name at the broker")
        if not timedelta(0) < lasts <= TOKEN_LIMIT:
            raise ValueError("a token lasts for up to 24 hours")
        expires = self.now() + lasts

        def work(book: RegistryTransaction) -> str:
            for known in (book.box(name=name), book.box(serial=serial)):
                if known and (known.name, known.serial) != (name, serial):
                    raise ValueError(f"{known.name} is already the box of serial {known.serial}")
            known = book.box(name=name) or BoxEntry(name, serial, BoxStatus.INVITED, False, None, None, None, None)
            invited = msgspec.structs.replace(known, status=BoxStatus.INVITED, accepted_ahead=accept, request=None)
            book.put(invited)
            return book.invite(serial, expires)

        return await self.change(work), expires

    async def accept(self, name: str) -> BoxEntry:
        """Let the box that waits have its certificate. ValueError when it does not wait."""

        def work(book: RegistryTransaction) -> BoxEntry:
            box = _known(book, name)
            if box.status is not BoxStatus.PENDING:
                raise ValueError(f"{name} does not wait for anybody: it is {box.status}")
            accepted = msgspec.structs.replace(box, status=BoxStatus.ACCEPTED)
            book.put(accepted)
            return accepted

        return await self.change(work)

    async def revoke(self, name: str) -> tuple[Revoked, list[Path]]:
        """Take everything from the box. ValueError when there is no such box.

        Returns all that is revoked now, and the folders of brokers that must be told.
        """

        def work(book: RegistryTransaction) -> tuple[Revoked, list[Path]]:
            box = _known(book, name)
            book.put(msgspec.structs.replace(box, status=BoxStatus.REVOKED, accepted_ahead=False, request=None))
            book.revoke_certificates(name, self.now())
            return book.revoked(), book.brokers()

        return await self.change(work)

    async def serve_broker(self, folder: Path) -> Revoked:
        """From now on the list of the revoked in `folder` is kept up to date; returns what it begins with."""

        def work(book: RegistryTransaction) -> Revoked:
            book.broker_at(folder)
            return book.revoked()

        return await self.change(work)


def _known(book: RegistryTransaction, name: str) -> BoxEntry:
    box = book.box(name=name)
    if box is None:
        raise ValueError(f"there is no box {name!r}: edge-platform boxes list")
    return box


def _entry(row: Row) -> BoxEntry:
    name, serial, status, ahead, request, certificate, key, expires_ms = row
    expires = _time(expires_ms) if expires_ms is not None else None
    return BoxEntry(name, serial, BoxStatus(status), bool(ahead), request, certificate, key, expires)


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _ms(time: datetime) -> int:
    return int(time.timestamp() * 1000)


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)

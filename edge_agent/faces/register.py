"""`faces.db`, the register of faces: encrypted person keys and vectors with the consent; no pictures and no names.

The agent and the command line open it at the same time; each sees the changes of the other.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from sqlite_utils import Database, Migrations

from edge_agent.domain.passage import Moment
from edge_agent.faces.consent import PURPOSE, Consent, Giver
from edge_agent.faces.errors import FaceTaken, RegisterFull
from edge_agent.faces.gallery import Galleries, Gallery
from models.recognition.embedding import FaceEmbedders, FaceVectors
from sync.errors import DamagedFile, DecryptionFailed
from sync.storage.damage import connect_read_only
from sync.storage.encryption import Cipher, KeyedCipher, encrypt_file, load_cipher
from sync.storage.set_aside import aside_files, drop_aside
from sync.storage.sqlite_thread import SqliteThread

log = logging.getLogger(__name__)

FILE = "faces.db"
MOST_PEOPLE = 5000
FACE_MIGRATIONS = Migrations("faces")

_KEY_BYTES = 32
_EVENTS = ("registered", "withdrawn", "expired", "damaged")
_COLUMNS = "id, pack, giver, purpose, given_ms, until_ms"
_UPPER = "upper_pack"  # after the columns of the row, in the context of `upper_body`
_ENCRYPT_ROWS = (
    f"UPDATE face SET body = encrypted(body, {_COLUMNS}), upper_body = encrypted(upper_body, {_COLUMNS}, {_UPPER})",  # noqa: S608 - names of columns
)


@FACE_MIGRATIONS()
def create(db: Database) -> None:
    """Create the tables of faces with their consent, and of events that are not yet in the ledger."""
    db.conn.execute(
        "CREATE TABLE face (id INTEGER PRIMARY KEY AUTOINCREMENT, pack TEXT NOT NULL, giver TEXT NOT NULL,"
        " purpose TEXT NOT NULL, given_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL, body BLOB NOT NULL)"
    )
    db.conn.execute("CREATE TABLE event (id INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT NOT NULL)")


@FACE_MIGRATIONS()
def add_upper_halves(db: Database) -> None:
    """Add the vector of the upper half and its pack; NULL for faces registered before, until they register again."""
    db.conn.execute("ALTER TABLE face ADD COLUMN upper_pack TEXT")
    db.conn.execute("ALTER TABLE face ADD COLUMN upper_body BLOB")


@dataclass(frozen=True, slots=True)
class Registered:
    """One row without the identity; `upper_pack` is None if the person is not recognised with a mask."""

    row: int
    pack: str
    consent: Consent
    upper_pack: str | None = None


@dataclass(frozen=True, slots=True)
class RegisterEvent:
    """An event `what` (registered, withdrawn, expired, damaged), without the row that it concerns."""

    number: int
    what: str


@dataclass(frozen=True, slots=True, eq=False)
class FaceEntry:
    """A face to register: the vectors, and the packs that computed them."""

    person_key: str = field(repr=False)
    vectors: FaceVectors
    pack: str
    upper_pack: str | None = None

    @classmethod
    def of(cls, person_key: str, vectors: FaceVectors, embedders: FaceEmbedders) -> FaceEntry:
        """An entry with vectors computed by `embedders`."""
        return cls(person_key, vectors, embedders.whole.name, None if embedders.upper is None else embedders.upper.name)


@dataclass(frozen=True, slots=True, eq=False)
class _Face:
    row: int
    person_key: str
    vectors: FaceVectors
    upper_pack: str | None


class FaceRegister:
    """The register: at most `limit` people, one face each."""

    def __init__(self, path: Path, store: SqliteThread, cipher: Cipher, limit: int) -> None:
        self._path = path
        self._store = store
        self._cipher = cipher
        self._limit = limit

    @classmethod
    @asynccontextmanager
    async def opened(cls, path: Path, cipher: KeyedCipher | None, *, limit: int = MOST_PEOPLE) -> AsyncIterator[Self]:
        """Open the register at `path`, creating it if needed. Raises StoreFailed, WrongKey.

        A damaged file is set aside, and its people have to register again: a copy could contain a withdrawn face. Rows
        that cannot be decrypted are deleted.
        """
        async with SqliteThread.opened(path, FACE_MIGRATIONS, check=lambda db: _check(db, cipher)) as store:
            file_cipher = await store.run(lambda db: encrypt_file(db.conn, cipher, _ENCRYPT_ROWS, _row_context))
            register = cls(path, store, file_cipher, limit)
            await register._delete_unreadable()
            yield register

    async def add(self, entry: FaceEntry, consent: Consent, *, alike: float) -> int:
        """Register a face, replacing an earlier one of that person; returns the row.

        Raises FaceTaken if the cosine with another person's whole face is at least `alike`, RegisterFull; nothing is
        changed then.
        """
        return await self._store.write(lambda db: self._add(db, entry, consent, alike))

    async def rows(self) -> list[Registered]:
        """Every row, oldest first."""
        return await self._store.run(
            lambda db: [
                _registered(row)
                for row in db.conn.execute(f"SELECT {_COLUMNS}, {_UPPER} FROM face ORDER BY id")  # noqa: S608
            ]
        )

    async def remove(self, row: int) -> bool:
        """Delete a row; returns False if there is none."""
        self._drop_asides()
        return await self._delete("withdrawn", "id = ?", row) > 0

    async def remove_person(self, person_key: str) -> bool:
        """Delete the face of a person; returns False if there is none."""
        self._drop_asides()
        faces = await self._store.run(lambda db: list(self._faces(db)))
        rows = [face.row for face in faces if face.person_key == person_key]
        return any([await self.remove(row) for row in rows])

    async def expire(self, now: Moment) -> int:
        """Delete every face whose consent has expired, also in files that were set aside.

        Returns how many; a clock that is not in sync deletes none.
        """
        if not now.in_sync or now.earliest is None:
            return 0
        now_ms = _ms(now.earliest)
        for aside in aside_files(self._path):
            if _first_expiry_ms(aside) <= now_ms:
                drop_aside(aside)
        return await self._delete("expired", "until_ms <= ?", now_ms)

    async def galleries(self, pack: str, upper_pack: str | None, now: Moment) -> Galleries:
        """The faces of `pack` and their upper halves of `upper_pack`.

        The consent to the current purpose is valid at every time that it may be now.
        """
        if now.latest is None:
            return Galleries()
        condition = ("pack = ? AND purpose = ? AND until_ms > ?", pack, PURPOSE, _ms(now.latest))
        faces = await self._store.run(lambda db: list(self._faces(db, *condition)))
        whole = [(face.person_key, face.vectors.whole) for face in faces]
        upper = [
            (face.person_key, face.vectors.upper)
            for face in faces
            if face.vectors.upper is not None and face.upper_pack == upper_pack
        ]
        return Galleries(Gallery.of(whole), Gallery.of(upper))

    async def version(self) -> int:
        """A number that changes when another connection changes the register."""
        return await self._store.run(lambda db: int(db.conn.execute("PRAGMA data_version").fetchone()[0]))

    async def events(self) -> list[RegisterEvent]:
        """The events that are not yet in the ledger, oldest first."""
        return await self._store.run(
            lambda db: [
                RegisterEvent(number, what if what in _EVENTS else "damaged")
                for number, what in db.conn.execute("SELECT id, what FROM event ORDER BY id")
            ]
        )

    async def delete_event(self, event: RegisterEvent) -> None:
        """Delete an event that is in the ledger."""
        await self._store.write(lambda db: db.conn.execute("DELETE FROM event WHERE id = ?", (event.number,)))

    def _drop_asides(self) -> None:
        """Delete the files that were set aside: they may contain the face of a person who withdraws the consent."""
        for aside in aside_files(self._path):
            drop_aside(aside)

    async def _delete_unreadable(self) -> None:
        def unreadable(db: Database) -> list[int]:
            rows = {row for (row,) in db.conn.execute("SELECT id FROM face")}
            return list(rows - {face.row for face in self._faces(db)})

        for row in await self._store.run(unreadable):
            await self._delete("damaged", "id = ?", row)

    def _add(self, db: Database, entry: FaceEntry, consent: Consent, alike: float) -> int:
        # The insert comes first: it takes the write lock before the comparison.
        shown = (entry.pack, consent.giver.value, consent.purpose, _ms(consent.given), _ms(consent.until))
        new = "INSERT INTO face (pack, giver, purpose, given_ms, until_ms, body) VALUES (?, ?, ?, ?, ?, x'')"
        row = int(db.conn.execute(new, shown).lastrowid or 0)
        for face in list(self._faces(db, "id <> ?", row)):
            known, new_one = face.vectors.whole, entry.vectors.whole
            if face.person_key == entry.person_key:
                db.conn.execute("DELETE FROM face WHERE id = ?", (face.row,))
            elif len(known) == len(new_one) and float(known @ new_one) >= alike:
                raise FaceTaken(
                    "该人脸已登记在另一个证件号下，未登记。"
                    "This face is registered under another document number; nothing was changed."
                )
        [count] = db.conn.execute("SELECT count(*) FROM face").fetchone()
        if count > self._limit:
            raise RegisterFull(
                f"已登记 {self._limit} 人，已满。The register is full: {self._limit} people are registered."
            )
        self._write_vectors(db, entry, row, shown)
        db.conn.execute("INSERT INTO event (what) VALUES ('registered')")
        return row

    def _write_vectors(self, db: Database, entry: FaceEntry, row: int, shown: tuple[object, ...]) -> None:
        upper = entry.vectors.upper
        plain = bytes.fromhex(entry.person_key) + _packed(entry.vectors.whole)
        body = self._cipher.encrypt(plain, _row_context(row, *shown))
        db.conn.execute("UPDATE face SET body = ? WHERE id = ?", (body, row))
        if upper is not None and entry.upper_pack is not None:
            upper_body = self._cipher.encrypt(_packed(upper), _row_context(row, *shown, entry.upper_pack))
            db.conn.execute(
                "UPDATE face SET upper_pack = ?, upper_body = ? WHERE id = ?", (entry.upper_pack, upper_body, row)
            )

    def _faces(self, db: Database, condition: str = "1", *values: object) -> Iterator[_Face]:
        """Decrypted rows; a row that was modified outside is skipped."""
        rows = db.conn.execute(
            f"SELECT body, upper_body, {_UPPER}, {_COLUMNS} FROM face WHERE {condition} ORDER BY id",  # noqa: S608
            values,
        )
        for stored, stored_upper, upper_pack, *shown in rows:
            try:
                body = self._cipher.decrypt(stored, _row_context(*shown))
                upper = None
                if stored_upper is not None:
                    upper = _unpacked(self._cipher.decrypt(stored_upper, _row_context(*shown, upper_pack)))
            except DecryptionFailed as exc:
                log.warning("row %s of the registered faces is skipped: %s", shown[0], exc)
                continue
            vectors = FaceVectors(_unpacked(body[_KEY_BYTES:]), upper)
            yield _Face(shown[0], body[:_KEY_BYTES].hex(), vectors, upper_pack)

    async def _delete(self, what: str, condition: str, value: int) -> int:
        def delete(db: Database) -> int:
            deleted = int(db.conn.execute(f"DELETE FROM face WHERE {condition}", (value,)).rowcount)  # noqa: S608
            db.conn.executemany("INSERT INTO event (what) VALUES (?)", [(what,)] * deleted)
            return deleted

        deleted = await self._store.write(delete)
        if deleted:  # deleted bytes are overwritten in the file; this truncates the WAL, which still contains them
            await self._store.run(lambda db: db.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
        return deleted


def _check(db: Database, cipher: KeyedCipher | None) -> None:
    load_cipher(db.conn, cipher)


def _first_expiry_ms(aside: Path) -> int:
    """When the first consent in a file that was set aside expires; 0 if that cannot be read."""
    try:
        with closing(connect_read_only(aside)) as connection:
            [until_ms] = connection.execute("SELECT min(until_ms) FROM face").fetchone()
    except (sqlite3.Error, DamagedFile):
        return 0
    return until_ms if isinstance(until_ms, int) else 0


def _registered(row: tuple[int, str, str, str, int, int, str | None]) -> Registered:
    number, pack, giver, purpose, given_ms, until_ms, upper_pack = row
    return Registered(number, pack, Consent(Giver(giver), _at(given_ms), _at(until_ms), purpose), upper_pack)


def _packed(vector: NDArray[np.float32]) -> bytes:
    return vector.astype("<f4").tobytes()


def _unpacked(body: bytes) -> NDArray[np.float32]:
    return np.frombuffer(body, "<f4")


def _row_context(*shown: object) -> str:
    """The associated data of an encrypted body: row, consent and pack, so that none can be changed."""
    return "/".join(map(str, shown))


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)

"""`faces.db`: who may be known by the face. No picture and no name; person key and vector lie sealed, with the consent.

The agent and the command line open it side by side; each sees what the other changed.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from sqlite_utils import Database, Migrations

from edge_agent.faces.consent import PURPOSE, Consent, Giver
from edge_agent.faces.errors import FaceTaken, RegisterFull
from edge_agent.faces.gallery import Gallery
from sync.errors import DecryptionFailed
from sync.storage.encryption import Cipher, KeyedCipher, encrypt_file
from sync.storage.sqlite_thread import SqliteThread

log = logging.getLogger(__name__)

FILE = "faces.db"
MOST_PEOPLE = 5000
FACE_MIGRATIONS = Migrations("faces")

_KEY_BYTES = 32
_COLUMNS = "id, pack, giver, purpose, given_ms, until_ms"
_SEAL_ROWS = (f"UPDATE face SET body = encrypted(body, {_COLUMNS})",)  # noqa: S608 - names of columns


@FACE_MIGRATIONS()
def create(db: Database) -> None:
    """Faces with their consent, and what happened to the register since it was last told."""
    db.conn.execute(
        "CREATE TABLE face (id INTEGER PRIMARY KEY AUTOINCREMENT, pack TEXT NOT NULL, giver TEXT NOT NULL,"
        " purpose TEXT NOT NULL, given_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL, body BLOB NOT NULL)"
    )
    db.conn.execute("CREATE TABLE event (id INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT NOT NULL)")


@dataclass(frozen=True, slots=True)
class Registered:
    """One row as it may be shown: it tells nobody who it is."""

    row: int
    pack: str
    consent: Consent


@dataclass(frozen=True, slots=True)
class RegisterEvent:
    """`what` (registered, withdrawn, expired) happened to one row; which one is nobody's business."""

    number: int
    what: str


@dataclass(frozen=True, slots=True, eq=False)
class _Opened:
    row: int
    person_key: str
    vector: NDArray[np.float32]


class FaceRegister:
    """The register; at most `limit` people, one face each."""

    def __init__(self, store: SqliteThread, seal: Cipher, limit: int) -> None:
        self._store = store
        self._seal = seal
        self._limit = limit

    @classmethod
    @asynccontextmanager
    async def opened(cls, path: Path, sealer: KeyedCipher | None, *, limit: int = MOST_PEOPLE) -> AsyncIterator[Self]:
        """The register at `path`, made where there is none. Raises StoreFailed, WrongKey."""
        async with SqliteThread.opened(path, FACE_MIGRATIONS) as store:
            seal = await store.run(lambda db: encrypt_file(db.conn, sealer, _SEAL_ROWS, _place))
            yield cls(store, seal, limit)

    async def add(
        self, person_key: str, vector: NDArray[np.float32], pack: str, consent: Consent, *, alike: float
    ) -> int:
        """Register a face in place of what that person had; returns the row.

        Raises FaceTaken where another person's is `alike` (cosine) or more, RegisterFull; then nothing is changed.
        """
        return await self._store.write(lambda db: self._add(db, person_key, vector, pack, consent, alike))

    async def rows(self) -> list[Registered]:
        """Every row, oldest first."""
        return await self._store.run(
            lambda db: [_registered(row) for row in db.conn.execute(f"SELECT {_COLUMNS} FROM face ORDER BY id")]  # noqa: S608
        )

    async def remove(self, row: int) -> bool:
        """Forget the face of a row; False where there is none."""
        return await self._forget("withdrawn", "id = ?", row) > 0

    async def remove_person(self, person_key: str) -> bool:
        """Forget the face of a person; False where there is none."""
        faces = await self._store.run(lambda db: list(self._faces(db)))
        rows = [face.row for face in faces if face.person_key == person_key]
        return any([await self.remove(row) for row in rows])

    async def expire(self, now: datetime) -> int:
        """Forget every face whose consent is over; returns how many."""
        return await self._forget("expired", "until_ms <= ?", _ms(now))

    async def gallery(self, pack: str, now: datetime) -> Gallery:
        """The faces of `pack` whose consent holds, for what is the purpose today."""
        asked = ("pack = ? AND purpose = ? AND until_ms > ?", pack, PURPOSE, _ms(now))
        faces = await self._store.run(lambda db: list(self._faces(db, *asked)))
        vectors = np.array([face.vector for face in faces], np.float32)
        return Gallery(tuple(face.person_key for face in faces), vectors)

    async def version(self) -> int:
        """Another number once another connection changed the register."""
        return await self._store.run(lambda db: int(db.conn.execute("PRAGMA data_version").fetchone()[0]))

    async def events(self) -> list[RegisterEvent]:
        """What happened and was not told yet, oldest first."""
        return await self._store.run(
            lambda db: [RegisterEvent(*row) for row in db.conn.execute("SELECT id, what FROM event ORDER BY id")]
        )

    async def told(self, event: RegisterEvent) -> None:
        """The ledger has it: forget it."""
        await self._store.write(lambda db: db.conn.execute("DELETE FROM event WHERE id = ?", (event.number,)))

    def _add(
        self, db: Database, person_key: str, vector: NDArray[np.float32], pack: str, consent: Consent, alike: float
    ) -> int:
        # the insert comes first: from here on nobody else can write
        shown = (pack, consent.giver.value, consent.purpose, _ms(consent.given), _ms(consent.until))
        new = "INSERT INTO face (pack, giver, purpose, given_ms, until_ms, body) VALUES (?, ?, ?, ?, ?, x'')"
        row = int(db.conn.execute(new, shown).lastrowid or 0)
        for face in list(self._faces(db, "id <> ?", row)):
            if face.person_key == person_key:
                db.conn.execute("DELETE FROM face WHERE id = ?", (face.row,))
            elif len(face.vector) == len(vector) and float(face.vector @ vector) >= alike:
                raise FaceTaken(
                    "该人脸已登记在另一个证件号下，未登记。"
                    "This face is registered under another number; nothing was changed."
                )
        [held] = db.conn.execute("SELECT count(*) FROM face").fetchone()
        if held > self._limit:
            raise RegisterFull(
                f"已登记 {self._limit} 人，已满。{self._limit} people are registered; no more are taken."
            )
        body = bytes.fromhex(person_key) + vector.astype("<f4").tobytes()
        db.conn.execute("UPDATE face SET body = ? WHERE id = ?", (self._seal.encrypt(body, _place(row, *shown)), row))
        db.conn.execute("INSERT INTO event (what) VALUES ('registered')")
        return row

    def _faces(self, db: Database, condition: str = "1", *values: object) -> Iterator[_Opened]:
        """Rows as they were sealed; one that was changed is nobody's."""
        rows = db.conn.execute(f"SELECT body, {_COLUMNS} FROM face WHERE {condition} ORDER BY id", values)  # noqa: S608
        for stored, *shown in rows:
            try:
                body = self._seal.decrypt(stored, _place(*shown))
            except DecryptionFailed as exc:
                log.warning("row %s of the registered faces is passed over: %s", shown[0], exc)
                continue
            yield _Opened(shown[0], body[:_KEY_BYTES].hex(), np.frombuffer(body[_KEY_BYTES:], "<f4"))

    async def _forget(self, what: str, condition: str, value: int) -> int:
        def forget(db: Database) -> int:
            gone = int(db.conn.execute(f"DELETE FROM face WHERE {condition}", (value,)).rowcount)  # noqa: S608
            db.conn.executemany("INSERT INTO event (what) VALUES (?)", [(what,)] * gone)
            return gone

        gone = await self._store.write(forget)
        if gone:  # deleted bytes are overwritten in the file; this empties the log that still holds them
            await self._store.run(lambda db: db.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
        return gone


def _registered(row: tuple[int, str, str, str, int, int]) -> Registered:
    number, pack, giver, purpose, given_ms, until_ms = row
    return Registered(number, pack, Consent(Giver(giver), _at(given_ms), _at(until_ms), purpose))


def _place(*shown: object) -> str:
    """What a body is sealed to: its row and every word of the consent, so that neither can be changed."""
    return "/".join(map(str, shown))


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)

"""`directory.db`: rows of the replica, and its position in the stream of operations."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import msgspec
from sqlite_utils import Database, Migrations

from sync.contract.checksum import EMPTY, checksum_of, update_checksum
from sync.contract.messages import DirectoryCheckpoint, DirectoryOp, DirectoryPage
from sync.contract.orders import Revocation
from sync.contract.records import Clock
from sync.errors import DamagedFile, DecryptionFailed
from sync.storage.encryption import Cipher, KeyedCipher, encrypt_file, load_cipher

DIRECTORY_MIGRATIONS = Migrations("directory")
_REPLACED_LIMIT = 32
# A platform that begins a generation sends no further checkpoint of the one before, but one may be on its way.
_FOREIGN_CHECKPOINTS = 2
NULL = b"null"
_POSITION = "position"  # the place of its encrypted body; a person key is longer
_ENCRYPT_ROWS = (
    "UPDATE status SET body = encrypted(body, person_key)",
    "UPDATE staged SET body = encrypted(body, person_key)",
    "UPDATE ahead SET body = encrypted(body, person_key, generation, op)",
    f"UPDATE position SET body = encrypted(body, '{_POSITION}')",  # noqa: S608 - a constant
)


class Position(msgspec.Struct, frozen=True):
    """The replica contains all operations of `generation` up to `cursor`, with this checksum."""

    generation: str = ""
    cursor: int = 0
    checksum: str = EMPTY
    rows: int = 0
    confirmed: Clock | None = None  # when the last checkpoint matched; None: never, or by an older agent
    replaced: tuple[str, ...] = ()  # earlier generations, the newest last


@dataclass(frozen=True, slots=True)
class Staged:
    """Operations stored until their checkpoint: of `generation`, after `after` (0: a full copy) up to `upto`."""

    generation: str
    after: int
    upto: int


class CheckpointMismatch(Exception):
    """The staged operations do not result in the checkpoint; none of them were applied."""


@DIRECTORY_MIGRATIONS()
def create(db: Database) -> None:
    """Statuses by person key, staged operations, and the position."""
    db.conn.execute("CREATE TABLE status (person_key TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID")
    db.conn.execute("CREATE TABLE staged (op INTEGER PRIMARY KEY, person_key TEXT NOT NULL, body BLOB)")
    db.conn.execute("CREATE TABLE position (body BLOB NOT NULL)")
    db.conn.execute("INSERT INTO position VALUES (?)", (msgspec.json.encode(Position()),))


@DIRECTORY_MIGRATIONS()
def revocations(db: Database) -> None:
    """Operations that arrived before their page."""
    db.conn.execute(
        "CREATE TABLE ahead (person_key TEXT PRIMARY KEY, generation TEXT NOT NULL, op INTEGER NOT NULL, body BLOB)"
        " WITHOUT ROWID"
    )


@dataclass(frozen=True, slots=True)
class StatusCipher:
    """Encrypts and decrypts statuses, each bound to its person and to `more` values of its row. None stays None.

    The form is the same in the tables `status` and `staged`.
    """

    cipher: Cipher

    @classmethod
    def for_writing(cls, db: Database, cipher: KeyedCipher | None) -> StatusCipher:
        """The cipher of a replica that is written; encrypts a plaintext replica first. Raises WrongKey."""
        return cls(encrypt_file(db.conn, cipher, _ENCRYPT_ROWS, _place))

    def encrypt(self, person_key: str, body: bytes | None, *more: object) -> bytes | None:
        """The stored form of `body`."""
        return None if body is None else self.cipher.encrypt(body, _place(person_key, *more))

    def decrypt(self, person_key: str, stored: bytes | None, *more: object) -> bytes | None:
        """The plaintext of a stored body. Raises DecryptionFailed."""
        return None if stored is None else self.cipher.decrypt(stored, _place(person_key, *more))


def _place(person_key: str, *more: object) -> str:
    return "/".join(("status", person_key, *map(str, more)))


def check_replica(db: Database, cipher: KeyedCipher | None) -> None:
    """Raise DamagedFile, or another exception, if a row cannot be read or the statuses are not those of the position.

    It reads every status: about a second for 150,000.
    """
    status_cipher = StatusCipher(load_cipher(db.conn, cipher))
    try:
        position = read_position(db, status_cipher)
        read_pending(db, status_cipher)
        bodies = [
            status_cipher.decrypt(key, stored) for key, stored in db.conn.execute("SELECT person_key, body FROM status")
        ]
    except DecryptionFailed as exc:
        raise DamagedFile(str(exc)) from exc
    if (checksum_of(bodies), len(bodies)) != (position.checksum, position.rows):
        raise DamagedFile("the statuses are not those of the last checkpoint")


@dataclass(frozen=True, slots=True)
class PendingRevocation:
    """The status of one person (None: deleted) after an operation whose page has not arrived yet."""

    generation: str
    op: int
    body: bytes | None = field(repr=False)
    checkpoints: int = 0  # of other generations since it arrived, or since the start

    def is_covered(self, old: Position, new: Position) -> bool:
        """Whether `new`, the successor of `old`, contains the operation or shows that its generation does not come."""
        if self.generation == new.generation:
            return self.op <= new.cursor
        if not new.generation:
            return False
        limit = 1 if self.generation in new.replaced else _FOREIGN_CHECKPOINTS
        return old.generation != new.generation or self.checkpoints >= limit

    def after_checkpoint(self, position: Position) -> PendingRevocation:
        """The same after a checkpoint of `position`."""
        return self if self.generation == position.generation else replace(self, checkpoints=self.checkpoints + 1)


def read_pending(db: Database, cipher: StatusCipher) -> dict[str, PendingRevocation]:
    """All pending revocations by person key. Raises DecryptionFailed."""
    found = db.conn.execute("SELECT person_key, generation, op, body FROM ahead")
    return {
        key: PendingRevocation(generation, op, _pending_body(cipher, key, generation, op, body))
        for key, generation, op, body in found
    }


def _pending_body(cipher: StatusCipher, key: str, generation: str, op: int, stored: bytes | None) -> bytes | None:
    try:
        return cipher.decrypt(key, stored, generation, op)
    except DecryptionFailed:  # from before 0.2, when generation and number were not covered
        return cipher.decrypt(key, stored)


def write_pending(db: Database, cipher: StatusCipher, pending: dict[str, PendingRevocation]) -> None:
    """Replace all pending revocations."""
    db.conn.execute("DELETE FROM ahead")
    db.conn.executemany(
        "INSERT INTO ahead VALUES (?, ?, ?, ?)",
        [
            (key, each.generation, each.op, cipher.encrypt(key, each.body, each.generation, each.op))
            for key, each in pending.items()
        ],
    )


def new_revocations(
    position: Position, known: dict[str, PendingRevocation], revocation: Revocation
) -> dict[str, PendingRevocation]:
    """The operations of `revocation` that are newer than `known` and not in the replica, the newest of each person."""
    new: dict[str, PendingRevocation] = {}
    for op in revocation.ops:
        pending = PendingRevocation(revocation.generation, op.op, _body(op))
        old = new.get(op.person_key) or known.get(op.person_key)
        newer = old is None or old.generation != pending.generation or old.op < pending.op
        if newer and not pending.is_covered(position, position):
            new[op.person_key] = pending
    return new


def _body(op: DirectoryOp) -> bytes | None:
    return None if bytes(op.status) == NULL else bytes(op.status)


def read_position(db: Database, cipher: StatusCipher) -> Position:
    """The stored position. Raises DecryptionFailed, msgspec.DecodeError."""
    [body] = db.conn.execute("SELECT body FROM position").fetchone()
    if not body.startswith(b"{"):  # from before 0.2, when it was not encrypted
        body = cipher.decrypt(_POSITION, body)
    return msgspec.json.decode(body, type=Position)


def write_position(db: Database, cipher: StatusCipher, position: Position) -> Position:
    """Store `position` and return it. It is encrypted so that a damaged one cannot make the replica appear newer."""
    db.conn.execute("UPDATE position SET body = ?", (cipher.encrypt(_POSITION, msgspec.json.encode(position)),))
    return position


def read_status(db: Database, cipher: StatusCipher, person_key: str) -> bytes | None:
    """JSON of the status of one person, None if there is none. Raises DecryptionFailed."""
    found = db.conn.execute("SELECT body FROM status WHERE person_key = ?", (person_key,)).fetchone()
    return cipher.decrypt(person_key, found[0]) if found else None


def without_generation(generations: tuple[str, ...], current: str) -> tuple[str, ...]:
    """The newest 32 of the replaced `generations`, without the `current` one."""
    distinct = dict.fromkeys(each for each in generations if each and each != current)
    return tuple(distinct)[-_REPLACED_LIMIT:]


def stage(db: Database, cipher: StatusCipher, page: DirectoryPage, staged: Staged | None) -> Staged:
    """Store the operations of `page`, which starts a run (`staged` None) or continues it."""
    if staged is None:
        db.conn.execute("DELETE FROM staged")
    db.conn.executemany(
        "INSERT INTO staged VALUES (?, ?, ?)",
        [(op.op, op.person_key, cipher.encrypt(op.person_key, _body(op))) for op in page.ops],
    )
    upto = page.ops[-1].op if page.ops else page.after
    return Staged(page.generation, page.after if staged is None else staged.after, upto)


def apply_staged(
    db: Database, cipher: StatusCipher, staged: Staged, checkpoint: DirectoryCheckpoint, now: Clock
) -> Position:
    """Apply the staged operations in the caller's transaction. Raises CheckpointMismatch, DecryptionFailed."""
    old = read_position(db, cipher)
    if staged.after == 0:
        db.conn.execute("DELETE FROM status")
    checksum, rows = (EMPTY, 0) if staged.after == 0 else (old.checksum, old.rows)
    for key, stored in db.conn.execute("SELECT person_key, body FROM staged ORDER BY op"):  # up to a million
        before = read_status(db, cipher, key)
        checksum = update_checksum(checksum, before, cipher.decrypt(key, stored))
        rows += (stored is not None) - (before is not None)
        if stored is None:
            db.conn.execute("DELETE FROM status WHERE person_key = ?", (key,))
        else:
            db.conn.execute("INSERT OR REPLACE INTO status VALUES (?, ?)", (key, stored))
    if (checksum, rows) != (checkpoint.checksum, checkpoint.rows):
        raise CheckpointMismatch
    db.conn.execute("DELETE FROM staged")
    replaced = without_generation((*old.replaced, old.generation), staged.generation)
    return write_position(db, cipher, Position(staged.generation, checkpoint.op, checksum, rows, now, replaced))


def delete_all(db: Database, cipher: StatusCipher) -> int:
    """Empty the replica in the caller's transaction; return the number of deleted statuses."""
    [statuses] = db.conn.execute("SELECT count(*) FROM status").fetchone()
    for table in ("status", "staged", "ahead"):
        db.conn.execute(f"DELETE FROM {table}")  # noqa: S608 - names of tables
    write_position(db, cipher, Position())
    return int(statuses)

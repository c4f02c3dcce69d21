"""The box's replica of the health statuses of its community, and look-ups in it."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import msgspec
from sqlite_utils import Database

from sync.contract.decoding import decoded
from sync.contract.health import Freshness, HealthStatus, Lookup, LookupOutcome
from sync.contract.messages import DirectoryPage, DirectoryRequest, QueryAnswer
from sync.contract.orders import Revocation
from sync.contract.records import Clock
from sync.edge.directory.replica import (
    DIRECTORY_MIGRATIONS,
    CheckpointMismatch,
    PendingRevocation,
    Position,
    Staged,
    StatusCipher,
    apply_staged,
    check_replica,
    delete_all,
    new_revocations,
    read_pending,
    read_position,
    read_status,
    stage,
    without_generation,
    write_pending,
    write_position,
)
from sync.edge.ledger.system_clock import system_clock
from sync.errors import BadMessage, DecryptionFailed, LinkError, LinkLost, NoAnswer, StoreFailed
from sync.storage.encryption import KeyedCipher
from sync.storage.set_aside import drop_older
from sync.storage.sqlite_thread import SqliteThread

log = logging.getLogger(__name__)

Ask = Callable[[str, float], Awaitable[QueryAnswer]]

_STATUS = msgspec.json.Decoder(HealthStatus)
_FRESH_S = 60.0
_AGING_S = 15 * 60.0
_STALE_S = 24 * 3600.0
_PENDING_LIMIT = 10_000
NEVER_S = 1e9  # age of a replica that was never confirmed: finite, because JSON records cannot store infinity


def since_boot_s() -> float:
    """Seconds since this machine started; unlike the monotonic clock it runs on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def freshness_from(age_s: float) -> Freshness:
    """Age class of data that were confirmed `age_s` ago."""
    for limit_s, freshness in ((_FRESH_S, Freshness.FRESH), (_AGING_S, Freshness.AGING), (_STALE_S, Freshness.STALE)):
        if age_s <= limit_s:
            return freshness
    return Freshness.EXPIRED


async def ask_without_link(_person_key: str, _budget_s: float) -> QueryAnswer:
    """Default of `Directory.ask` while there is no link. Raises LinkLost."""
    raise LinkLost("no link to the platform")


class Directory:
    """Answers look-ups from the replica, or from the platform by `ask`; applies pages of operations.

    Pages are staged and applied together as a run whose checkpoint matches, so that a look-up never sees a partial run.
    Look-ups use their own connection and never wait for the writer. A revocation is an operation that arrives before
    its page; it applies immediately, until a checkpoint contains it or shows that its generation is gone. If more than
    `pending_limit` revocations are pending, further ones are dropped and the replica counts as not confirmed.
    """

    def __init__(
        self,
        path: Path,
        writer: SqliteThread,
        reader: SqliteThread,
        cipher: StatusCipher,
        position: Position,
        pending: dict[str, PendingRevocation],
        now_s: Callable[[], float],
        clock: Callable[[], Clock],
        pending_limit: int,
    ) -> None:
        self.ask: Ask = ask_without_link
        self._path = path
        self._writer = writer
        self._reader = reader
        self._cipher = cipher
        self._now_s = now_s
        self._clock = clock
        self._position = position
        self._pending = pending
        self._pending_limit = pending_limit
        self._staged: Staged | None = None
        self._confirmed_s: float | None = None  # by `now_s`; None: not in this run

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        path: Path,
        *,
        now_s: Callable[[], float] = since_boot_s,
        clock: Callable[[], Clock] = system_clock,
        pending_limit: int = _PENDING_LIMIT,
        cipher: KeyedCipher | None = None,
        shared: ThreadPoolExecutor | None = None,
    ) -> AsyncIterator[Self]:
        """Open the replica at `path`; a damaged file is set aside and fetched again. `now_s`: seconds since boot;
        `clock` decides how old a replica from an earlier run is.

        Statuses are encrypted by `cipher` (None: plaintext, for simulations). Raises StoreFailed, and WrongKey without
        changing the file.
        """
        async with (
            SqliteThread.opened(
                path, DIRECTORY_MIGRATIONS, shared=shared, check=lambda db: check_replica(db, cipher)
            ) as writer,
            SqliteThread.reading(path, shared=shared) as reader,
        ):
            status_cipher = await writer.run(lambda db: StatusCipher.for_writing(db, cipher))
            position, pending = await writer.write(lambda db: _begin(db, status_cipher))
            yield cls(path, writer, reader, status_cipher, position, pending, now_s, clock, pending_limit)

    @property
    def cursor(self) -> int:
        """Number of the last operation in the replica."""
        return self._position.cursor

    @property
    def confirmed(self) -> Clock | None:
        """When the last checkpoint matched; None: never, or not known."""
        return self._position.confirmed

    def freshness(self) -> tuple[Freshness, float]:
        """Age class of the replica, and the most seconds that may have passed since its last confirmed checkpoint.

        NEVER_S or more: it was never confirmed, or in an earlier run and the clock cannot tell when.
        """
        _, age_s = self._age_s()
        return freshness_from(age_s), age_s

    def _age_s(self) -> tuple[float, float]:
        """The least and the most seconds since the last confirmed checkpoint."""
        if self._confirmed_s is not None:
            return (self._now_s() - self._confirmed_s,) * 2
        confirmed = self._position.confirmed
        passed = None if confirmed is None else self._clock().seconds_since(confirmed)
        return (0.0, NEVER_S) if passed is None else passed

    async def lookup(self, person_key: str, *, budget_s: float) -> Lookup:
        """Look up one person, within about `budget_s`.

        Only the platform answers NOT_FOUND; without a link the outcome is FAILED, without an answer TIMED_OUT.
        """
        freshness, age_s = self.freshness()
        try:
            body = await self._body(person_key)
            if body is not None:
                status = decoded("row of the replica", _STATUS, body)
                return Lookup(LookupOutcome.FOUND, status, freshness, age_s, "replica")
            answer = await self.ask(person_key, budget_s)
        except NoAnswer:
            return Lookup(LookupOutcome.TIMED_OUT, None, freshness, age_s, "none")
        except (LinkError, BadMessage, StoreFailed):
            return Lookup(LookupOutcome.FAILED, None, freshness, age_s, "none")
        return Lookup(answer.outcome, answer.status, Freshness.FRESH, 0.0, "platform")

    async def touch(self) -> None:
        """Return when the threads of look-ups and of updates are free."""
        await self._reader.touch()
        await self._writer.touch()

    def request(self) -> DirectoryRequest:
        """The request for the next pages."""
        return DirectoryRequest(self._position.generation, self._position.cursor, packed=True)

    async def start_again(self) -> None:
        """Request a full copy next; the current rows stay in use until it is complete."""
        await self._discard_staged(reset_cursor=True)

    async def revoke(self, revocation: Revocation) -> None:
        """Apply a revocation immediately and durably. Raises StoreFailed."""
        added = new_revocations(self._position, self._pending, revocation)
        if len(self._pending) + len(added) > self._pending_limit:
            self._confirmed_s = self._now_s() - NEVER_S
            return
        if added:
            self._add_pending(added)
            pending = dict(self._pending)
            await self._writer.write(lambda db: write_pending(db, self._cipher, pending))

    def _add_pending(self, added: Mapping[str, PendingRevocation]) -> None:
        """Make revocations visible to look-ups."""
        self._pending |= added

    async def take(self, page: DirectoryPage) -> bool:
        """Stage or apply one page; return False if it does not fit and `request()` must be sent again."""
        continues = (page.generation, page.after) == self._expected()
        if page.start_again or not (continues or page.after == 0):
            await self._discard_staged(reset_cursor=page.start_again)
            return False
        run = self._staged if continues else None
        try:
            await self._set_position(*await self._writer.write(lambda db: self._take(db, page, run)))
        except (CheckpointMismatch, DecryptionFailed):
            await self._discard_staged(reset_cursor=True)
            return False
        if page.checkpoint is not None:
            self._confirmed_s = self._now_s()
        return True

    async def forget(self, kept_s: float) -> int:
        """Empty a replica that was not confirmed for `kept_s`, and delete files set aside that are as old.

        Returns the number of deleted statuses. A replica that was never confirmed, or whose age is unknown, is kept.
        Raises StoreFailed.
        """
        drop_older(self._path, kept_s)
        least_s, most_s = self._age_s()
        if least_s < kept_s or most_s >= NEVER_S:
            return 0
        count = await self._writer.write(lambda db: delete_all(db, self._cipher))
        await self._writer.run(lambda db: db.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
        self._position, self._pending, self._staged = Position(), {}, None
        self._confirmed_s = self._now_s() - NEVER_S
        return count

    async def _body(self, person_key: str) -> bytes | None:
        if (pending := self._pending.get(person_key)) is not None:
            return pending.body
        try:
            return await self._reader.run(lambda db: read_status(db, self._cipher, person_key))
        except DecryptionFailed as exc:
            log.warning("cannot read a row of the replica, asking the platform: %s", exc)
            return None

    async def _set_position(self, position: Position, staged: Staged | None) -> None:
        """Set the new position and drop the pending revocations that it contains."""
        pending = self._pending
        if staged is None:
            pending = {key: each.after_checkpoint(position) for key, each in pending.items()}
        left = {key: each for key, each in pending.items() if not each.is_covered(self._position, position)}
        self._position, self._staged = position, staged
        self._pending, before = left, len(pending)
        if len(left) < before:
            await self._writer.write(lambda db: write_pending(db, self._cipher, left))

    def _expected(self) -> tuple[str, int]:
        if self._staged is not None:
            return self._staged.generation, self._staged.upto
        return self._position.generation, self._position.cursor

    def _take(self, db: Database, page: DirectoryPage, run: Staged | None) -> tuple[Position, Staged | None]:
        staged = stage(db, self._cipher, page, run)
        if page.checkpoint is None:
            return self._position, staged
        return apply_staged(db, self._cipher, staged, page.checkpoint, self._clock()), None

    async def _discard_staged(self, *, reset_cursor: bool) -> None:
        """Discard staged operations; `reset_cursor`: also request a full copy, while the rows stay in use."""
        self._staged = None
        if reset_cursor:
            replaced = without_generation((*self._position.replaced, self._position.generation), "")
            start = msgspec.structs.replace(self._position, generation="", cursor=0, replaced=replaced)
            self._position = await self._writer.write(lambda db: write_position(db, self._cipher, start))


def _begin(db: Database, cipher: StatusCipher) -> tuple[Position, dict[str, PendingRevocation]]:
    """The position and the pending revocations. If one cannot be decrypted the replica is fetched again."""
    try:
        position, pending = read_position(db, cipher), read_pending(db, cipher)
    except DecryptionFailed as exc:
        log.warning("fetching the replica again: %s", exc)
        position, pending = Position(), {}
    write_pending(db, cipher, pending)
    return write_position(db, cipher, position), pending

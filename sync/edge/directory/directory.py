"""The box's replica of the health statuses of its community."""

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

from sync.contract.health import Freshness, HealthStatus, Lookup, LookupOutcome
from sync.contract.messages import DirectoryPage, DirectoryRequest, QueryAnswer
from sync.contract.orders import Revocation
from sync.edge.directory.replica import (
    DIRECTORY_MIGRATIONS,
    Mismatch,
    PendingRevocation,
    Position,
    Staged,
    StatusCipher,
    forget_all,
    pending_revocation,
    read_ahead,
    read_position,
    read_status,
    settle,
    stage,
    write_ahead,
    write_position,
)
from sync.errors import BadMessage, DecryptionFailed, LinkError, LinkLost, NoAnswer, StoreFailed
from sync.storage.encryption import KeyedCipher
from sync.storage.sqlite_thread import SqliteThread, aside_files, drop_aside, is_older

log = logging.getLogger(__name__)

Ask = Callable[[str, float], Awaitable[QueryAnswer]]

_FRESH_S = 60.0
_AGING_S = 15 * 60.0
_STALE_S = 24 * 3600.0
_AHEAD_LIMIT = 10_000
NEVER_S = 1e9  # age of what was never confirmed: finite, because it goes into records, and JSON has no infinity


def freshness_from(age_s: float) -> Freshness:
    """Class of knowledge that was confirmed `age_s` ago."""
    for limit_s, freshness in ((_FRESH_S, Freshness.FRESH), (_AGING_S, Freshness.AGING), (_STALE_S, Freshness.STALE)):
        if age_s <= limit_s:
            return freshness
    return Freshness.EXPIRED


async def ask_nobody(_person_key: str, _budget_s: float) -> QueryAnswer:
    """Stands in for the platform while there is no link."""
    raise LinkLost("no link to the platform")


class Directory:
    """Answers look-ups from the replica, else from the platform through `ask`; takes pages of operations.

    Pages are staged, and applied only as a whole run whose checkpoint matches: a look-up sees the directory before
    it or after it. Look-ups read through a connection of their own and never wait for the writer.
    A revocation is an operation that came ahead of its page; it counts at once, until a checkpoint holds it. When more
    than `ahead_limit` of them wait, no more are taken and the replica is no longer confirmed.
    """

    def __init__(
        self,
        path: Path,
        writer: SqliteThread,
        reader: SqliteThread,
        cipher: StatusCipher,
        position: Position,
        ahead: dict[str, PendingRevocation],
        now_s: Callable[[], float],
        ahead_limit: int,
    ) -> None:
        self.ask: Ask = ask_nobody
        self._path = path
        self._writer = writer
        self._reader = reader
        self._cipher = cipher
        self._now_s = now_s
        self._position = position
        self._ahead = ahead
        self._ahead_limit = ahead_limit
        self._staged: Staged | None = None
        self._confirmed_s = now_s() - _age_at_start_s(position)

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        path: Path,
        *,
        now_s: Callable[[], float] = time.monotonic,
        ahead_limit: int = _AHEAD_LIMIT,
        cipher: KeyedCipher | None = None,
        shared: ThreadPoolExecutor | None = None,
    ) -> AsyncIterator[Self]:
        """The replica at `path`; a damaged one is set aside and fetched anew. `now_s` is the monotonic clock.

        Statuses are sealed by `cipher` (None: written as they are, for people who are not real). Raises StoreFailed, of
        which WrongKey leaves the file as it is.
        """
        async with (
            SqliteThread.opened(path, DIRECTORY_MIGRATIONS, shared=shared) as writer,
            SqliteThread.reading(path, shared=shared) as reader,
        ):
            status_cipher = await writer.run(lambda db: StatusCipher.for_writing(db, cipher))
            position, ahead = await writer.write(lambda db: _begin(db, status_cipher))
            yield cls(path, writer, reader, status_cipher, position, ahead, now_s, ahead_limit)

    @property
    def cursor(self) -> int:
        """Last operation that the replica holds."""
        return self._position.cursor

    def freshness(self) -> tuple[Freshness, float]:
        """Age class of the replica and seconds since its last confirmed checkpoint (NEVER_S or more: never)."""
        age_s = self._now_s() - self._confirmed_s
        return freshness_from(age_s), age_s

    async def lookup(self, person_key: str, *, budget_s: float) -> Lookup:
        """What is known of one person, within about `budget_s`.

        NOT_FOUND is said by the platform alone; without a link the outcome is FAILED, without an answer TIMED_OUT.
        """
        freshness, age_s = self.freshness()
        try:
            body = await self._body(person_key)
            if body is not None:
                status = msgspec.json.decode(body, type=HealthStatus)
                return Lookup(LookupOutcome.FOUND, status, freshness, age_s, "replica")
            answer = await self.ask(person_key, budget_s)
        except NoAnswer:
            return Lookup(LookupOutcome.TIMED_OUT, None, freshness, age_s, "none")
        except (LinkError, BadMessage, StoreFailed, msgspec.DecodeError):
            return Lookup(LookupOutcome.FAILED, None, freshness, age_s, "none")
        return Lookup(answer.outcome, answer.status, Freshness.FRESH, 0.0, "platform")

    async def touch(self) -> None:
        """Return as soon as both threads are free, the one that looks people up and the one that takes pages."""
        await self._reader.touch()
        await self._writer.touch()

    def request(self) -> DirectoryRequest:
        """What to ask the platform for now."""
        return DirectoryRequest(self._position.generation, self._position.cursor, packed=True)

    async def start_again(self) -> None:
        """Ask for a whole copy at the next opportunity; the rows stay in use until it is complete."""
        await self._forget(whole=True)

    async def revoke(self, revocation: Revocation) -> None:
        """Let what came ahead of its page count from now on, and after a restart. Raises StoreFailed."""
        added = pending_revocation(self._position, self._ahead, revocation)
        if len(self._ahead) + len(added) > self._ahead_limit:
            self._confirmed_s = self._now_s() - NEVER_S
            return
        if added:
            self._let_count(added)
            ahead = dict(self._ahead)
            await self._writer.write(lambda db: write_ahead(db, self._cipher, ahead))

    def _let_count(self, added: Mapping[str, PendingRevocation]) -> None:
        """From here on look-ups see what was revoked."""
        self._ahead |= added

    async def take(self, page: DirectoryPage) -> bool:
        """Take one page; False when it leads nowhere and `request()` should be asked (again)."""
        joins = (page.generation, page.after) == self._expected()
        if page.start_again or not (joins or page.after == 0):
            await self._forget(whole=page.start_again)
            return False
        run = self._staged if joins else None
        try:
            await self._settle(*await self._writer.write(lambda db: self._take(db, page, run)))
        except (Mismatch, DecryptionFailed):
            await self._forget(whole=True)
            return False
        if page.checkpoint is not None:
            self._confirmed_s = self._now_s()
        return True

    async def forget(self, kept_s: float) -> int:
        """Empty a replica that was not confirmed for `kept_s`, and files set aside for as long; returns what went.

        One that was never confirmed, or whose age nobody knows, is left alone. Raises StoreFailed.
        """
        for path in aside_files(self._path):
            if is_older(path, kept_s):
                drop_aside(path)
        if not kept_s <= self.freshness()[1] < NEVER_S:
            return 0
        gone = await self._writer.write(forget_all)
        await self._writer.run(lambda db: db.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
        self._position, self._ahead, self._staged = Position(), {}, None
        self._confirmed_s = self._now_s() - NEVER_S
        return gone

    async def _body(self, person_key: str) -> bytes | None:
        if (ahead := self._ahead.get(person_key)) is not None:
            return ahead.body
        try:
            return await self._reader.run(lambda db: read_status(db, self._cipher, person_key))
        except DecryptionFailed as exc:
            log.warning("the platform is asked for a row of the replica: %s", exc)
            return None

    async def _settle(self, position: Position, staged: Staged | None) -> None:
        """Stand where the page led; what it holds is ahead no longer."""
        left = {key: each for key, each in self._ahead.items() if not each.is_covered(self._position, position)}
        self._position, self._staged = position, staged
        if len(left) < len(self._ahead):
            self._ahead = left
            await self._writer.write(lambda db: write_ahead(db, self._cipher, left))

    def _expected(self) -> tuple[str, int]:
        if self._staged is not None:
            return self._staged.generation, self._staged.upto
        return self._position.generation, self._position.cursor

    def _take(self, db: Database, page: DirectoryPage, run: Staged | None) -> tuple[Position, Staged | None]:
        staged = stage(db, self._cipher, page, run)
        if page.checkpoint is None:
            return self._position, staged
        return settle(db, self._cipher, staged, page.checkpoint), None

    async def _forget(self, *, whole: bool) -> None:
        """Drop what is staged, and with `whole` the cursor too: the rows stay in use until a new copy is complete."""
        self._staged = None
        if whole:
            lost = msgspec.structs.replace(self._position, generation="", cursor=0)
            self._position = await self._writer.write(lambda db: write_position(db, lost))


def _begin(db: Database, cipher: StatusCipher) -> tuple[Position, dict[str, PendingRevocation]]:
    """Where the replica stands, and what came ahead: a revocation that cannot be read makes it one to fetch anew."""
    try:
        return read_position(db), read_ahead(db, cipher)
    except DecryptionFailed as exc:
        log.warning("the replica is fetched anew: %s", exc)
        write_ahead(db, cipher, {})
        return write_position(db, Position()), {}


def _age_at_start_s(position: Position) -> float:
    """Age by the wall clock, the only one that outlives a restart; a clock set back makes it unknown."""
    if position.confirmed_ms == 0:
        return NEVER_S
    age_s = time.time() - position.confirmed_ms / 1000
    return age_s if age_s >= 0 else NEVER_S

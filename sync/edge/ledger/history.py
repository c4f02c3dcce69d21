"""Reads past records of a ledger through a read-only connection, concurrently with its writer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlite_utils import Database

from sync.contract.records import PassageDecided
from sync.edge.ledger import outbox
from sync.edge.ledger.schema import Row, RowCipher, rows, wall_ms
from sync.errors import BadMessage, DecryptionFailed, StoreFailed
from sync.storage.encryption import KeyedCipher
from sync.storage.sqlite_thread import SqliteThread

_CHUNK = 1_000
_DECIDED = (
    "SELECT (SELECT epoch FROM ledger), seq, kind, body, appended_ms, chain FROM record"
    " WHERE kind = ? AND appended_ms >= ? AND seq > ? ORDER BY seq LIMIT ?"
)


@dataclass(frozen=True, slots=True)
class OutboxSummary:
    """The unacknowledged records of a ledger."""

    count: int  # without the parked ones
    parked: int  # rejected permanently
    oldest_age_s: float  # by the wall clock; 0 if none are pending
    used_bytes: int


async def read_outbox(path: Path) -> OutboxSummary:
    """Count the records in the ledger at `path` that are not acknowledged. Raises StoreFailed."""
    async with SqliteThread.reading(path) as ledger:
        found = await ledger.run(outbox.count)
    oldest_age_s = max(0.0, (wall_ms() - found.oldest_ms) / 1000) if found.own else 0.0
    return OutboxSummary(found.own + found.earlier, found.parked, oldest_age_s, found.used_bytes)


async def decided_since(
    path: Path, since: datetime, box: str, cipher: KeyedCipher | None = None
) -> AsyncIterator[PassageDecided]:
    """The passages decided since `since` that are still in the ledger of `box` at `path`, oldest first.

    Raises StoreFailed, and WrongKey if `cipher` has another key.
    """
    since_ms, after = int(since.timestamp() * 1000), 0
    async with SqliteThread.reading(path) as ledger:
        row_cipher = await ledger.run(lambda db: RowCipher.for_reading(db.conn, box, cipher))
        while found := await ledger.run(lambda db, after=after: _decided(db, since_ms, after)):  # type: ignore[misc]
            for row in found:
                after = row.seq
                try:
                    record = row_cipher.decrypt(row).record()
                except (BadMessage, DecryptionFailed) as exc:
                    raise StoreFailed(f"{path}: record {row.seq}: {exc}") from exc
                if isinstance(record, PassageDecided):
                    yield record


def _decided(db: Database, since_ms: int, after: int) -> list[Row]:
    return rows(db, _DECIDED, PassageDecided.TYPE, since_ms, after, _CHUNK)

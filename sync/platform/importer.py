"""Reads a community's directory from a file: document numbers become person keys here and go no further."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

import msgspec

from sync.contract.health import Colour, HealthStatus, TestResult
from sync.contract.identity import person_key
from sync.platform.source import DirectorySource

_CHUNK = 1_000


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    number: str
    colour: Colour
    as_of: datetime
    sampled_at: datetime | None = None
    reported_at: datetime | None = None
    result: TestResult = TestResult.NONE
    lists: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.number.strip():
            raise ValueError("number must not be empty")
        if any(time is not None and time.tzinfo is None for time in (self.as_of, self.sampled_at, self.reported_at)):
            raise ValueError("times must name their offset")

    def __repr__(self) -> str:
        return "_Line(...)"


@dataclass(frozen=True, slots=True)
class ImportReport:
    """How an import went: lines read, persons changed, and the lines refused with the reason, never their content."""

    read: int
    changed: int
    refused: tuple[tuple[int, str], ...]


async def import_jsonl(source: DirectorySource, path: Path, community_key: bytes) -> ImportReport:
    """Put every line of `path` into `source`, 1,000 in a transaction. Raises OSError when it cannot be read."""
    read, changed = 0, 0
    refused: list[tuple[int, str]] = []
    with path.open("rb") as lines:
        numbered = enumerate(lines, start=1)
        while chunk := list(islice(numbered, _CHUNK)):
            read += len(chunk)
            changed += await source.put(list(_statuses(chunk, community_key, refused)))
    return ImportReport(read, changed, tuple(refused))


def read_community_key(path: Path) -> bytes:
    """The community key in `path`: hex digits, at least 16 bytes. Raises OSError, ValueError."""
    return bytes.fromhex(path.read_text(encoding="ascii").strip())


def _statuses(
    chunk: list[tuple[int, bytes]], community_key: bytes, refused: list[tuple[int, str]]
) -> Iterator[HealthStatus]:
    for number, text in chunk:
        if not text.strip():
            continue
        try:
            line = msgspec.json.decode(text, type=_Line)
        except msgspec.DecodeError as exc:
            refused.append((number, str(exc)))
            continue
        yield HealthStatus(
            person_key=person_key(community_key, line.number),
            colour=line.colour,
            as_of=line.as_of,
            sampled_at=line.sampled_at,
            reported_at=line.reported_at,
            result=line.result,
            lists=line.lists,
        )

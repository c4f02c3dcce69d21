"""Reads a community's directory from a file: document numbers become person keys here and go no further."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from sync.contract.health import Colour, HealthStatus, TestResult
from sync.contract.identity import COMMUNITY_KEY_BYTES, normalise_number, person_key
from sync.platform.directory.store import DirectoryStore

_CHUNK = 1_000
_NUMBER = re.compile("[0-9A-Z]{6,24}")
_LIST_SEPARATOR = ";"
_NUMBER_IN_NAME = re.compile("[0-9]{6}")
_LONGEST = 65_536  # bytes of a line
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_AHEAD = timedelta(days=1)  # a status from further ahead of this clock is none; below, somebody slipped in his offset
_TIME = "a time with its offset, such as 2022-04-01T08:00:00+08:00, and not in the future"
# What each field accepts. Reasons are made of these words alone: a value may be a person's number in the wrong column.
_ACCEPTED = {
    "number": "6 to 24 letters and digits",
    "colour": f"one of {', '.join(Colour)}",
    "as_of": _TIME,
    "sampled_at": _TIME,
    "reported_at": _TIME,
    "result": f"one of {', '.join(TestResult)}",
    "lists": f"names without long numbers, in CSV with {_LIST_SEPARATOR} between them",
}
_NEEDED = ("number", "colour", "as_of")
_PLACE = re.compile(r"at `\$\.(\w+)")
_ABSENT = re.compile(r"missing required field `(\w+)`")

Progress = Callable[[int], None]


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    number: str
    colour: Colour
    as_of: datetime
    sampled_at: datetime | None = None
    reported_at: datetime | None = None
    result: TestResult = TestResult.NONE
    lists: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "_Line(...)"

    def status(self, community_key: bytes) -> HealthStatus:
        """The status of the person; raises _Refused."""
        if not _NUMBER.fullmatch(normalise_number(self.number)):
            raise _Refused(_must("number"))
        for name in ("as_of", "sampled_at", "reported_at"):
            if (time := getattr(self, name)) is not None and not _is_past(time):
                raise _Refused(_must(name))
        if any(map(_NUMBER_IN_NAME.search, self.lists)):
            raise _Refused(_must("lists"))
        return HealthStatus(
            person_key=person_key(community_key, self.number),
            colour=self.colour,
            as_of=self.as_of,
            sampled_at=self.sampled_at,
            reported_at=self.reported_at,
            result=self.result,
            lists=self.lists,
        )


def _is_past(time: datetime) -> bool:
    return time.tzinfo is not None and _EARLIEST <= time <= datetime.now(UTC) + _AHEAD


class _Refused(Exception):
    """A row that cannot be taken; says why without quoting it."""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """How an import went: rows read, persons changed, and the refused with line and reason, never their content."""

    read: int
    changed: int
    refused: tuple[tuple[int, str], ...]


async def import_file(
    source: DirectoryStore, path: Path, community_key: bytes, progress: Progress = lambda _: None
) -> ImportReport:
    """Put every row of `path`, CSV or JSON lines by its ending, into `source`, 1,000 in a transaction.

    Of several rows of one person the last one counts. `progress` is told how many bytes were read since last time.
    Raises OSError when the file cannot be read and ValueError when it is neither, is not UTF-8 or has other columns:
    then nothing of it was taken.
    """
    rows = _READERS.get(path.suffix.lower())
    if rows is None:
        raise ValueError(f"{path.name}: the ending must be one of {', '.join(_READERS)}")
    read, changed = 0, 0
    refused: list[tuple[int, str]] = []
    with path.open("rb") as file:
        _check_text(file)
        file.seek(0)
        numbered = rows(_counted(file, progress))
        while chunk := list(islice(numbered, _CHUNK)):
            read += len(chunk)
            changed += await source.put(list(_statuses(chunk, community_key, refused)))
    return ImportReport(read, changed, tuple(refused))


def read_community_key(path: Path) -> bytes:
    """The community key in `path`: hex digits, at least 16 bytes. Raises OSError, ValueError."""
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii"))
    except ValueError:
        key = b""
    if len(key) < COMMUNITY_KEY_BYTES:
        raise ValueError(f"{path} must hold {2 * COMMUNITY_KEY_BYTES} hex digits or more, as `keys init` writes them")
    return key


def person_keys(lines: Iterable[str], community_key: bytes) -> list[str]:
    """Person keys of the document numbers in `lines`; raises ValueError naming the line, never the number."""
    keys = []
    for place, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if not _NUMBER.fullmatch(normalise_number(line)):
            raise ValueError(f"line {place}: {_must('number')}")
        keys.append(person_key(community_key, line))
    return keys


Row = tuple[int, Callable[[], _Line]]


def _jsonl(lines: Iterable[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield number, partial(msgspec.json.decode, line, type=_Line)


def _csv(lines: Iterable[str]) -> Iterator[Row]:
    """A row is a line: a quote that nobody closes spoils its own row and no other."""
    numbered = enumerate(lines, start=1)
    columns = _columns(next(numbered, (1, ""))[1])
    for number, line in numbered:
        if line.strip():
            yield number, partial(_from_line, line, columns)


def _columns(header: str) -> list[str]:
    try:
        columns = _cells(header)
    except csv.Error:
        columns = []
    if not set(columns) >= set(_NEEDED):  # maybe there is no header, and the line tells of a person: it is not quoted
        raise ValueError(
            f"the first line must name the columns, with commas between them: {', '.join(_ACCEPTED)};"
            f" {', '.join(_NEEDED)} must be there"
        )
    given = [name for name in columns if name]
    if unknown := set(given) - set(_ACCEPTED):
        raise ValueError(f"unknown columns: {', '.join(sorted(unknown))}; there are {', '.join(_ACCEPTED)}")
    if len(set(given)) < len(given):
        raise ValueError("the first line names a column twice")
    return columns


_READERS: dict[str, Callable[[Iterable[str]], Iterator[Row]]] = {".csv": _csv, ".jsonl": _jsonl}


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line], strict=True), [])]


def _from_line(line: str, columns: list[str]) -> _Line:
    try:
        cells = _cells(line)
    except csv.Error as exc:
        raise _Refused("quotes that do not fit together") from exc
    if any(cells[len(columns) :]):
        raise _Refused("more cells than the header has")
    given: dict[str, Any] = {name: cell for name, cell in zip(columns, cells, strict=False) if cell}
    if "lists" in given:
        given["lists"] = [name.strip() for name in given["lists"].split(_LIST_SEPARATOR) if name.strip()]
    return msgspec.convert(given, _Line)  # strictly: else a telephone number in a column of times becomes a time


def _check_text(file: BinaryIO) -> None:
    """Raise ValueError unless all of `file` is lines of UTF-8."""
    for number, line in enumerate(iter(partial(file.readline, _LONGEST + 1), b""), start=1):
        if len(line) > _LONGEST:
            raise ValueError(f"line {number} is longer than {_LONGEST} bytes: no row of persons is")
        try:
            line.decode()
        except UnicodeDecodeError as exc:
            raise ValueError(f"line {number} is not UTF-8: save the file anew as UTF-8 (in Excel: CSV UTF-8)") from exc


def _counted(lines: Iterable[bytes], progress: Progress) -> Iterator[str]:
    for line in lines:
        progress(len(line))
        yield line.decode().removeprefix("\ufeff")


def _statuses(chunk: list[Row], community_key: bytes, refused: list[tuple[int, str]]) -> Iterator[HealthStatus]:
    for number, read in chunk:
        try:
            yield read().status(community_key)
        except _Refused as exc:
            refused.append((number, str(exc)))
        except msgspec.DecodeError as exc:
            refused.append((number, _reason(str(exc))))


def _reason(said: str) -> str:
    """Why a row was not understood, in our own words."""
    if (absent := _ABSENT.search(said)) is not None:
        return f"{absent[1]}: is missing"
    if (place := _PLACE.search(said)) is not None and place[1] in _ACCEPTED:
        return _must(place[1])
    return "an unknown field" if "unknown field" in said else "no JSON object with the fields of a person"


def _must(name: str) -> str:
    return f"{name}: must be {_ACCEPTED[name]}"

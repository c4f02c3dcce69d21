"""Imports a directory of persons from a file; document numbers are converted to person keys and not stored."""

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
from sync.storage.text_file import NotText, decode_utf8, read_hex_key

_CHUNK = 1_000
_NUMBER = re.compile("[0-9A-Z]{6,24}")
_LIST_SEPARATOR = ";"
_NUMBER_IN_NAME = re.compile("[0-9]{6}")
_LINE_LIMIT_BYTES = 65_536
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_AHEAD = timedelta(days=1)  # a later status is rejected: its offset is wrong, or the time
_TIME = "a time with its offset, such as 2022-04-01T08:00:00+08:00, and not in the future"
# What each field accepts. A reason contains only these words: a value may be a document number in the wrong column.
_ACCEPTED = {
    "number": "6 to 24 letters and digits",
    "colour": f"one of {', '.join(Colour)}",
    "as_of": _TIME,
    "sampled_at": _TIME,
    "reported_at": _TIME,
    "result": f"one of {', '.join(TestResult)}",
    "lists": f"names without long numbers, in CSV with {_LIST_SEPARATOR} between them",
}
_REQUIRED = ("number", "colour", "as_of")
_FIELD_PATH = re.compile(r"at `\$\.(\w+)")
_MISSING_FIELD = re.compile(r"missing required field `(\w+)`")

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
        """The status of the person. Raises _RowRejected."""
        if not _NUMBER.fullmatch(normalise_number(self.number)):
            raise _RowRejected(_requirement("number"))
        for name in ("as_of", "sampled_at", "reported_at"):
            if (time := getattr(self, name)) is not None and not _is_past(time):
                raise _RowRejected(_requirement(name))
        if any(map(_NUMBER_IN_NAME.search, self.lists)):
            raise _RowRejected(_requirement("lists"))
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


class _RowRejected(Exception):
    """A row cannot be imported; the message gives the reason without quoting the row."""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """Result of an import: rows read, persons changed, line and reason of each rejected row, never its content."""

    read: int
    changed: int
    refused: tuple[tuple[int, str], ...]


async def import_file(
    directory: DirectoryStore, path: Path, community_key: bytes, progress: Progress = lambda _: None
) -> ImportReport:
    """Import every row of `path`, CSV or JSON lines by its suffix, into `directory`, 1,000 per transaction.

    Of several rows of one person the last one wins. `progress` is called with the number of bytes of each line read.
    Raises OSError if the file cannot be read, and ValueError if it has another suffix, is not UTF-8 or has unknown
    columns; nothing is imported then.
    """
    rows = _READERS.get(path.suffix.lower())
    if rows is None:
        raise ValueError(f"{path.name}: the suffix must be one of {', '.join(_READERS)}")
    read, changed = 0, 0
    refused: list[tuple[int, str]] = []
    with path.open("rb") as file:
        _check_text(file)
        file.seek(0)
        numbered = rows(_counted(file, progress))
        while chunk := list(islice(numbered, _CHUNK)):
            read += len(chunk)
            changed += await directory.put(list(_statuses(chunk, community_key, refused)))
    return ImportReport(read, changed, tuple(refused))


def read_community_key(path: Path) -> bytes:
    """The community key in `path`: hex digits, at least 16 bytes. Raises OSError, ValueError."""
    try:
        key = read_hex_key(path)
    except NotText:
        raise
    except ValueError:
        key = b""
    if len(key) < COMMUNITY_KEY_BYTES:
        raise ValueError(
            f"{path} must contain at least {2 * COMMUNITY_KEY_BYTES} hex digits, as written by `keys init`"
        )
    return key


def person_keys(lines: Iterable[str], community_key: bytes) -> list[str]:
    """Person keys of the document numbers in `lines`. Raises ValueError with the line, never the number."""
    keys = []
    for place, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if not _NUMBER.fullmatch(normalise_number(line)):
            raise ValueError(f"line {place}: {_requirement('number')}")
        keys.append(person_key(community_key, line))
    return keys


Row = tuple[int, Callable[[], _Line]]


def _jsonl(lines: Iterable[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield number, partial(msgspec.json.decode, line, type=_Line)


def _csv(lines: Iterable[str]) -> Iterator[Row]:
    """One row per line, so that an unclosed quote invalidates only its own row."""
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
    if not set(columns) >= set(_REQUIRED):  # the line is not quoted: without a header it contains personal data
        raise ValueError(
            f"the first line must name the columns, with commas between them: {', '.join(_ACCEPTED)};"
            f" {', '.join(_REQUIRED)} are required"
        )
    names = [name for name in columns if name]
    if unknown := set(names) - set(_ACCEPTED):
        raise ValueError(f"unknown columns: {', '.join(sorted(unknown))}; accepted: {', '.join(_ACCEPTED)}")
    if len(set(names)) < len(names):
        raise ValueError("the first line names a column twice")
    return columns


_READERS: dict[str, Callable[[Iterable[str]], Iterator[Row]]] = {".csv": _csv, ".jsonl": _jsonl}


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line], strict=True), [])]


def _from_line(line: str, columns: list[str]) -> _Line:
    try:
        cells = _cells(line)
    except csv.Error as exc:
        raise _RowRejected("unbalanced quotes") from exc
    if any(cells[len(columns) :]):
        raise _RowRejected("more cells than the header has")
    values: dict[str, Any] = {name: cell for name, cell in zip(columns, cells, strict=False) if cell}
    if "lists" in values:
        values["lists"] = [name.strip() for name in values["lists"].split(_LIST_SEPARATOR) if name.strip()]
    return msgspec.convert(
        values, _Line
    )  # strict: otherwise a telephone number in a time column is converted to a time


def _check_text(file: BinaryIO) -> None:
    """Raise ValueError unless every line of `file` is UTF-8 of at most _LINE_LIMIT_BYTES."""
    for number, line in enumerate(iter(partial(file.readline, _LINE_LIMIT_BYTES + 1), b""), start=1):
        if len(line) > _LINE_LIMIT_BYTES:
            raise ValueError(f"line {number} is longer than {_LINE_LIMIT_BYTES} bytes")
        try:
            decode_utf8(line)
        except NotText as exc:
            raise ValueError(f"line {number} is not UTF-8: save the file as UTF-8 (in Excel: CSV UTF-8)") from exc


def _counted(lines: Iterable[bytes], progress: Progress) -> Iterator[str]:
    for line in lines:
        progress(len(line))
        yield decode_utf8(line)


def _statuses(chunk: list[Row], community_key: bytes, refused: list[tuple[int, str]]) -> Iterator[HealthStatus]:
    for number, read in chunk:
        try:
            yield read().status(community_key)
        except _RowRejected as exc:
            refused.append((number, str(exc)))
        except msgspec.DecodeError as exc:
            refused.append((number, _reason(str(exc))))


def _reason(message: str) -> str:
    """The reason for a decoding error, without the content of the row that msgspec may quote."""
    if (absent := _MISSING_FIELD.search(message)) is not None:
        return f"{absent[1]}: missing"
    if (place := _FIELD_PATH.search(message)) is not None and place[1] in _ACCEPTED:
        return _requirement(place[1])
    return "an unknown field" if "unknown field" in message else "not a JSON object with the fields of a person"


def _requirement(name: str) -> str:
    return f"{name}: must be {_ACCEPTED[name]}"

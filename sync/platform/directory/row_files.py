"""Reads the rows of a directory file, CSV or JSON lines, one row per line."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, BinaryIO, NamedTuple

import msgspec

from sync.platform.directory.row import ACCEPTED, LIST_SEPARATOR, REQUIRED, PersonRow, RowRejected, requirement

_LINE_LIMIT_BYTES = 65_536
_LINE_END = "\r\n"
_BLANK = re.compile(r"[\s,\"]*")
_FIELD_PATH = re.compile(r"at `\$\.(\w+)")
_MISSING_FIELD = re.compile(r"missing required field `(\w+)`")
_EMPTY = {"lists": (), "result": "none", "exempt_by": ""}  # of an empty cell; of a time it is None

Progress = Callable[[int], None]


class NumberedRow(NamedTuple):
    """The row of a line; `read` None: a spreadsheet's line of empty cells. `read` raises RowRejected."""

    line: int
    read: Callable[[], PersonRow] | None


def read_rows(suffix: str, file: BinaryIO, progress: Progress) -> Iterator[NumberedRow]:
    """The rows of `file`, a CSV or JSONL file by `suffix`; `progress` is called with the bytes of each line.

    Raises ValueError, before the first row, if the file cannot be read as a whole.
    """
    reader = _READERS.get(suffix.lower())
    if reader is None:
        raise ValueError(f"the suffix must be one of {', '.join(_READERS)}")
    _check_text(file)
    file.seek(0)
    return reader(_counted(file, progress))


def _jsonl(lines: Iterable[str]) -> Iterator[NumberedRow]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield NumberedRow(number, partial(_from_json, line))


def _csv(lines: Iterable[str]) -> Iterator[NumberedRow]:
    """One row per line, so that an unclosed quote invalidates only its own row."""
    numbered = enumerate(lines, start=1)
    columns = _columns(next(numbered, (1, ""))[1])
    for number, line in numbered:
        if line.strip():
            yield NumberedRow(number, None if _BLANK.fullmatch(line) else partial(_from_line, line, columns))


def _columns(header: str) -> list[str]:
    try:
        columns = _cells(header)
    except csv.Error:
        columns = []
    if not set(columns) >= set(REQUIRED):  # the line is not quoted: without a header it contains personal data
        raise ValueError(
            f"the first line must name the columns, with commas between them: {', '.join(ACCEPTED)};"
            f" {', '.join(REQUIRED)} are required"
        )
    names = [name for name in columns if name]
    if unknown := set(names) - set(ACCEPTED):
        raise ValueError(f"unknown columns: {', '.join(sorted(unknown))}; accepted: {', '.join(ACCEPTED)}")
    if len(set(names)) < len(names):
        raise ValueError("the first line names a column twice")
    return columns


_READERS: dict[str, Callable[[Iterable[str]], Iterator[NumberedRow]]] = {".csv": _csv, ".jsonl": _jsonl}


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line], strict=True), [])]


def _from_json(line: str) -> PersonRow:
    try:
        return msgspec.json.decode(line, type=PersonRow)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise RowRejected(_reason(str(exc))) from None


def _from_line(line: str, columns: list[str]) -> PersonRow:
    if "\r" in line.rstrip(_LINE_END):
        raise RowRejected("a line end without LF inside the line: several rows in one")
    try:
        cells = _cells(line)
    except csv.Error as exc:
        raise RowRejected("unbalanced quotes") from exc
    if any(cells[len(columns) :]):
        raise RowRejected("more cells than the header has")
    named = {name: cell for name, cell in zip(columns, cells, strict=False) if name}
    values: dict[str, Any] = {name: cell or _EMPTY.get(name) for name, cell in named.items()}
    for name in REQUIRED:
        if not values.get(name):
            raise RowRejected(f"{name}: missing")
    if values.get("lists"):
        values["lists"] = [name.strip() for name in values["lists"].split(LIST_SEPARATOR) if name.strip()]
    try:  # strict: otherwise a telephone number in a time column is converted to a time
        return msgspec.convert(values, PersonRow)
    except msgspec.ValidationError as exc:
        raise RowRejected(_reason(str(exc))) from None


def _check_text(file: BinaryIO) -> None:
    """Raise ValueError unless every line of `file` is UTF-8 of at most _LINE_LIMIT_BYTES and the first ends in LF."""
    if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        raise ValueError("line 1 is not UTF-8: save the file as UTF-8 (in Excel: CSV UTF-8)")
    file.seek(0)
    for number, line in enumerate(iter(partial(file.readline, _LINE_LIMIT_BYTES + 1), b""), start=1):
        if number == 1 and b"\r" in line.rstrip(_LINE_END.encode()):
            raise ValueError(
                "the lines end in CR alone, so the first line contains all of them: save the file with the line ends"
                " of Windows (CR LF) or Unix (LF); in CSV the first line must name the columns and nothing else"
            )
        if len(line) > _LINE_LIMIT_BYTES:
            raise ValueError(f"line {number} is longer than {_LINE_LIMIT_BYTES} bytes")
        try:
            line.decode()
        except UnicodeDecodeError as exc:
            raise ValueError(f"line {number} is not UTF-8: save the file as UTF-8 (in Excel: CSV UTF-8)") from exc


def _counted(lines: Iterable[bytes], progress: Progress) -> Iterator[str]:
    for line in lines:
        progress(len(line))
        yield line.decode().removeprefix("\ufeff")


def _reason(message: str) -> str:
    """The reason for a decoding error, without the content of the row that msgspec may quote."""
    if (absent := _MISSING_FIELD.search(message)) is not None:
        return f"{absent[1]}: missing"
    if (place := _FIELD_PATH.search(message)) is not None and place[1] in ACCEPTED:
        return requirement(place[1])
    return "an unknown field" if "unknown field" in message else "not a JSON object with the fields of a person"

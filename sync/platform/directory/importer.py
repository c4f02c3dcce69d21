"""Imports a directory of persons from a file; document numbers are converted to person keys and not stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path

from sync.contract.health import Colour, HealthStatus, TestResult
from sync.contract.identity import COMMUNITY_KEY_BYTES, ZEROED, checked_number, is_zeroed, person_key
from sync.contract.lists import ListClass, class_of_list
from sync.id_number import InvalidNumber
from sync.platform.directory.row import PersonRow, RowRejected
from sync.platform.directory.row_files import NumberedRow, Progress, read_rows
from sync.platform.directory.store import DirectoryStore, PutResult, Update
from sync.storage.text_file import NotText, read_hex_key

_CHUNK = 1_000
_CHECK_NUMBER = f"{ZEROED}; the check digit is right by chance or in truth: compare the number with the document"
_COLOURS = (Colour.GREEN, Colour.GREY, Colour.YELLOW, Colour.RED)  # in ascending gravity
_RESULTS = (TestResult.NEGATIVE, TestResult.NONE, TestResult.PENDING, TestResult.POSITIVE)

LineText = tuple[int, str]


@dataclass(frozen=True, slots=True)
class ImportReport:
    """Result of an import: counts, and line and text of each rejected row and warning, never the content of a row.

    `older` rows have an earlier `as_of` than the directory, which kept its status. `repeated` rows are further rows of
    a person. `blank` rows have only empty cells.
    """

    read: int
    changed: int
    refused: tuple[LineText, ...]
    older: int = 0
    repeated: int = 0
    blank: int = 0
    warnings: tuple[LineText, ...] = ()


async def import_file(
    directory: DirectoryStore, path: Path, community_key: bytes, progress: Progress = lambda _: None
) -> ImportReport:
    """Import every row of `path`, CSV or JSON lines by its suffix, into `directory`, 1,000 per transaction.

    Of several rows of one person the newest by `as_of` counts, of equally new ones the graver, then the last.
    `progress` is called with the number of bytes of each line read. Raises OSError if the file cannot be read, and
    ValueError if it has another suffix, is not UTF-8 or has unknown columns; nothing is imported then.
    """
    import_ = _Import(community_key)
    results: list[PutResult] = []
    with path.open("rb") as file:
        try:
            numbered = read_rows(path.suffix, file, progress)
            while chunk := list(islice(numbered, _CHUNK)):
                results += await directory.update(list(import_.updates(chunk)))
        except ValueError as exc:
            raise ValueError(f"{path.name}: {exc}") from exc
    return import_.report(results)


@dataclass(frozen=True, slots=True)
class _Counted:
    """The row of a person that counts so far."""

    line: int
    status: HealthStatus

    @property
    def rank(self) -> tuple[datetime, int, int, bool, bool]:
        classes = set(map(class_of_list, self.status.lists))
        return (
            self.status.as_of,
            _COLOURS.index(self.status.colour),
            _RESULTS.index(self.status.result),
            ListClass.WATCH in classes,
            ListClass.EXEMPT not in classes,
        )


@dataclass(slots=True)
class _Import:
    """What an import has read so far."""

    community_key: bytes
    read: int = 0
    repeated: int = 0
    blank: int = 0
    refused: list[LineText] = field(default_factory=list)
    warnings: list[LineText] = field(default_factory=list)
    counted: dict[str, _Counted] = field(default_factory=dict)

    def updates(self, rows: Iterable[NumberedRow]) -> Iterator[Update]:
        """The updates of the rows that count."""
        for line, read in rows:
            if read is None:
                self.blank += 1
                continue
            self.read += 1
            try:
                row = read()
                update = row.update(self.community_key)
            except RowRejected as exc:
                self.refused.append((line, str(exc)))
                continue
            self._check_zeroes(line, row)
            if self._counts(_Counted(line, update.status)):
                yield update

    def _check_zeroes(self, line: int, row: PersonRow) -> None:
        if row.is_zeroed:
            self.warnings.append((line, _CHECK_NUMBER))

    def _counts(self, new: _Counted) -> bool:
        """Whether this row counts more than an earlier one of the same person."""
        old = self.counted.get(new.status.person_key)
        if old is None:
            self.counted[new.status.person_key] = new
            return True
        self.repeated += 1
        if old.status == new.status:
            return False
        counts = new if old.rank <= new.rank else old
        self.counted[new.status.person_key] = counts
        text = f"the same person as line {old.line}, with other data: line {counts.line} counts, as newer or graver"
        self.warnings.append((new.line, text))
        return counts is new

    def report(self, results: list[PutResult]) -> ImportReport:
        """The report, given what each update did."""
        return ImportReport(
            self.read,
            results.count(PutResult.CHANGED),
            tuple(self.refused),
            results.count(PutResult.OLDER),
            self.repeated,
            self.blank,
            tuple(self.warnings),
        )


def summary(report: ImportReport) -> str:
    """One line for operators and the log."""
    return (
        f"{report.read} rows read, {report.changed} persons changed, {len(report.refused)} rows rejected,"
        f" {report.older} older than the directory, {report.repeated} repeated, {report.blank} blank,"
        f" {len(report.warnings)} warnings"
    )


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


@dataclass(frozen=True, slots=True)
class NumberList:
    """Persons in a list of document numbers, each with its first line, and warnings by line."""

    lines: dict[str, int]
    warnings: tuple[LineText, ...]


def read_numbers(lines: Iterable[str], community_key: bytes) -> NumberList:
    """The persons of the document numbers in `lines`; blank lines are skipped, a person who is there twice is one.

    Raises ValueError with every invalid line, never the number: an order is carried out for all of them or not at all.
    """
    found: dict[str, int] = {}
    warnings: list[LineText] = []
    invalid: list[str] = []
    for place, line in enumerate(lines, start=1):
        text = line.removeprefix("\ufeff")
        if not text.strip():
            continue
        try:
            number = checked_number(text)
        except InvalidNumber as exc:
            invalid.append(f"line {place}: {exc}")
            continue
        if is_zeroed(number):
            warnings.append((place, _CHECK_NUMBER))
        first = found.setdefault(person_key(community_key, number), place)
        if first != place:
            warnings.append((place, f"the same person as line {first}"))
    if invalid:
        raise ValueError("not document numbers, nothing was done\n" + "\n".join(invalid))
    return NumberList(found, tuple(warnings))


def person_keys(lines: Iterable[str], community_key: bytes) -> list[str]:
    """Person keys of the document numbers in `lines`. Raises ValueError as `read_numbers`."""
    return list(read_numbers(lines, community_key).lines)

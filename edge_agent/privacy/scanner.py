"""Searches stored bytes for ID numbers, phone numbers and faces."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from edge_agent.privacy.findings import Finding, PersonalDataKind, PersonalDataMatch
from edge_agent.privacy.number_search import CONTEXT_BYTES, LONGEST_BYTES, id_or_phone, numbers_in
from edge_agent.privacy.packed_streams import packed_places, unpack
from edge_agent.privacy.picture_search import MOST_BYTES, FaceFinder, faces_in
from edge_agent.privacy.sqlite_integers import stored_integers
from edge_agent.privacy.stored_files import UNFOLLOWED, Source

_STEP_BYTES = 8 << 20
_AHEAD_BYTES = max(MOST_BYTES, LONGEST_BYTES)
_DEPTH = 3  # of compressed data within compressed data


@dataclass(slots=True)
class Scanner:
    """Scans files and counts them; collects the findings, and in `unread` what could not be read."""

    files: int = 0
    size_bytes: int = 0
    findings: list[Finding] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether everything could be read and nothing was found."""
        return not self.findings and not self.unread

    def scan_file(self, path: Path, shows_face: FaceFinder, source: Source | None = None) -> None:
        """Scan the file at `path`, read from `source` where given; one that no longer exists is ignored."""
        source = path if source is None else source
        try:
            with os.fdopen(os.dup(source), "rb") if isinstance(source, int) else _opened(source) as stream:
                self.scan_stream(str(path), stream, shows_face)
        except FileNotFoundError:
            return
        except OSError as exc:
            self.unread.append(f"{path}: {exc.strerror}")

    def scan_stream(self, place: str, stream: BinaryIO, shows_face: FaceFinder) -> None:
        """Scan all bytes of `stream`; `place` names it in the findings."""
        self.files += 1
        self.size_bytes += self._scan(place, stream, shows_face, _DEPTH)

    def _scan(self, place: str, stream: BinaryIO, shows_face: FaceFinder, depth: int) -> int:
        """Scan `stream` and what is compressed in it, `depth` times at most; returns its size in bytes."""
        packed: list[int] = []
        size_bytes = 0
        for start, data, first, last in _windows(stream):
            size_bytes += last - first
            matches = [match for match in _matches(data, shows_face) if first <= match.offset < last]
            self.findings += [Finding(match.kind, place, start + match.offset) for match in matches]
            packed += [start + at for at in packed_places(data) if first <= at < last]
        for offset, number in stored_integers(stream):
            if kind := id_or_phone(number):
                self.findings.append(Finding(kind, place, offset))
        for offset in packed:
            self._scan_packed(place, stream, offset, shows_face, depth)
        return size_bytes

    def _scan_packed(self, place: str, stream: BinaryIO, offset: int, shows_face: FaceFinder, depth: int) -> None:
        unpacked = unpack(stream, offset)
        if unpacked is None:
            return
        inside = f"{place} > {unpacked.kind} @ {offset}"
        if not depth or not unpacked.complete:
            self.unread.append(f"{inside}: unpacked in part only")
        if depth:
            self._scan(inside, io.BytesIO(unpacked.data), shows_face, depth - 1)


def _opened(path: Path) -> BinaryIO:
    return open(path, "rb", opener=lambda name, _flags: os.open(name, UNFOLLOWED))


def kinds_in(data: bytes, shows_face: FaceFinder) -> set[PersonalDataKind]:
    """The kinds of personal data in `data`."""
    return {match.kind for match in _matches(data, shows_face)}


def _matches(data: bytes, shows_face: FaceFinder) -> Iterator[PersonalDataMatch]:
    yield from numbers_in(data)
    yield from faces_in(data, shows_face)


def _windows(stream: BinaryIO) -> Iterator[tuple[int, bytes, int, int]]:
    """Overlapping pieces of `stream` as (offset of the first byte, bytes, from, to): a match counts in `from`:`to`.

    Each piece also has the bytes before and after that range, so that no match is cut at a border.
    """
    start, first, data = 0, 0, b""
    while True:
        more = stream.read(first + _STEP_BYTES + _AHEAD_BYTES - len(data))
        data += more
        last = min(len(data), first + _STEP_BYTES)
        yield start, data, first, last
        if last == len(data):
            return
        overlap = max(0, last - CONTEXT_BYTES)
        start, first, data = start + overlap, last - overlap, data[overlap:]

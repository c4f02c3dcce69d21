"""Looks through every byte of what a box keeps for numbers and faces of people."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from edge_agent.privacy.numbers import CONTEXT_BYTES, LONGEST_BYTES, NumberKind, NumberMatch, numbers_in
from edge_agent.privacy.picture_text import MOST_BYTES, FaceFinder, faces_in

_STEP_BYTES = 8 << 20
_AHEAD_BYTES = max(MOST_BYTES, LONGEST_BYTES)
_SAID = {
    NumberKind.ID_NUMBER: ("身份证号码", "an ID number"),
    NumberKind.OLD_ID_NUMBER: ("旧版身份证号码", "an ID number of the old form"),
    NumberKind.PHONE_NUMBER: ("手机号码", "a mobile number"),
    NumberKind.FACE: ("人脸图像", "a picture of a face"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What lies where it must not, and its place; never the thing itself."""

    kind: NumberKind
    place: str
    offset: int

    def line(self) -> str:
        """The finding for people."""
        chinese, english = _SAID[self.kind]
        return f"✗ {self.place} 第 {self.offset} 字节：发现{chinese}。 At byte {self.offset}: {english}."

    def to_dict(self) -> dict[str, object]:
        """The finding for JSON."""
        return {"kind": self.kind.value, "place": self.place, "offset": self.offset}


@dataclass(slots=True)
class Scan:
    """What was looked at, what was found, and what could not be read."""

    files: int = 0
    size_bytes: int = 0
    findings: list[Finding] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether everything was read and nothing found."""
        return not self.findings and not self.unread

    def file(self, path: Path, shows_face: FaceFinder) -> None:
        """Look through the file at `path`; one that went meanwhile is nothing."""
        try:
            with path.open("rb") as stream:
                self.stream(str(path), stream, shows_face)
        except FileNotFoundError:
            return
        except OSError as exc:
            self.unread.append(f"{path}: {exc.strerror}")

    def stream(self, place: str, stream: BinaryIO, shows_face: FaceFinder) -> None:
        """Look through all that `stream` gives."""
        self.files += 1
        for start, data, first, last in _windows(stream):
            self.size_bytes += last - first
            hits = [hit for hit in _hits(data, shows_face) if first <= hit.offset < last]
            self.findings += [Finding(hit.kind, place, start + hit.offset) for hit in hits]

    def journal(self, unit: str, shows_face: FaceFinder) -> bool:
        """Look through what `unit` has logged; False where there is no journal of it."""
        said = journal_text(unit)
        if said:
            self.stream(f"journal: {unit}", io.BytesIO(said), shows_face)
        return bool(said)


def found_in(data: bytes, shows_face: FaceFinder) -> set[NumberKind]:
    """What kinds lie in `data`."""
    return {hit.kind for hit in _hits(data, shows_face)}


def journal_text(unit: str, lines: int | None = None) -> bytes:
    """What `unit` logged, the last `lines` of it, oldest first; nothing where there is no journal."""
    command = ["journalctl", "--unit", unit, "--no-pager", "--quiet", "--output=cat"]
    try:
        return subprocess.run(
            [*command, *([] if lines is None else [f"--lines={lines}"])], capture_output=True, check=True, timeout=60
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return b""


def files_below(folders: Iterable[Path]) -> Iterator[Path]:
    """Every regular file below `folders`, links not followed, each once."""
    seen: set[tuple[int, int]] = set()
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_symlink() or not path.is_file():
                continue
            status = path.stat()
            if (name := (status.st_dev, status.st_ino)) not in seen:
                seen.add(name)
                yield path


def _hits(data: bytes, shows_face: FaceFinder) -> Iterator[NumberMatch]:
    yield from numbers_in(data)
    yield from faces_in(data, shows_face)


def _windows(stream: BinaryIO) -> Iterator[tuple[int, bytes, int, int]]:
    """Pieces of `stream` as (place of the first byte, bytes, from, to): hits that begin in `from` to `to` count.

    Each carries what lies before and behind, so that nothing is cut at a border.
    """
    start, first, data = 0, 0, b""
    while True:
        more = stream.read(first + _STEP_BYTES + _AHEAD_BYTES - len(data))
        data += more
        last = min(len(data), first + _STEP_BYTES)
        yield start, data, first, last
        if last == len(data):
            return
        kept = max(0, last - CONTEXT_BYTES)
        start, first, data = start + kept, last - kept, data[kept:]

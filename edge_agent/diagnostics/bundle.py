"""A support bundle that may leave the box: no secret and nothing of people gets into it, and that is checked."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import re
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from config.credentials import secret_path
from config.settings import Settings
from edge_agent.privacy.numbers import NumberKind
from sync.storage.atomic_files import replace_whole

Look = Callable[[bytes], set[NumberKind]]  # what of people is in there

_USER_INFO = re.compile(r"(?<=://)[^/\s\"']+@")
_QUERY = re.compile(r"(://[^\s?\"']+)\?[^\s\"']+")
_SHORTEST_SECRET = 8
_SECRET = "secret"  # noqa: S105 - the word in the list of what was left out


class Bundle:
    """Parts by name. What holds a secret, a number or a face is left out: a line of a log, or the whole part."""

    def __init__(self, secrets: Iterable[bytes], look: Look) -> None:
        """`secrets` are values that must not get out."""
        self.left_out: dict[str, str] = {}
        self._parts: dict[str, bytes] = {}
        self._secrets = [secret for secret in secrets if len(secret) >= _SHORTEST_SECRET]
        self._look = look

    def add_json(self, name: str, value: object) -> None:
        """A part as JSON."""
        self._add(name, json.dumps(value, ensure_ascii=False, indent=1, default=str))

    def add_log(self, name: str, text: str) -> None:
        """A part of which single lines can be left out."""
        kept, lost = [], 0
        for line in text.splitlines():
            if self._why_not(redacted(line).encode()):
                lost += 1
            else:
                kept.append(line)
        if lost:
            self.left_out[f"{name}: {lost} lines"] = "personal or secret"
        self._add(name, "\n".join(kept) + "\n")

    def add_absence(self, name: str, why: str) -> None:
        """Say why a part is not there."""
        self.left_out[name] = why

    def write(self, path: Path) -> None:
        """Put everything into a .tar.gz at `path` for its owner alone, whole. Raises OSError.

        What is there and no file (a device, a pipe, a folder) stays what it is.
        """
        if path.exists() and not path.is_file():
            raise FileExistsError(errno.EEXIST, "it is there already, and no file", str(path))
        manifest = {"made": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "parts": [*self._parts], "left_out": self.left_out}
        parts = self._parts | {"manifest.json": json.dumps(manifest, ensure_ascii=False, indent=1).encode()}
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for name, data in sorted(parts.items()):
                entry = tarfile.TarInfo(f"edge-agent-bundle/{name}")
                entry.size, entry.mode, entry.mtime = len(data), 0o600, int(time.time())
                archive.addfile(entry, io.BytesIO(data))
        replace_whole(path, packed.getvalue())

    def _add(self, name: str, text: str) -> None:
        data = redacted(text).encode()
        if why := self._why_not(data):
            self.left_out[name] = why
        else:
            self._parts[name] = data

    def _why_not(self, data: bytes) -> str:
        if any(secret in data for secret in self._secrets):
            return _SECRET
        return ", ".join(sorted(kind.value for kind in self._look(data)))


def redacted(text: str) -> str:
    """`text` without what addresses carry besides the place: user, password and query."""
    return _QUERY.sub(r"\1?***", _USER_INFO.sub("***@", text))


def secrets_from(settings: Settings) -> Iterator[bytes]:
    """Every value on this box that must not get out: the lines of its key files, and passwords in addresses."""
    files = (
        settings.directory.community_key_file,
        settings.platform.key_file,
        settings.privacy.key_file,
        settings.staff.pin_hash_file,
    )
    for path in files:
        with contextlib.suppress(OSError):  # what we may not read we cannot tell
            yield from (line.strip() for line in secret_path(path).read_bytes().splitlines() if b"-----" not in line)
    for url in (settings.camera.source, settings.platform.url):
        with contextlib.suppress(ValueError):
            yield (urlsplit(url).password or "").encode()

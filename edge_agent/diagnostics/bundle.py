"""A support bundle that may leave the box: every part is checked for secrets and personal data."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from config.credentials import secret_path
from config.settings import Settings
from edge_agent.privacy.findings import PersonalDataKind
from sync.redaction import may_hold_password, redact, redact_value, secret_parts
from sync.storage.atomic_files import replace_whole

FindPersonalData = Callable[[bytes], set[PersonalDataKind]]

_SHORTEST_SECRET = 8
_SECRET = "secret"  # noqa: S105 - the reason given in the list of omitted parts


class Bundle:
    """Parts by name. A log line, or any other whole part, with a secret, a number or a face is left out."""

    def __init__(self, secrets: Iterable[bytes], find_personal_data: FindPersonalData) -> None:
        """`secrets` are values that must not get into the bundle."""
        self.left_out: dict[str, str] = {}
        self._parts: dict[str, bytes] = {}
        self._secrets = [secret for secret in secrets if len(secret) >= _SHORTEST_SECRET]
        self._find_personal_data = find_personal_data

    def add_json(self, name: str, value: object) -> None:
        """Add a part as JSON."""
        plain = json.loads(json.dumps(value, default=str))
        self._add(name, json.dumps(redact_value(plain), ensure_ascii=False, indent=1))

    def add_log(self, name: str, text: str) -> None:
        """Add a text part of which single lines can be left out."""
        lines, omitted = [], 0
        for line in text.splitlines():
            shown = redact(line)
            if self._reason_to_omit(shown.encode()):
                omitted += 1
            else:
                lines.append(shown)
        if omitted:
            self.left_out[f"{name}: {omitted} lines"] = "personal or secret"
        self._add(name, "\n".join(lines) + "\n")

    def add_absence(self, name: str, why: str) -> None:
        """Record why a part is missing."""
        self.left_out[name] = why

    def packed(self) -> bytes:
        """All parts as a .tar.gz."""
        manifest = {"made": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "parts": [*self._parts], "left_out": self.left_out}
        parts = self._parts | {"manifest.json": json.dumps(manifest, ensure_ascii=False, indent=1).encode()}
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for name, data in sorted(parts.items()):
                entry = tarfile.TarInfo(f"edge-agent-bundle/{name}")
                entry.size, entry.mode, entry.mtime = len(data), 0o600, int(time.time())
                archive.addfile(entry, io.BytesIO(data))
        return packed.getvalue()

    def _add(self, name: str, text: str) -> None:
        data = text.encode()
        if reason := self._reason_to_omit(data):
            self.left_out[name] = reason
        else:
            self._parts[name] = data

    def _reason_to_omit(self, data: bytes) -> str:
        if any(secret in data for secret in self._secrets):
            return _SECRET
        return ", ".join(sorted(kind.value for kind in self._find_personal_data(data)))


def write_bundle(path: Path, packed: bytes) -> None:
    """Write a bundle to `path`, readable by its owner only. Raises OSError.

    The file is replaced atomically; a folder, device or pipe at `path` is not replaced.
    """
    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, "exists and is not a file", str(path))
    replace_whole(path, packed)


def secrets_from(settings: Settings) -> Iterator[bytes]:
    """Every secret of this box: the lines of its key files, and what of its addresses may be a password."""
    files = (
        settings.directory.community_key_file,
        settings.platform.key_file,
        settings.privacy.key_file,
        settings.staff.pin_hash_file,
        settings.platform.key_passphrase_file,
    )
    for path in files:
        with contextlib.suppress(OSError):  # its content is unknown to this user
            yield from (line.strip() for line in secret_path(path).read_bytes().splitlines() if b"-----" not in line)
    for address in filter(may_hold_password, (settings.camera.source, settings.platform.url)):
        for part in secret_parts(address):
            yield part.encode()

"""Counts failed starts in a file in the data folder: after too many in a row the agent starts in safe mode."""

from __future__ import annotations

from pathlib import Path

import msgspec

from config.errors import SettingsError
from sync.storage.atomic_files import replace_whole

SAFE_AFTER = 10  # failed starts in a row
HEALTHY_S = 60.0  # a start that lasts this long succeeded
FILE = "starts.json"


class FailedStarts(msgspec.Struct, frozen=True):
    """Number of failed starts in a row, and what ended the last of them; free of personal data."""

    count: int = 0
    why: str = ""

    @property
    def too_many(self) -> bool:
        """Whether the next start is in safe mode."""
        return self.count >= SAFE_AFTER


class CrashCounter:
    """The counter of one box. A start counts as failed until it lasted HEALTHY_S or was asked to end."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / FILE
        self._before = FailedStarts()

    def begin(self) -> FailedStarts:
        """Count this start as failed so far; returns the failed starts before it. Raises SettingsError."""
        try:
            self._before = msgspec.json.decode(self._path.read_bytes(), type=FailedStarts)
        except (FileNotFoundError, msgspec.DecodeError):  # a damaged file restarts the count
            self._before = FailedStarts()
        except OSError as exc:
            raise SettingsError(f"{self._path}: cannot be read: {exc.strerror}") from exc
        self._save(FailedStarts(self._before.count + 1, "exited without an error message"))
        return self._before

    def failed(self, why: str) -> None:
        """Record what ended this start. Raises SettingsError."""
        self._save(FailedStarts(self._before.count + 1, why))

    def reset(self) -> None:
        """Forget the failed starts: this one lasted, or was asked to end."""
        self._path.unlink(missing_ok=True)

    def allow_full_start(self) -> None:
        """Make the next start a full one; if it fails, the one after it is in safe mode again. Raises SettingsError."""
        self._save(FailedStarts(SAFE_AFTER - 1, self._before.why))

    def _save(self, failed: FailedStarts) -> None:
        try:
            replace_whole(self._path, msgspec.json.encode(failed))
        except OSError as exc:
            raise SettingsError(f"{self._path}: cannot be written: {exc.strerror}") from exc

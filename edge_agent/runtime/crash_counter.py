"""Counts starts that went wrong, in a file that outlives them: whoever falls again and again starts in safe mode."""

from __future__ import annotations

from pathlib import Path

import msgspec

from config.errors import SettingsError
from sync.storage.atomic_files import replace_whole

SAFE_AFTER = 10  # starts in a row that went wrong
HEALTHY_S = 60.0  # a start that lasts so long was a good one
FILE = "starts.json"


class FailedStarts(msgspec.Struct, frozen=True):
    """Starts in a row that went wrong, and what ended the last of them; free of personal data."""

    count: int = 0
    why: str = ""

    @property
    def too_many(self) -> bool:
        """Whether the next start is one in safe mode."""
        return self.count >= SAFE_AFTER


class CrashCounter:
    """The counter of one box. A start counts as bad until it lasted, or was asked to end."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / FILE
        self._before = FailedStarts()

    def begin(self) -> FailedStarts:
        """Count this start; returns those before it. Raises SettingsError."""
        try:
            self._before = msgspec.json.decode(self._path.read_bytes(), type=FailedStarts)
        except (FileNotFoundError, msgspec.DecodeError):  # a damaged one counts from nothing
            self._before = FailedStarts()
        except OSError as exc:
            raise SettingsError(f"{self._path}: cannot be read: {exc.strerror}") from exc
        self._keep(FailedStarts(self._before.count + 1, "it ended without a word"))
        return self._before

    def failed(self, why: str) -> None:
        """Put down what ended this start."""
        self._keep(FailedStarts(self._before.count + 1, why))

    def forgive(self) -> None:
        """This start was a good one, or was asked to end: count from nothing."""
        self._path.unlink(missing_ok=True)

    def once_more(self) -> None:
        """Let the next start be a whole one; if it goes wrong, the one after it is in safe mode again."""
        self._keep(FailedStarts(SAFE_AFTER - 1, self._before.why))

    def _keep(self, bad: FailedStarts) -> None:
        try:
            replace_whole(self._path, msgspec.json.encode(bad))
        except OSError as exc:
            raise SettingsError(f"{self._path}: cannot be written: {exc.strerror}") from exc

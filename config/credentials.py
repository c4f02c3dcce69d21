"""Locates a secret: a file path, or a systemd credential."""

from __future__ import annotations

import os
from pathlib import Path

PREFIX = "credential:"
STORE = Path("/etc/credstore")


def secret_path(value: str) -> Path:
    """The file of a secret in the settings: a path, or `credential:NAME`.

    The service reads the copy that systemd makes at its start (LoadCredential=). A process that systemd did not start
    reads the source of that copy, which requires root.
    """
    if not value.startswith(PREFIX):
        return Path(value)
    name = value.removeprefix(PREFIX)
    given = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(given) / name if given else STORE / f"edge-agent.{name}"


def source_of(path: Path) -> Path:
    """The file that a person changes to change the secret at `path`: of a copy of a credential its source."""
    given = os.environ.get("CREDENTIALS_DIRECTORY")
    return STORE / f"edge-agent.{path.name}" if given and path.parent == Path(given) else path


def make_secret_folder(path: Path) -> None:
    """Create the folder of the secret at `path` where it is missing, for its owner only. Raises OSError."""
    path.parent.parent.mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(mode=0o700, exist_ok=True)

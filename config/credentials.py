"""Where a secret lies: at a path, or with systemd under a name."""

from __future__ import annotations

import os
from pathlib import Path

PREFIX = "credential:"
STORE = Path("/etc/credstore")


def secret_path(value: str) -> Path:
    """The file of a secret that the settings name: a path, or `credential:NAME`.

    The service sees its own copy, which systemd makes at the start (LoadCredential=). Whoever is not started by systemd
    sees what that copy is made from, and only root may.
    """
    if not value.startswith(PREFIX):
        return Path(value)
    name = value.removeprefix(PREFIX)
    given = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(given) / name if given else STORE / f"edge-agent.{name}"

"""Where on a box something of people could lie."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from edge_agent.privacy.scan import files_below

UNIT = "edge-agent"
_TEMPORARY = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - looked through, not written


def kept_files(config: Path, data_dir: Path, temporary: Iterable[Path] = _TEMPORARY) -> Iterator[Path]:
    """All files of the data and settings folders, and those in `temporary` folders that the service owns or made.

    Raises OSError where a folder cannot be listed.
    """
    yield from files_below([data_dir, config.resolve().parent])
    owner = data_dir.stat().st_uid
    for folder in temporary:
        own = [
            path
            for path in sorted(folder.iterdir())
            if not path.is_symlink() and (path.stat().st_uid == owner or f"{UNIT}.service" in path.name)
        ]
        yield from (path for path in own if path.is_file())
        yield from files_below(path for path in own if path.is_dir())

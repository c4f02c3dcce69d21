"""Copies of files that only root can read, for the user that continues: as LoadCredential= of systemd."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from edge_agent.privileges.account import Account
from sync.storage.atomic_files import write_new

_FOLDER_MODE, _FILE_MODE, _FOR_OTHERS = 0o750, 0o440, 0o007
_IN_MEMORY = Path("/run")


@contextlib.contextmanager
def readable_copies(account: Account, files: Mapping[str, Path], *, secret: bool) -> Iterator[Path]:
    """A folder with a copy of each of `files` by its name here, which `account` can read and not change.

    Files that are missing, or not regular, are left out. A secret is copied to memory where there is a /run, and keeps
    the bits for other users, so that doctor sees a file that is open to them. Raises OSError.
    """
    where = _IN_MEMORY if secret and os.access(_IN_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="edge-agent-", dir=where) as temporary:
        folder = Path(temporary)
        os.chown(folder, 0, account.gid)
        folder.chmod(_FOLDER_MODE)
        for name, source in files.items():
            if source.is_file():
                copy = folder / name
                write_new(copy, b"", 0o600)
                shutil.copyfile(source, copy)
                os.chown(copy, 0, account.gid)
                copy.chmod(_FILE_MODE | (source.stat().st_mode & _FOR_OTHERS if secret else 0))
        yield folder

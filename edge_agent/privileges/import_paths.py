"""Imports after root was given up: the interpreter may be in a folder that only root can enter, as a pyenv of root.

Verbs import what they need when they run. A folder of modules that the new user cannot reach by its path is used
through a descriptor that root opened; its files are readable by all, or the import fails.
"""

from __future__ import annotations

import contextlib
import os
import sys

Opened = dict[str, int]
"""Folders of modules and their open descriptors."""


def open_import_paths() -> Opened:
    """Every folder of `sys.path` that exists, opened; call it while this process is root's."""
    opened = {}
    for folder in filter(os.path.isabs, sys.path):
        with contextlib.suppress(OSError):
            opened[folder] = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    return opened


def keep_importable(opened: Opened) -> None:
    """Let imports from folders that this user cannot reach go through `opened`; of packages in them too."""
    # The longest first: lib-dynload is below the folder of the standard library.
    hidden = {folder: f"/proc/self/fd/{opened[folder]}" for folder in sorted(opened, key=len, reverse=True)}
    hidden = {folder: through for folder, through in hidden.items() if not os.access(folder, os.R_OK | os.X_OK)}
    if not hidden:
        return
    sys.path[:] = [hidden.get(folder, folder) for folder in sys.path]
    for module in list(sys.modules.values()):
        places = getattr(module, "__path__", None)
        if isinstance(places, list):
            places[:] = [_through(hidden, place) for place in places]


def _through(hidden: dict[str, str], place: str) -> str:
    for folder, through in hidden.items():
        if place.startswith(f"{folder}{os.sep}"):
            return through + place.removeprefix(folder)
    return place

"""`python -m edge_agent.installer.bytecode`: compiles only the modules that the agent imports.

pip would compile every module of every package, about 35 MB that no box uses. Without compiled files the service, which
cannot write there, would compile at every start.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys

OURS = ("config", "drivers", "edge_agent", "models", "sync")


def import_ours() -> int:
    """Import every importable module of ours, so that Python compiles it and its imports; returns how many."""
    names = [name for package in OURS for name in _modules(package)]
    return sum(_can_import(name) for name in names)


def _modules(package: str) -> list[str]:
    found = importlib.import_module(package)
    return [
        each.name
        for each in pkgutil.walk_packages(found.__path__, f"{package}.")
        if not each.name.startswith("models.training")
    ]


def _can_import(name: str) -> bool:
    """Import `name`; returns False if it needs an optional package that is not installed."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.split(".")[0] in OURS:
            raise
        return False
    return True


if __name__ == "__main__":
    sys.dont_write_bytecode = False  # overrides PYTHONDONTWRITEBYTECODE of the installer
    try:
        import_ours()
    except ImportError as exc:
        sys.exit(f"缺少系统库 a system library is missing: {exc}: apt-get install libgl1 libglib2.0-0 libasound2")

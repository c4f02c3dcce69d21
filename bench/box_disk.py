"""What a box's environment takes of the disk: `python -m bench.box_disk WHEELHOUSE` prints JSON.

The installer's own step makes one without the extra and one with it, in a temporary folder; MB are of 1,000,000 bytes,
MiB as `du -m` counts, both of whole blocks.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections import Counter
from pathlib import Path

from edge_agent.installer.environment import EXTRAS, Environment, Wheelhouse

MOST = 12
_BLOCK_BYTES = 512  # the unit of st_blocks


def measured(wheelhouse: Path, extras: tuple[str, ...]) -> dict[str, object]:
    """Sizes of an environment with `extras`, in all and of its largest packages."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        Environment("", "", Wheelhouse(wheelhouse, extras), home, Path("/")).do()
        return sizes((home / "venv").resolve())


def sizes(environment: Path) -> dict[str, object]:
    """Whole blocks under a folder; a file of several names counts once."""
    [packages] = environment.glob("lib/python3*/site-packages")
    seen: set[tuple[int, int]] = set()
    of: Counter[str] = Counter()
    compiled = 0
    for folder, _, names in os.walk(environment):
        for path in (Path(folder), *(Path(folder) / name for name in names)):
            info = path.lstat()
            if (info.st_dev, info.st_ino) in seen:
                continue
            seen.add((info.st_dev, info.st_ino))
            size = info.st_blocks * _BLOCK_BYTES
            compiled += size if path.suffix == ".pyc" else 0
            inside = path.relative_to(packages).parts if path.is_relative_to(packages) else ()
            of[inside[0] if inside else "environment"] += size
    total = sum(of.values())
    return {
        "mb": round(total / 1e6, 1),
        "mib": round(total / 2**20, 1),
        "bytecode_mb": round(compiled / 1e6, 1),
        "largest_mb": {name: round(size / 1e6, 1) for name, size in of.most_common(MOST)},
    }


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheelhouse", type=Path, help="folder made by make wheelhouse")
    wheelhouse = parser.parse_args().wheelhouse
    figures = {"plain": measured(wheelhouse, ()), **{extra: measured(wheelhouse, (extra,)) for extra in EXTRAS}}
    print(json.dumps({"python": platform.python_version(), "machine": platform.machine(), **figures}, indent=1))


if __name__ == "__main__":
    main()

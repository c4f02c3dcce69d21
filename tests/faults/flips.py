"""Flips one bit in the files of a store: it starts, reports what is damaged, delivers the rest, and nothing wrong."""

from __future__ import annotations

import random
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

SUFFIXES = ("", "-wal", "-head")
_HEAD_SHARE, _HEAD_BYTES = 1 / 3, 120  # this share of the flips is in the first bytes, where the header is


class Silent(Exception):
    """Something was lost, and nothing reports it."""


class Wrong(Exception):
    """Something was delivered that differs from what was stored."""


class Store(Protocol):
    """One kind of store. `truth` is what a state of its file contains."""

    name: str

    def filled(self, path: Path) -> AsyncIterator[object]:
        """Fill the file at `path`; yields the truth of each state that is to be damaged."""

    async def check(self, path: Path, truth: object) -> None:
        """Open the file and use it. Raises Silent, Wrong, or what keeps it from starting."""


@dataclass
class Tally:
    """Results of many flips; `failures` names state, file, byte and bit."""

    flips: int = 0
    set_aside: int = 0
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Image:
    """The files of one state of a store, and what they contain."""

    folder: Path
    truth: object

    def files(self) -> list[Path]:
        """The files with content, main file first."""
        return [each for each in sorted(self.folder.iterdir()) if each.stat().st_size]


async def make_images(store: Store, folder: Path) -> list[Image]:
    """The states of a filled store: closed in order, and as a kill leaves it."""
    path, images = folder / store.name, []
    async for truth in store.filled(path):
        image = Image(folder / f"{store.name}-{len(images)}", truth)
        image.folder.mkdir()
        for suffix in SUFFIXES:
            side = path.with_name(path.name + suffix)
            if side.exists():
                shutil.copy(side, image.folder)
        images.append(image)
    return images


async def play(store: Store, images: list[Image], folder: Path, dice: random.Random, flips: int) -> Tally:
    """Flip one bit at a time in a copy of an image."""
    tally = Tally()
    for _ in range(flips):
        image = dice.choice(images)
        victim = dice.choice(image.files())
        size = victim.stat().st_size
        offset = dice.randrange(min(size, _HEAD_BYTES) if dice.random() < _HEAD_SHARE else size)
        await play_one(store, image, folder, (victim.name, offset, dice.randrange(8)), tally)
    return tally


async def play_one(store: Store, image: Image, folder: Path, place: tuple[str, int, int], tally: Tally) -> None:
    """Flip the bit at `place` (file, byte, bit) and count the result."""
    name, offset, bit = place
    here = folder / "flipped"
    shutil.copytree(image.folder, here)
    content = bytearray((here / name).read_bytes())
    content[offset] ^= 1 << bit
    (here / name).write_bytes(content)
    tally.flips += 1
    try:
        await store.check(here / store.name, image.truth)
    except Exception as exc:  # noqa: BLE001 - whatever keeps a store from starting is a result
        tally.failures.append(f"{image.folder.name}/{name} byte {offset} bit {bit}: {type(exc).__name__}: {exc}"[:400])
    tally.set_aside += any(here.glob(f"{store.name}.damaged-*"))
    shutil.rmtree(here)

"""Measures the cost of encryption at rest: alternating look-ups and commits, plain and encrypted. Prints JSON.

PYTHONPATH=. python -m bench.at_rest --people 1000000
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sqlite3
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from bench.edge import percentiles
from bench.link_ledger import BUDGET_BYTES, FILL, RANDOM, fdatasync_ms, looked_up, some
from sync.edge.directory.directory import Directory
from sync.edge.ledger.ledger import Ledger
from sync.storage.encryption import KEY_BYTES, Algorithm, KeyedCipher

KEY = bytes(KEY_BYTES)
CIPHERS = {"plain": None, "aes": KeyedCipher(KEY), "sm4": KeyedCipher(KEY, Algorithm.SM4_GCM)}


async def replica(
    stack: AsyncExitStack, path: Path, people: int, sealer: KeyedCipher | None
) -> tuple[Directory, float]:
    """A replica of `people`, and the seconds taken to open and encrypt it."""
    async with Directory.opened(path):
        pass
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute(FILL, (people,))
        database.commit()
    began_s = time.perf_counter()
    directory = await stack.enter_async_context(Directory.opened(path, cipher=sealer))
    return directory, time.perf_counter() - began_s


async def measure(folder: Path, people: int, lookups: int, commits: int) -> dict[str, object]:
    """Run all measurements, on files in one folder."""
    report: dict[str, object] = {"people": people, "fdatasync_ms": fdatasync_ms(folder)}
    async with AsyncExitStack() as stack:
        replicas = {
            name: await replica(stack, folder / f"{name}.db", people, sealer) for name, sealer in CIPHERS.items()
        }
        report["opened_s"] = {name: round(took_s, 1) for name, (_, took_s) in replicas.items()}
        found: dict[str, list[float]] = {name: [] for name in CIPHERS}
        for _ in range(lookups):
            key = f"{RANDOM.randrange(people):064x}"
            for name, (directory, _) in replicas.items():
                found[name].append(await looked_up(directory, key))
        report["lookup"] = {name: percentiles(values_s) for name, values_s in found.items()}
        ledgers = {
            name: await stack.enter_async_context(
                Ledger.opened(folder / name / "ledger.db", box="bench", budget_bytes=BUDGET_BYTES, cipher=sealer)
            )
            for name, sealer in CIPHERS.items()
        }
        committed: dict[str, list[float]] = {name: [] for name in CIPHERS}
        for record in some(commits):
            for name, ledger in ledgers.items():
                began_s = time.perf_counter()
                await ledger.append(record)
                committed[name].append(time.perf_counter() - began_s)
        report["commit"] = {name: percentiles(values_s) for name, values_s in committed.items()}
    report["us_to_close_and_open_900_bytes"] = {
        name: encryption_us(sealer) for name, sealer in CIPHERS.items() if sealer is not None
    }
    return report


def encryption_us(sealer: KeyedCipher, count: int = 5_000) -> float:
    """Microseconds to encrypt and decrypt one value."""
    began_s = time.perf_counter()
    for _ in range(count):
        sealer.decrypt(sealer.encrypt(bytes(900), "place"), "place")
    return round((time.perf_counter() - began_s) / count * 1e6, 1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--lookups", type=int, default=20_000)
    parser.add_argument("--commits", type=int, default=3_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-at-rest-") as name:
        print(json.dumps(asyncio.run(measure(Path(name), options.people, options.lookups, options.commits)), indent=2))

"""A process that writes to a ledger until a test kills it; the numbers of returned appends are written to a file."""

from __future__ import annotations

import asyncio
import os
import signal
from itertools import count
from pathlib import Path

from sync.edge.ledger.ledger import Ledger
from tests.sync.city import BUDGET_BYTES, alarm, mixed

NEVER = 1 << 60


class Promises:
    """Numbers whose append returned, and acknowledged numbers; in the page cache, which survives a kill."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(self, word: str, numbers: list[int]) -> None:
        os.write(self._file, "".join(f"{word} {number}\n" for number in numbers).encode())


def read_promises(path: Path, word: str) -> set[int]:
    """The numbers that were written with `word`."""
    lines = path.read_text().split("\n") if path.exists() else []
    return {int(line.split()[1]) for line in lines if line.startswith(word)}


def live(path: Path, promises: Path, kill_at: int, budget_bytes: int = BUDGET_BYTES) -> None:
    """Append, acknowledge, park and exceed the budget; SIGKILL before the `kill_at`th SQL statement."""
    asyncio.run(_live(path, Promises(promises), kill_at, budget_bytes))


def live_for_ever(path: Path, promises: Path, budget_bytes: int) -> None:
    """Repeat `live` until the process is killed."""
    while True:
        live(path, promises, NEVER, budget_bytes)


async def _live(path: Path, promises: Promises, kill_at: int, budget_bytes: int) -> None:
    statements = count(1)

    def tick(_statement: str) -> None:
        if next(statements) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    async with Ledger.opened(path, box="box-1", budget_bytes=budget_bytes) as ledger:
        await ledger._store.run(lambda db: db.conn.set_trace_callback(tick))
        first = ledger.last_seq
        promises.note("stored", await ledger.append_all(mixed(12, first)))
        promises.note("stored", [await ledger.append(alarm(first + 12))])
        promises.note("acknowledged", list(range(first + 1, first + 7)))  # the platform has them, whatever comes
        await ledger.acknowledge(ledger.epoch, [(first + 1, first + 6)])
        await ledger.park(ledger.epoch, first + 8, "refused")
        for start in range(first + 13, first + 100, 20):
            promises.note("stored", await ledger.append_all(mixed(20, start)))
        promises.note("statements", [next(statements)])


def stop_after_each_append(path: Path, promises: Path) -> None:
    """Append one record at a time, and stop after each one that returned, before its log is ever checkpointed."""
    asyncio.run(_stop_after_each_append(path, Promises(promises)))


async def _stop_after_each_append(path: Path, promises: Promises) -> None:
    async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES) as ledger:
        for index in count():
            promises.note("stored", [await ledger.append(alarm(index))])
            os.kill(os.getpid(), signal.SIGSTOP)

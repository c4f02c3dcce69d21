"""The ledger with kills at every statement, disks that fill at every page, clock jumps and power cuts."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import pytest

from sync.contract.chain import next_hash
from sync.contract.records import Gap
from sync.edge.ledger.ledger import Ledger
from sync.edge.ledger.schema import Row
from sync.errors import StoreFailed
from tests.faults.scale import ROUNDS, sampled
from tests.faults.writer import NEVER, live, live_for_ever, read_promises, stop_after_each_append
from tests.limits import HANG_S
from tests.sync.city import (
    BUDGET_BYTES,
    Mosquitto,
    a_box,
    a_platform,
    alarm,
    eventually,
    link_settings,
    mixed,
    passage,
)
from tests.sync.test_city_link import settled

SMALL = 120_000  # bytes: the life of the writer does not fit


@pytest.fixture(scope="module")
def forks() -> ForkServerContext:
    """A fork server with all modules imported, so that a new process takes milliseconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.faults.writer"])
    return context


@contextmanager
def living(forks: ForkServerContext, target: Callable[..., None], *args: object) -> Iterator[ForkServerProcess]:
    """A writer as long as the block lasts: it is killed with it, stopped or not, however the block ends."""
    process = forks.Process(target=target, args=args, daemon=True)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join(HANG_S)


def run(forks: ForkServerContext, folder: Path, kill_at: int, budget_bytes: int) -> int | None:
    with living(forks, live, folder / "ledger.db", folder / "promises", kill_at, budget_bytes) as process:
        process.join(HANG_S)
        return process.exitcode


async def check_the_ledger(folder: Path, promises: Path | None = None) -> None:
    """Check that every committed number exists or is counted in a gap, the chain is valid and the file is undamaged."""
    promises = promises or folder / "promises"
    async with Ledger.opened(folder / "ledger.db", box="box-1", budget_bytes=BUDGET_BYTES) as ledger:
        status = await ledger.status()
        rows = (await ledger.recent(100_000))[::-1]
    assert status.set_aside is None
    gaps = [record for row in rows if isinstance(record := row.record(), Gap)]
    given_up = {seq for gap in gaps for seq in range(gap.first_seq, gap.last_seq + 1)}
    there = {row.seq for row in rows}
    freed = read_promises(promises, "acknowledged")
    assert read_promises(promises, "stored") <= there | given_up | freed
    assert there | given_up | freed >= set(range(1, status.last_seq + 1))
    check_the_chain(rows)


def check_the_chain(rows: list[Row]) -> None:
    for before, row in pairwise(rows):
        if row.seq == before.seq + 1:
            assert before.chain is not None
            assert row.chain == next_hash(before.chain, row.seq, row.kind, row.body)


@pytest.mark.parametrize("budget_bytes", [BUDGET_BYTES, SMALL])
async def test_a_kill_before_any_statement_loses_no_committed_record(
    tmp_path: Path, forks: ForkServerContext, budget_bytes: int
) -> None:
    assert run(forks, tmp_path, NEVER, budget_bytes) == 0
    [statements] = read_promises(tmp_path / "promises", "statements")
    for before in sampled(statements - 1):
        kill_at = before + 1  # they are counted from 1
        folder = tmp_path / str(kill_at)
        folder.mkdir()
        assert run(forks, folder, kill_at, budget_bytes) == -signal.SIGKILL
        await check_the_ledger(folder)
        run(forks, folder, kill_at + 1, budget_bytes)  # what was killed once is killed again
        await check_the_ledger(folder)


async def test_a_kill_at_any_time_loses_no_committed_record(tmp_path: Path, forks: ForkServerContext) -> None:
    dice = random.Random(5)
    promises = tmp_path / "promises"
    for _ in range(10 * ROUNDS):
        before = promised_bytes(promises)
        with living(forks, live, tmp_path / "ledger.db", promises, NEVER, SMALL) as process:
            await eventually(partial(has_promised_more, promises, before))  # however slow the machine is
            process.join(dice.uniform(0.0, 0.15))
        await check_the_ledger(tmp_path)
    assert len(read_promises(promises, "stored")) >= 120 * ROUNDS  # the first 12 of each life at least


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    home = tmp_path / "disk"
    home.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(home)], check=False).returncode:
        pytest.skip("mounting needs root")
    try:
        yield home
    finally:
        unmount(home)


async def test_a_disk_that_fills_at_any_page_loses_no_committed_record(small_disk: Path) -> None:
    """Other files leave n pages free; records stored before and every append that returned exist afterwards."""
    whole = 130
    given_up = []
    for free_pages in sampled(whole):
        for old in small_disk.iterdir():
            old.unlink()
        given_up.append(await fill_up(small_disk, free_pages))
    assert given_up[0] == 0  # there was room for all
    assert given_up[-1] > 0  # there was none: old records made some


async def fill_up(home: Path, free_pages: int) -> int:
    """Return the number of evicted records with `free_pages` left; check that all other committed records exist."""
    path = home / "ledger.db"
    promised: set[int] = set()
    with contextlib.suppress(StoreFailed):
        async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES) as ledger:
            promised.update(await ledger.append_all(mixed(30)))
            leave_free(home, free_pages)
            for index in range(60):
                promised.add(await ledger.append(alarm(index) if index % 3 else passage(index)))
                if index == 40:
                    await ledger.acknowledge(ledger.epoch, [(5, 30)])
    (home / "others").unlink(missing_ok=True)
    async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES) as ledger:
        rows = (await ledger.recent(10_000))[::-1]
        gaps = [record for row in rows if isinstance(record := row.record(), Gap)]
        given_up = {seq for gap in gaps for seq in range(gap.first_seq, gap.last_seq + 1)}
        assert (await ledger.status()).set_aside is None
        assert promised <= {row.seq for row in rows} | given_up | set(range(5, 31))
        assert rows[-1].seq >= max(promised)
        check_the_chain(rows)
        assert await ledger.append(passage(1)) == rows[-1].seq + 1
    return len(given_up)


def leave_free(home: Path, pages: int) -> None:
    disk = os.statvfs(home)
    (home / "others").write_bytes(bytes(max(0, (disk.f_bavail - pages)) * disk.f_frsize))


@pytest.mark.parametrize("jump_s", [-86_400, 86_400, -1_700_000_000])
async def test_a_clock_that_jumps_loses_nothing(
    tmp_path: Path, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch, jump_s: int
) -> None:
    """Jumps by a day and to 1970: records arrive once, ages are not negative, and a replica never appears newer."""
    real_ns = time.time_ns
    async with (
        a_platform(tmp_path / "platform", broker.url) as platform,
        a_box(tmp_path / "box", link_settings(broker.url)) as box,
    ):
        await box.ledger.append_all(mixed(20))
        await eventually(box.all_acknowledged)
        monkeypatch.setattr(time, "time_ns", lambda: max(0, real_ns() + jump_s * 10**9))
        for record in mixed(20, 20):
            await box.ledger.append(record)
        assert (await box.ledger.status()).oldest_age_s >= 0
        await settled(platform, box, 40)
        monkeypatch.setattr(time, "time_ns", real_ns)
        await box.ledger.append_all(mixed(20, 40))
        await settled(platform, box, 60)


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Path]:
    """See `disk_image`."""
    with disk_image(tmp_path) as made:
        yield made


@contextmanager
def disk_image(folder: Path) -> Iterator[Path]:
    """An ext4 file system in an image file; the image contains what was synced to the disk."""
    made, there = folder / "disk.img", folder / "there"
    made.write_bytes(bytes(24_000_000))
    there.mkdir()
    format_it = ["mkfs.ext4", "-q", "-F", str(made)]
    if shutil.which("mkfs.ext4") is None or subprocess.run(format_it, check=False).returncode or not mount(made, there):
        pytest.skip("mounting an image needs root")
    try:
        yield made
    finally:
        unmount(there)


def unmount(there: Path) -> None:
    """Detached at once even if a process still has a file open there, and removed when it ends."""
    subprocess.run(["umount", "--lazy", str(there)], check=True, timeout=HANG_S)


def mount(image: Path, there: Path) -> bool:
    return subprocess.run(["mount", "-o", "loop", str(image), str(there)], check=False).returncode == 0


async def test_a_power_cut_loses_no_committed_record(image: Path, forks: ForkServerContext) -> None:
    """The writer is stopped at any time and the image copied: pages that were not synced are missing in the copy.

    Then it continues and is stopped again, because starting a process costs more than a cut.
    """
    dice = random.Random(7)
    there, copy, after = image.parent / "there", image.parent / "copy.img", image.parent / "after"
    after.mkdir()
    for life in range(ROUNDS):
        home, promises = there / f"{life}", image.parent / f"promises-{life}"
        with living(forks, live_for_ever, home / "ledger.db", promises, SMALL) as writer:
            assert writer.pid is not None
            await eventually(partial(has_promised_more, promises, 0))
            for _ in range(2 if ROUNDS == 1 else 10):
                await asyncio.sleep(dice.uniform(0.01, 0.2))
                os.kill(writer.pid, signal.SIGSTOP)
                shutil.copyfile(image, copy)
                assert mount(copy, after)
                try:
                    await check_the_ledger(after / home.name, promises)
                finally:
                    unmount(after)
                os.kill(writer.pid, signal.SIGCONT)
        shutil.rmtree(home)


async def test_a_power_cut_test_that_fails_leaves_no_writer_and_no_mount(
    tmp_path: Path, forks: ForkServerContext
) -> None:
    there, promises = tmp_path / "there", tmp_path / "promises"
    pids: list[int | None] = []

    async def fail() -> None:
        with disk_image(tmp_path), living(forks, live_for_ever, there / "ledger.db", promises, SMALL) as writer:
            pids.append(writer.pid)
            await eventually(partial(has_promised_more, promises, 0))
            os.kill(writer.pid or 0, signal.SIGSTOP)
            assert not is_mounted(there)

    with pytest.raises(AssertionError):
        await fail()
    [pid] = pids
    assert not Path(f"/proc/{pid}").exists()
    assert not is_mounted(there)


def is_mounted(there: Path) -> bool:
    return f" {there} " in Path("/proc/mounts").read_text(encoding="utf-8")


async def test_a_power_cut_right_after_an_append_loses_nothing(image: Path, forks: ForkServerContext) -> None:
    """The last append that returned is on the disk before any checkpoint: a log that is not synced is always found."""
    there, copy, after, promises = (image.parent / name for name in ("there", "copy.img", "after", "promises"))
    after.mkdir()
    with living(forks, stop_after_each_append, there / "ledger.db", promises) as writer:
        assert writer.pid is not None
        for appended in range(1, 4):
            await eventually(partial(has_stopped, writer.pid, promises, appended))
            shutil.copyfile(image, copy)
            assert mount(copy, after)
            try:
                await check_the_ledger(after, promises)
            finally:
                unmount(after)
            os.kill(writer.pid, signal.SIGCONT)


async def has_stopped(pid: int, promises: Path, appended: int) -> bool:
    state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    return state == "T" and len(read_promises(promises, "stored")) == appended


def promised_bytes(promises: Path) -> int:
    return promises.stat().st_size if promises.exists() else 0


async def has_promised_more(promises: Path, before: int) -> bool:
    return promised_bytes(promises) > before

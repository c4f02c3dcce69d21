"""The watchdog sends keep-alives while no task is stalled and names a stalled one; failed starts are counted."""

import asyncio
import os
import platform
import signal
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from config.settings import parse_settings
from drivers.simulated.street import Street
from edge_agent.demo.processes import answers
from edge_agent.diagnostics.status_client import ask_agent, status_lines
from edge_agent.runtime.crash_counter import SAFE_AFTER, CrashCounter, FailedStarts
from edge_agent.runtime.task_progress import track_progress
from edge_agent.runtime.threads import touch_shared
from edge_agent.runtime.watchdog import Notifier, Watchdog
from edge_agent.safe_mode import SafeMode
from tests.edge_agent.held import held, threads, waits
from tests.edge_agent.kiosk.stand import Stand
from tests.edge_agent.process import started
from tests.edge_agent.town import settings_text
from tests.limits import HANG_S

LOOKS = 3


class Systemd:
    """The other end of the notify socket."""

    def __init__(self, path: Path) -> None:
        self.address = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._socket.setblocking(False)

    async def hears(self) -> list[str]:
        """The lines of the next message."""
        async with asyncio.timeout(HANG_S):
            return (await asyncio.get_running_loop().sock_recv(self._socket, 4096)).decode().splitlines()

    async def until(self, start: str) -> list[str]:
        """Every line up to the first that begins so."""
        lines: list[str] = []
        while not any(line.startswith(start) for line in lines):
            lines += await self.hears()
        return lines

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    ear = Systemd(tmp_path / "notify")
    yield ear
    ear.close()


@asynccontextmanager
async def watched() -> AsyncIterator[Watchdog]:
    track_progress(asyncio.get_running_loop())
    notifier = Notifier("")
    yield Watchdog(notifier, "running", {"player": 2 * LOOKS}, LOOKS)
    notifier.close()


async def looks(watchdog: Watchdog, count: int) -> list[tuple[str, ...]]:
    """What so many looks find, while everybody who can moves in between."""
    found = []
    for _ in range(count):
        for _ in range(5):
            await asyncio.sleep(0)
        found.append(tuple(name.split(" ")[0] for name in watchdog.look()))
    return found


async def move() -> None:
    while True:
        await asyncio.sleep(0)


async def test_whoever_waits_for_a_stuck_thread_is_named_and_whoever_moves_is_not() -> None:
    async with watched() as watchdog, asyncio.TaskGroup() as tasks:
        stuck = threading.Event()
        mover = tasks.create_task(move(), name="mover")
        tasks.create_task(asyncio.to_thread(stuck.wait), name="disk")
        assert await looks(watchdog, LOOKS + 1) == [()] * LOOKS + [("disk",)]
        stuck.set()
        while ("disk",) in await looks(watchdog, 1):
            await asyncio.sleep(0.01)
        mover.cancel()


async def test_a_stuck_loop_is_named_with_the_line_where_it_waits() -> None:
    async def inner() -> None:
        await asyncio.get_running_loop().create_future()

    async def outer() -> None:
        await inner()

    async with watched() as watchdog:
        task = asyncio.create_task(outer(), name="loop")
        await looks(watchdog, LOOKS)
        [told] = watchdog.look()
        line = inner.__code__.co_firstlineno + 1
        assert told == f"loop (test_watchdog.py:{line})"
        task.cancel()


async def test_whoever_holds_loops_is_as_alive_as_they_are() -> None:
    async def hold() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(move(), name="held")

    async with watched() as watchdog:
        holder = asyncio.create_task(hold(), name="holder")
        assert await looks(watchdog, 2 * LOOKS) == [()] * 2 * LOOKS
        holder.cancel()


async def test_some_loops_may_stand_still_for_longer_and_tasks_without_a_name_for_ever() -> None:
    async with watched() as watchdog:
        waits = [
            asyncio.create_task(asyncio.Event().wait()),
            asyncio.create_task(asyncio.Event().wait(), name="player"),
        ]
        assert await looks(watchdog, 2 * LOOKS + 1) == [()] * 2 * LOOKS + [("player",)]
        for task in waits:
            task.cancel()


async def test_it_says_that_it_is_ready_beats_and_says_that_it_stops(systemd: Systemd) -> None:
    track_progress(asyncio.get_running_loop())
    mover = asyncio.create_task(move(), name="kiosk")
    dog = asyncio.create_task(Watchdog(Notifier(systemd.address), "running").run(), name="watchdog")
    assert await systemd.hears() == ["WATCHDOG=1"]
    assert await systemd.hears() == ["READY=1", "STATUS=running, 1 loops"]
    dog.cancel()
    assert await systemd.hears() == ["STOPPING=1"]
    mover.cancel()


async def test_a_screen_that_is_not_answered_is_named() -> None:
    stand, over = Stand(), asyncio.Event()

    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    await stand.kiosk().touch()  # nobody listens yet
    await stand.start()
    await stand.kiosk().touch()
    await stand.stop()
    async with watched() as watchdog, await asyncio.start_server(hang, "127.0.0.1", stand.port):
        asking = asyncio.create_task(stand.kiosk().touch(), name="page")
        while ("page",) not in await looks(watchdog, 1):
            await asyncio.sleep(0.01)
        over.set()
        await asking
        assert await looks(watchdog, 1) == [()]


async def test_shared_threads_that_are_all_stuck_are_named() -> None:
    stuck = threading.Event()
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    await touch_shared()
    async with watched() as watchdog:
        waits = asyncio.create_task(asyncio.to_thread(stuck.wait))
        asking = asyncio.create_task(touch_shared(), name="shared")
        assert await looks(watchdog, LOOKS + 1) == [()] * LOOKS + [("shared",)]
        stuck.set()
        await asyncio.gather(waits, asking)


@asynccontextmanager
async def agent(
    folder: Path, camera_url: str, systemd: Systemd, speaker: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The real agent in a process of its own, as systemd starts it."""
    config = folder / "sentinel.toml"
    text = settings_text(folder, camera_url).replace(f"wav:{folder / 'spoken.wav'}", speaker)
    config.write_text(text, encoding="utf-8")
    async with started("run", "--config", config, environment={"NOTIFY_SOCKET": systemd.address}) as process:
        yield process


async def test_the_agent_beats_until_a_worker_is_stuck_and_then_says_which(tmp_path: Path, systemd: Systemd) -> None:
    os.mkfifo(tmp_path / "card")  # to open it for writing blocks for ever, as a dead sound card does
    async with (
        Street(tmp_path / "wires", seed=5) as street,
        agent(tmp_path, street.camera.url, systemd, f"wav:{tmp_path / 'card'}") as process,
    ):
        told = await systemd.until("STATUS=stalled")
        assert told.count("READY=1") == 1
        assert told.count("WATCHDOG=1") > 10
        assert told[-2].startswith("STATUS=stalled: speaker (")
        assert told[-1] == "WATCHDOG=trigger"
        process.send_signal(signal.SIGABRT)  # what systemd does then
        _, err = await process.communicate()
        assert b"watchdog: stalled: speaker" in err
        assert b"in _serve" in err or b"in open" in err or b"wav_file.py" in err  # every thread's last lines
    assert CrashCounter(tmp_path / "agent").begin().count == 1


async def test_threads_have_names_and_those_that_nobody_needs_now_are_missed_too(
    tmp_path: Path, systemd: Systemd
) -> None:
    async with (
        Street(tmp_path / "wires", seed=5) as street,
        agent(tmp_path, street.camera.url, systemd, "null") as process,
    ):
        names: dict[str, int] = {}
        stores = {"ledger_0", "directory_0", "directory-read_", "orders_0"}
        while not names.keys() >= {*stores, "asyncio_0", "camera", "speaker", "vision_0", "codes_0"}:
            await systemd.hears()
            names = {name: thread for thread, name in threads(process.pid)}
        missed = {"orders file (progress.py:", "directory file (progress.py:"}
        with held(process.pid, names["orders_0"], names["directory_0"]):
            while missed:
                missed -= {each for line in await systemd.hears() for each in missed if each in line}
        await process.communicate()
        assert process.returncode == -signal.SIGKILL  # it went on until then


async def test_an_agent_that_is_asked_to_stop_says_so_and_was_no_bad_start(tmp_path: Path, systemd: Systemd) -> None:
    async with (
        Street(tmp_path / "wires", seed=5) as street,
        agent(tmp_path, street.camera.url, systemd, "null") as process,
    ):
        await systemd.until("READY=1")
        process.terminate()
        assert "STOPPING=1" in await systemd.until("STOPPING=1")
        await process.communicate()
        assert process.returncode == 0
    assert CrashCounter(tmp_path / "agent").begin() == FailedStarts()


def test_starts_are_counted_over_processes_forgiven_and_tried_once_more(tmp_path: Path) -> None:
    for count in range(SAFE_AFTER):
        starts = CrashCounter(tmp_path)
        assert starts.begin().count == count
        starts.failed("[box] name is wrong")
    last = CrashCounter(tmp_path)
    before = last.begin()
    assert before.too_many
    assert before.why == "[box] name is wrong"
    last.allow_full_start()
    assert not CrashCounter(tmp_path).begin().too_many
    assert CrashCounter(tmp_path).begin().too_many
    CrashCounter(tmp_path).reset()
    assert CrashCounter(tmp_path).begin() == FailedStarts()


async def test_safe_mode_shows_itself_and_opens_no_device(tmp_path: Path) -> None:
    settings = parse_settings(settings_text(tmp_path, "http://127.0.0.1:9/"))
    mode = asyncio.create_task(SafeMode(settings, "[gate] port is wrong").run())
    assert await answers(settings.kiosk.port, HANG_S)
    report: dict[str, Any] = {"link": None}
    async with asyncio.timeout(HANG_S):
        while report["link"] is None:  # the screen is there before the ledger is open
            report = await asyncio.to_thread(ask_agent, settings.kiosk.host, settings.kiosk.port)
    assert report["view"]["stage"] == "out_of_service"
    assert report["view"]["parts"] == []
    assert report["safe_mode"] == "[gate] port is wrong"
    assert report["link"]["connected"] is False
    assert status_lines(report)[0].startswith("safe mode 安全模式")
    mode.cancel()
    await asyncio.gather(mode, return_exceptions=True)


async def test_safe_mode_ends_to_try_the_whole_agent_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = parse_settings(settings_text(tmp_path, "http://127.0.0.1:9/"))
    await SafeMode(settings, "TypeError").run(retry_after_s=0.01)
    assert "the agent is started again" in caplog.messages[-1]


async def test_ten_bad_starts_lead_to_safe_mode(tmp_path: Path, systemd: Systemd) -> None:
    (tmp_path / "agent").mkdir()
    for _ in range(SAFE_AFTER):
        CrashCounter(tmp_path / "agent").begin()
    async with agent(tmp_path, "http://127.0.0.1:9/", systemd, "null") as process:
        told = await systemd.until("READY=1")
        assert told[-1].startswith("STATUS=safe mode: exited without an error message")
        process.terminate()
        await process.communicate()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers of calls are those of x86_64")
@pytest.mark.parametrize(
    ("call", "so"),
    [
        ("202 0x7f00 0x189 0x0 0x0 0x0 0xffffffff 0x7ffc 0x7f01", True),  # FUTEX_WAIT_BITSET: for work
        ("202 0x7f00 0x80 0x2 0x0 0x0 0x0 0x7ffc 0x7f01", False),  # FUTEX_WAIT: for a mutex
        ("202 0x7f00 0x189 0x0 0x7ffd 0x0 0xffffffff 0x7ffc 0x7f01", False),  # with a limit: for Python's lock
        ("202 0x7f00 0x81 0x1 0x0 0x0 0x0 0x7ffc 0x7f01", False),  # FUTEX_WAKE: with the mutex of Python's lock
        ("9 0x0 0x21000 0x3 0x22 0xffffffff 0x0 0x7ffc 0x7f01", False),  # mmap: with the allocator's lock
        ("270 0x4 0x7ffc 0x0 0x0 0x0 0x0 0x7ffc 0x7f01", True),  # pselect6: for a device
        ("running", False),
        ("-1 0x7ffc 0x7f01", False),
    ],
)
def test_a_thread_is_held_only_where_it_holds_up_no_other(call: str, so: bool) -> None:
    assert waits(call) is so

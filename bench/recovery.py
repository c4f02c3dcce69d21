"""How long a box is out of service when its agent is killed, stopped, or one of its threads stands still.

    python bench/recovery.py            # kill -9, the whole process stopped, each thread stopped alone
    python bench/recovery.py soak 3600  # the demo's people for an hour: how often the watchdog would have bitten

systemd does not run here: `Manager` does what systemd/edge-agent.service says (Restart, RestartSec, WatchdogSec,
TimeoutAbortSec). A thread is stopped alone with ptrace, so this needs root or a parent's right to trace its child.
"""

import asyncio
import ctypes
import os
import re
import select
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from drivers.simulated.gate import SimulatedRelay
from drivers.simulated.street import Street
from drivers.simulated.wire import PtyWire
from edge_agent.asking import AgentSilent, ask_agent
from edge_agent.starts import FILE
from tests.agent.town import settings_text

ROOT = Path(__file__).parents[1]
UNIT = (ROOT / "systemd" / "edge-agent.service").read_text(encoding="utf-8")
PTRACE_SEIZE, PTRACE_INTERRUPT, WALL = 0x4206, 0x4207, 0x40000000
SETTLED_S = 5.0  # until the agent said that it is ready
HARMLESS_S = 45.0  # a thread whose stop is not noticed for so long is one that nobody waits for


def unit(key: str) -> float:
    """A number of seconds in the unit file."""
    [value] = re.findall(rf"^{key}=([0-9.]+)$", UNIT, flags=re.M)
    return float(value)


class Manager:
    """Keeps one agent as systemd would."""

    def __init__(self, config: Path, port: int, folder: Path) -> None:
        assert "Restart=always" in UNIT
        self._command = [sys.executable, "-m", "edge_agent.cli", "run", "--config", str(config)]
        self._port = port
        self._address = str(folder / "notify")
        self._ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ear.bind(self._address)
        self._starts = folder / "agent" / FILE
        self._log = (folder / "agent.log").open("ab")
        self.stopped: int | None = None  # a thread that is being held
        self.bitten = 0
        self.why = ""
        self.agent = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "NOTIFY_SOCKET": self._address, "PYTHONPATH": str(ROOT)}
        self._starts.unlink(missing_ok=True)  # stands for the healthy minute between two faults: no safe mode here
        return subprocess.Popen(self._command, env=environment, stderr=self._log)

    def run(self, done: threading.Event) -> None:
        """Supervise until `done`."""
        fed_s = float("inf")
        while not done.is_set():
            if select.select([self._ear], [], [], 0.05)[0]:
                said = self._ear.recv(4096).decode()
                if "WATCHDOG=1" in said or "READY=1" in said:
                    fed_s = time.monotonic()
                if "WATCHDOG=trigger" in said:
                    self.why, fed_s = said.splitlines()[0], float("-inf")
            if time.monotonic() - fed_s > unit("WatchdogSec"):
                self.bitten += 1
                self._abort()
            if self.agent.poll() is not None:
                fed_s = float("inf")
                time.sleep(unit("RestartSec"))
                self.agent = self._start()
        self.agent.kill()
        self.agent.wait()

    def _abort(self) -> None:
        self.agent.send_signal(signal.SIGABRT)
        try:
            self.agent.wait(unit("TimeoutAbortSec"))
        except subprocess.TimeoutExpired:
            self.agent.kill()
            time.sleep(0.2)
            if self.stopped:  # whoever traces a thread has to bury it
                os.waitpid(self.stopped, WALL)
            self.agent.wait()

    def serves(self) -> bool:
        """Whether the line runs and somebody could be served."""
        try:
            view = ask_agent("127.0.0.1", self._port)["view"]
        except AgentSilent:
            return False
        return view["stage"] == "idle" and all(part["state"] == "ok" for part in view["parts"])

    def until_serving(self, old: int) -> float | None:
        """Seconds until another process than `old` serves; None when `old` went on serving."""
        began_s = time.monotonic()
        while self.agent.pid == old or not self.serves():
            if self.agent.pid == old and time.monotonic() - began_s > HARMLESS_S:
                return None
            time.sleep(0.05)
        return time.monotonic() - began_s

    def hold(self, thread: int) -> None:
        """Stop one thread of the agent."""
        libc = ctypes.CDLL(None, use_errno=True)
        for request in (PTRACE_SEIZE, PTRACE_INTERRUPT):
            if libc.ptrace(request, thread, 0, 0):
                raise OSError(ctypes.get_errno(), "ptrace")
        self.stopped = thread


def threads(pid: int) -> list[int]:
    """The threads of a process, the one of its event loop first."""
    return sorted(int(each.name) for each in Path(f"/proc/{pid}/task").iterdir())


def measure(manager: Manager) -> None:
    manager.until_serving(0)
    killed = []
    for _ in range(5):
        pid = manager.agent.pid
        os.kill(pid, signal.SIGKILL)
        killed.append(manager.until_serving(pid) or 0.0)
    print(f"kill -9: serving again after {statistics.median(killed):.1f} s, at most {max(killed):.1f} s", flush=True)
    time.sleep(SETTLED_S)
    pid = manager.agent.pid
    os.kill(pid, signal.SIGSTOP)
    print(f"the whole process stopped: {manager.until_serving(pid):.1f} s", flush=True)
    for nth in range(1, len(threads(manager.agent.pid))):
        time.sleep(SETTLED_S)
        pid = manager.agent.pid
        held = threads(pid)[nth]
        # ptrace belongs to the thread that asked for it, which is this one
        manager.hold(held)
        took_s = manager.until_serving(pid)
        told = "nobody waits for it" if took_s is None else f"{took_s:.1f} s, {manager.why}"
        print(f"thread {nth} stopped alone: {told}", flush=True)
        if took_s is None:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(held, WALL)
            manager.until_serving(pid)
        manager.stopped = None


async def recovery() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        async with Street(folder / "wires", seed=5) as street:
            text = settings_text(folder, street.camera.url)
            (folder / "sentinel.toml").write_text(text, encoding="utf-8")
            [port] = re.findall(r"^\[kiosk\][^\[]*?^port = (\d+)", text, flags=re.M | re.S)
            manager = Manager(folder / "sentinel.toml", int(port), folder)
            done = threading.Event()
            relay = SimulatedRelay(PtyWire(folder / "wires" / "gate"))
            relay.plug()
            running = [asyncio.create_task(street.run()), asyncio.create_task(relay.run())]
            supervising = asyncio.create_task(asyncio.to_thread(manager.run, done))
            try:
                await asyncio.to_thread(measure, manager)
            finally:
                done.set()
                await supervising
                for task in running:
                    task.cancel()
                relay.unplug()


def soak(seconds: float) -> None:
    """Let people pass while listening to what the agent says to systemd."""
    with tempfile.TemporaryDirectory() as temporary, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(f"{temporary}/notify")
        command = [sys.executable, "-m", "edge_agent.cli", "demo", "--json", "--data", f"{temporary}/demo"]
        environment = {**os.environ, "NOTIFY_SOCKET": f"{temporary}/notify", "PYTHONPATH": str(ROOT)}
        with Path(f"{temporary}/log").open("wb") as log:
            demo = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        beats, alarms, longest_s, fed_s = 0, [], 0.0, None
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            if not select.select([ear], [], [], 1)[0]:
                continue
            said = ear.recv(4096).decode()
            if "WATCHDOG=1" in said:
                beats += 1
                now_s = time.monotonic()
                longest_s, fed_s = max(longest_s, now_s - (fed_s or now_s)), now_s
            if "stands still" in said:
                alarms.append(said)
        print(f"{seconds:.0f} s: {beats} beats, longest pause {longest_s:.1f} s, {len(alarms)} alarms {alarms}")
        demo.send_signal(signal.SIGINT)
        demo.wait()


if __name__ == "__main__":
    if sys.argv[1:2] == ["soak"]:
        soak(float(sys.argv[2]))
    else:
        asyncio.run(recovery())

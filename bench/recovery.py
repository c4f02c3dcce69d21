"""Measures how long a box is out of service when its agent is killed or stopped, or one of its threads stalls.

    python bench/recovery.py            # kill -9, the whole process stopped, each thread stopped alone
    python bench/recovery.py soak 3600  # run the demo for an hour and count watchdog alarms

`Manager` takes the place of systemd and implements systemd/edge-agent.service (Restart, RestartSec, WatchdogSec,
TimeoutAbortSec). A single thread is stopped with ptrace, which requires root or the right of a parent to trace its
child. No person passes during the measurement.
"""

import asyncio
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

from drivers.simulated.devices.gate import SimulatedRelay
from drivers.simulated.devices.wire import PtyWire
from drivers.simulated.street import Street
from edge_agent.diagnostics.status_client import AgentNotResponding, ask_agent
from edge_agent.runtime.crash_counter import FILE
from tests.edge_agent.held import bury, hold, threads
from tests.edge_agent.town import settings_text

ROOT = Path(__file__).parents[1]
UNIT = (ROOT / "systemd" / "edge-agent.service").read_text(encoding="utf-8")
SETTLED_S = 5.0  # until the agent has signalled READY
UNNOTICED_S = 45.0


def unit(key: str) -> float:
    """The value in seconds of `key` in the unit file."""
    [value] = re.findall(rf"^{key}=([0-9.]+)$", UNIT, flags=re.M)
    return float(value)


class Manager:
    """Supervises one agent as systemd does."""

    def __init__(self, config: Path, port: int, folder: Path) -> None:
        assert "Restart=always" in UNIT
        self._command = [sys.executable, "-m", "edge_agent.commands.cli", "run", "--config", str(config)]
        self._port = port
        self._address = str(folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self._address)
        self._starts = folder / "agent" / FILE
        self._log = (folder / "agent.log").open("ab")
        self.held: int | None = None  # the stopped thread
        self.watchdog_kills = 0
        self.why = ""
        self.agent = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "NOTIFY_SOCKET": self._address, "PYTHONPATH": str(ROOT)}
        self._starts.unlink(missing_ok=True)  # replaces the minute without a fault that resets the crash counter
        return subprocess.Popen(self._command, env=environment, stderr=self._log)

    def run(self, done: threading.Event) -> None:
        """Supervise until `done`."""
        fed_s = float("inf")
        while not done.is_set():
            if select.select([self._socket], [], [], 0.05)[0]:
                message = self._socket.recv(4096).decode()
                if "WATCHDOG=1" in message or "READY=1" in message:
                    fed_s = time.monotonic()
                if "WATCHDOG=trigger" in message:
                    self.why, fed_s = message.splitlines()[0], float("-inf")
            if time.monotonic() - fed_s > unit("WatchdogSec"):
                self.watchdog_kills += 1
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
            if self.held:
                bury(self.held)
            self.agent.wait()

    def trouble(self) -> str:
        """Why the next person cannot be served, or an empty string."""
        try:
            view = ask_agent("127.0.0.1", self._port)["view"]
        except AgentNotResponding:
            return "no answer"
        parts = ", ".join(f"{part['name']} {part['state']}" for part in view["parts"] if part["state"] != "ok")
        return parts or ("" if view["stage"] == "idle" else view["stage"])

    def until_serving(self, old: int) -> float:
        """Wait until another process than `old` serves; returns the seconds."""
        began_s = time.monotonic()
        while self.agent.pid == old or self.trouble():
            time.sleep(0.05)
        return time.monotonic() - began_s

    def detection(self, old: int) -> str:
        """How a stalled thread of `old` is detected, and when the next person can be served again."""
        began_s = time.monotonic()
        noticed = ""
        while self.agent.pid == old:
            time.sleep(0.05)
            now_s = time.monotonic() - began_s
            trouble = self.trouble() if self.agent.pid == old else ""
            if trouble and not noticed:
                noticed = f"{trouble} after {now_s:.1f} s; "
            elif noticed and not trouble and self.agent.pid == old:
                return f"{noticed}serving again after {now_s:.1f} s, without a restart"
            if not noticed and now_s > UNNOTICED_S:
                return "not noticed"
        self.until_serving(old)
        return f"{noticed}serving again after {time.monotonic() - began_s:.1f} s; {self.why or 'no reason reported'}"


def measure(manager: Manager) -> None:
    manager.until_serving(0)
    killed = []
    for _ in range(5):
        pid = manager.agent.pid
        os.kill(pid, signal.SIGKILL)
        killed.append(manager.until_serving(pid))
    print(f"kill -9: serving again after {statistics.median(killed):.1f} s, at most {max(killed):.1f} s", flush=True)
    time.sleep(SETTLED_S)
    pid = manager.agent.pid
    os.kill(pid, signal.SIGSTOP)
    print(f"whole process stopped: {manager.until_serving(pid):.1f} s", flush=True)
    time.sleep(SETTLED_S)
    done: set[str] = set()
    while left := [each for each in threads(manager.agent.pid)[1:] if each[1] not in done]:
        pid = manager.agent.pid
        thread, name = left[0]
        done.add(name)
        manager.held, manager.why = thread, ""
        hold(thread)  # ptrace requires that the same thread traces it
        print(f"{name} stopped alone: {manager.detection(pid)}", flush=True)
        if manager.agent.pid == pid:
            os.kill(pid, signal.SIGKILL)
            bury(thread)
            manager.until_serving(pid)
        manager.held = None
        time.sleep(SETTLED_S)


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
    """Run the demo and record the notifications of the agent to systemd."""
    with tempfile.TemporaryDirectory() as temporary, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
        notifications.bind(f"{temporary}/notify")
        command = [sys.executable, "-m", "edge_agent.commands.cli", "demo", "--json", "--data", f"{temporary}/demo"]
        environment = {**os.environ, "NOTIFY_SOCKET": f"{temporary}/notify", "PYTHONPATH": str(ROOT)}
        with Path(f"{temporary}/log").open("wb") as log:
            demo = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        beats, alarms, longest_s, fed_s = 0, [], 0.0, None
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            if not select.select([notifications], [], [], 1)[0]:
                continue
            message = notifications.recv(4096).decode()
            if "WATCHDOG=1" in message:
                beats += 1
                now_s = time.monotonic()
                longest_s, fed_s = max(longest_s, now_s - (fed_s or now_s)), now_s
            if "STATUS=stalled" in message:
                alarms.append(message)
        print(f"{seconds:.0f} s: {beats} notifications, longest pause {longest_s:.1f} s, {len(alarms)} alarms {alarms}")
        demo.send_signal(signal.SIGINT)
        demo.wait()


if __name__ == "__main__":
    if sys.argv[1:2] == ["soak"]:
        soak(float(sys.argv[2]))
    else:
        asyncio.run(recovery())

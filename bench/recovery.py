"""How long a box is out of service when its agent is killed, stopped, or one of its threads stands still.

    python bench/recovery.py            # kill -9, the whole process stopped, each thread stopped alone
    python bench/recovery.py soak 3600  # the demo's people for an hour: how often the watchdog would have bitten

systemd does not run here: `Manager` does what systemd/edge-agent.service says (Restart, RestartSec, WatchdogSec,
TimeoutAbortSec). A thread is stopped alone with ptrace, so this needs root or a parent's right to trace its child.
Nobody passes meanwhile: what is noticed, is noticed before somebody needs it.
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
SETTLED_S = 5.0  # until the agent said that it is ready
UNNOTICED_S = 45.0


def unit(key: str) -> float:
    """A number of seconds in the unit file."""
    [value] = re.findall(rf"^{key}=([0-9.]+)$", UNIT, flags=re.M)
    return float(value)


class Manager:
    """Keeps one agent as systemd would."""

    def __init__(self, config: Path, port: int, folder: Path) -> None:
        assert "Restart=always" in UNIT
        self._command = [sys.executable, "-m", "edge_agent.commands.cli", "run", "--config", str(config)]
        self._port = port
        self._address = str(folder / "notify")
        self._ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ear.bind(self._address)
        self._starts = folder / "agent" / FILE
        self._log = (folder / "agent.log").open("ab")
        self.held: int | None = None  # a thread that stands still
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
            if self.held:
                bury(self.held)
            self.agent.wait()

    def trouble(self) -> str:
        """What keeps the line from serving somebody; "" when nothing does."""
        try:
            view = ask_agent("127.0.0.1", self._port)["view"]
        except AgentNotResponding:
            return "no answer"
        parts = ", ".join(f"{part['name']} {part['state']}" for part in view["parts"] if part["state"] != "ok")
        return parts or ("" if view["stage"] == "idle" else view["stage"])

    def until_serving(self, old: int) -> float:
        """Seconds until another process than `old` serves."""
        began_s = time.monotonic()
        while self.agent.pid == old or self.trouble():
            time.sleep(0.05)
        return time.monotonic() - began_s

    def told(self, old: int) -> str:
        """Who notices that something of `old` stands still, and when somebody can be served again."""
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
        return f"{noticed}serving again after {time.monotonic() - began_s:.1f} s; {self.why or 'systemd: no word'}"


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
    print(f"the whole process stopped: {manager.until_serving(pid):.1f} s", flush=True)
    time.sleep(SETTLED_S)
    done: set[str] = set()
    while left := [each for each in threads(manager.agent.pid)[1:] if each[1] not in done]:
        pid = manager.agent.pid
        thread, name = left[0]
        done.add(name)
        manager.held, manager.why = thread, ""
        hold(thread)  # by this thread of ours, to which ptrace then ties it
        print(f"{name} stopped alone: {manager.told(pid)}", flush=True)
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
    """Let people pass while listening to what the agent says to systemd."""
    with tempfile.TemporaryDirectory() as temporary, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(f"{temporary}/notify")
        command = [sys.executable, "-m", "edge_agent.commands.cli", "demo", "--json", "--data", f"{temporary}/demo"]
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
            if "STATUS=stalled" in said:
                alarms.append(said)
        print(f"{seconds:.0f} s: {beats} beats, longest pause {longest_s:.1f} s, {len(alarms)} alarms {alarms}")
        demo.send_signal(signal.SIGINT)
        demo.wait()


if __name__ == "__main__":
    if sys.argv[1:2] == ["soak"]:
        soak(float(sys.argv[2]))
    else:
        asyncio.run(recovery())

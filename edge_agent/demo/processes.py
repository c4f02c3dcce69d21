"""Child processes of the demo, each in its own session, so that the demo handles Ctrl-C for all of them."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from edge_agent.demo.errors import DemoError

_STOP_LIMIT_S = 8.0
_RESTART_PAUSE_S = 0.5
_POLL_S = 0.05


def free_port(wanted: int = 0) -> int:
    """`wanted`, or any free port for 0. Raises DemoError if it is in use on loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError as exc:
            raise DemoError(f"port {wanted} is used by another program: stop that one or choose another port") from exc
        return int(probe.getsockname()[1])


async def answers(port: int, limit_s: float) -> bool:
    """Whether something listens on the loopback `port` within `limit_s`."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    return True
                await asyncio.sleep(_POLL_S)
    return False


class Child:
    """One program; its output goes to the file `log`, or to the terminal if `log` is None."""

    def __init__(self, name: str, command: Sequence[str | Path], log: Path | None, say: Callable[[str], None]) -> None:
        self.name = name
        self._command = [str(part) for part in command]
        self._log = log
        self._say = say
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False

    @property
    def pid(self) -> int | None:
        """The process id, None if it does not run."""
        return self._process.pid if self._process and self._process.returncode is None else None

    @property
    def crashed(self) -> bool:
        """Whether it ended without `stop`."""
        return self._process is not None and self._process.returncode is not None and not self._stopping

    def last_output(self) -> str:
        """The last lines of its log."""
        if self._log is None or not self._log.exists():
            return "see above"
        return "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-8:])

    async def start(self) -> None:
        """Start the program. Raises DemoError if it is not installed."""
        try:
            if self._log is None:
                self._process = await asyncio.create_subprocess_exec(*self._command, start_new_session=True)
            else:
                with self._log.open("ab") as log:
                    self._process = await asyncio.create_subprocess_exec(
                        *self._command, start_new_session=True, stdout=log, stderr=log
                    )
        except FileNotFoundError as exc:
            raise DemoError(f"{self._command[0]} is not installed") from exc
        self._stopping = False

    async def wait(self) -> int:
        """Wait until it ends; returns its exit status."""
        return 0 if self._process is None else await self._process.wait()

    async def keep_running(self) -> None:
        """Restart it whenever it ends, as systemd does on a box, until cancelled."""
        while True:
            code = await self.wait()
            self._say(f"{self.name} ended with {code}: restarting")
            await asyncio.sleep(_RESTART_PAUSE_S)
            await self.start()

    async def stop(self) -> None:
        """Send SIGTERM, and SIGKILL if it does not end in time."""
        self._stopping = True
        if self._process is None or self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_LIMIT_S):
                await self._process.wait()
        except TimeoutError:
            self._say(f"{self.name} did not stop within {_STOP_LIMIT_S:g} s and is killed")
            self._process.kill()
            await self._process.wait()

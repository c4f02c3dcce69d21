"""Runs mosquitto on loopback with its own configuration and data folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from edge_agent.demo.errors import DemoError
from edge_agent.demo.processes import Child, answers

_START_LIMIT_S = 5.0
_CONFIG = """\
listener {port} 127.0.0.1
allow_anonymous true
set_tcp_nodelay true
persistence true
persistence_location {folder}/
autosave_interval 30
pid_file {folder}/mosquitto.pid
log_dest stderr
log_type error
log_type warning
"""
# Started as root it would switch to the user mosquitto, who cannot read the folder.
_STAY_ROOT = "user root\n"


class DemoBroker:
    """The broker of the demo; `stop` and `start` cut and restore the connection to the platform."""

    def __init__(self, folder: Path, port: int, log: Path, say: Callable[[str], None]) -> None:
        program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
        if program is None:
            raise DemoError("mosquitto is not installed: apt-get install mosquitto")
        folder.mkdir(parents=True, exist_ok=True)
        config = _CONFIG.format(port=port, folder=folder) + (_STAY_ROOT if os.geteuid() == 0 else "")
        self.config = folder / "mosquitto.conf"
        self.config.write_text(config, encoding="utf-8")
        self.port = port
        self.child = Child("broker", (program, "-c", self.config), log, say)

    async def start(self) -> None:
        """Start it and wait until it listens. Raises DemoError."""
        await self.child.start()
        if not await answers(self.port, _START_LIMIT_S):
            raise DemoError(f"the broker does not listen on port {self.port}; see its configuration {self.config}")

    async def stop(self) -> None:
        """Stop it; it saves its sessions in its data folder."""
        await self.child.stop()

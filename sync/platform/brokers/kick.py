"""Disconnects a revoked box from the broker."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from sync.mqtt.broker_address import BrokerAddress
from sync.mqtt.connection import Connection
from sync.mqtt.packets import Options


async def kick(broker: BrokerAddress, box: str) -> None:
    """End the connection and session of `box` by connecting once with its client id. Raises LinkError.

    A broker checks the revocation list only when a client connects. `broker` must be the address for the platform's
    programs, where a client may choose its client id.
    """
    async with Connection.open(Options(broker, client_id=box, clean_start=True, session_expiry_s=0)):
        pass


def reload_mosquitto(pid_file: Path) -> bool:
    """Make mosquitto reload its revocation list; False if `pid_file` names no running mosquitto. Raises OSError."""
    try:
        pid = int(pid_file.read_text(encoding="ascii"))
        program = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return False
    if program != "mosquitto":
        return False
    os.kill(pid, signal.SIGHUP)
    return True

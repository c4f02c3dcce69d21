"""A box that was revoked while it is connected."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from sync.mqtt.broker_address import BrokerAddress
from sync.mqtt.connection import Connection
from sync.mqtt.packets import Options


async def kick(broker: BrokerAddress, box: str) -> None:
    """End the connection of `box`, and its session, by connecting once under its client id. Raises LinkError.

    A broker looks at the list of the revoked when somebody connects; one that is connected stays. `broker` must be
    where the platform's own programs come in, which may choose their client ids.
    """
    async with Connection.open(Options(broker, client_id=box, clean_start=True, session_expiry_s=0)):
        pass


def reload_mosquitto(pid_file: Path) -> bool:
    """Have mosquitto read its list of the revoked again; False when none runs by this file. Raises OSError."""
    try:
        pid = int(pid_file.read_text(encoding="ascii"))
        program = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return False
    if program != "mosquitto":
        return False
    os.kill(pid, signal.SIGHUP)
    return True

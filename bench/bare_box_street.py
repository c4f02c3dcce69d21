"""The simulated devices of bare_box.sh, and one resident who passes.

    python bare_box_street.py people FILE       # write the directory of the simulated persons, as JSONL
    python bare_box_street.py street FOLDER     # connect the devices, wait for the agent, let one resident pass

The second prints one line of JSON when the platform has acknowledged the passage, and simulates the devices until it is
stopped.
"""

import asyncio
import contextlib
import json
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from drivers.simulated.devices.gate import SimulatedRelay
from drivers.simulated.devices.wire import PtyWire
from drivers.simulated.people.residents import people
from drivers.simulated.people.scenes import SceneKind, scenes
from drivers.simulated.street import Street

CAMERA_PORT = 8099
KIOSK, FLEET = "http://127.0.0.1:8080", "http://127.0.0.1:8090"
POLL_S = 0.05
LIMIT_S = 300.0


async def street(folder: Path) -> None:
    """Simulate the devices until cancelled."""
    relay = SimulatedRelay(PtyWire(folder / "gate"))
    relay.plug()
    async with Street(folder, camera_port=CAMERA_PORT) as devices, asyncio.TaskGroup() as tasks:
        for name in ("thermometer", "qr", "gate"):
            give_to_dialout(folder / name)
        tasks.create_task(devices.run())
        tasks.create_task(relay.run())
        print(json.dumps(await one_passage(devices, relay)), flush=True)


def give_to_dialout(port: Path) -> None:
    """Set the group of a serial port to dialout, as udev does."""
    shutil.chown(port, group="dialout")
    port.chmod(0o660)


async def one_passage(devices: Street, relay: SimulatedRelay) -> dict[str, Any]:
    """Let a healthy resident pass, and wait until the platform has acknowledged all records of the box."""
    resident = next(scene for scene in scenes(seed=1) if scene.kind is SceneKind.HEALTHY)
    async with asyncio.timeout(LIMIT_S), aiohttp.ClientSession() as http, asyncio.TaskGroup() as tasks:
        over = asyncio.Event()
        await until(http, lambda status, _: status["link"]["platform_online"])
        watching = tasks.create_task(watch_screen(http, over))
        arrived_s = time.monotonic()
        while not await devices.play(resident, over):
            pass
        status, stats = await until(
            http,
            lambda status, stats: stats["closed"] == stats["passages"] > 0 == status["outbox"]["unacknowledged"],
        )
        watching.cancel()
    return {
        "came_to_acknowledged_s": round(time.monotonic() - arrived_s, 1),
        "verdicts": stats["verdicts"],
        "records_at_platform": stats["records"],
        "acknowledged": status["outbox"]["last_seq"],
        "gate_pulses": relay.pulses,
    }


async def until(http: aiohttp.ClientSession, condition: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The status of the agent and the statistics of the platform, once `condition` holds for them."""
    while True:
        with contextlib.suppress(aiohttp.ClientError):
            status, stats = await fetch_json(http, f"{KIOSK}/api/status"), await fetch_json(http, f"{FLEET}/api/stats")
            if condition(status, stats):
                return status, stats
        await asyncio.sleep(POLL_S)


async def fetch_json(http: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    """The JSON at `url`."""
    async with http.get(url) as response:
        response.raise_for_status()
        answer: dict[str, Any] = await response.json()
        return answer


async def watch_screen(http: aiohttp.ClientSession, over: asyncio.Event) -> None:
    """End the visit with a final verdict on the screen."""
    async with http.get(f"{KIOSK}/events", timeout=aiohttp.ClientTimeout(total=None)) as stream:
        async for line in stream.content:
            if line.startswith(b"data: {"):
                view = json.loads(line.removeprefix(b"data: "))
                if view["stage"] == "result" and view["verdict"] != "recheck":
                    over.set()


if __name__ == "__main__":
    verb, place = sys.argv[1], Path(sys.argv[2])
    if verb == "people":
        place.write_text("".join(json.dumps(row) + "\n" for row in people(datetime.now(UTC))), encoding="utf-8")
    else:
        asyncio.run(street(place))

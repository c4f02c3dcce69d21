"""Measures the complete agent: latencies of the demo, idle CPU use, memory and cold start; prints JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from drivers.simulated.people import residents
from drivers.simulated.people.drawn import PEOPLE
from drivers.simulated.people.masks import MaskWear
from drivers.simulated.people.person_image import Pose, draw_portrait
from drivers.simulated.people.scenes import SceneKind, health_code, scenes
from drivers.simulated.street import Street, Visit
from tests.edge_agent.town import settings_text

AGENT = [sys.executable, "-m", "edge_agent.commands.cli"]
IDLE_S = 30.0
RUNS = 5


def machine() -> dict[str, object]:
    """Properties of this machine."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = re.search(r"^model name\s*: (.*)$", info, flags=re.M)
    return {
        "cpu": model[1] if model else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load_1min": round(os.getloadavg()[0], 2),
    }


def demo(passages: int) -> dict[str, Any]:
    """The report of one run of the demo."""
    command = [*AGENT, "demo", "--passages", str(passages), "--json"]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, text=True)
    report: dict[str, Any] = json.loads(run.stdout)
    return report


async def idle(folder: Path) -> dict[str, float]:
    """CPU use and memory of an agent without people or network."""
    async with Street(folder / "wires") as street:
        simulating = asyncio.create_task(street.run())
        agent = start_agent(folder, street)
        try:
            await asyncio.sleep(6)
            process = psutil.Process(agent.pid)
            before, started_s = sum(process.cpu_times()[:2]), time.monotonic()
            await asyncio.sleep(IDLE_S)
            used_s = sum(process.cpu_times()[:2]) - before
            return {
                "idle_core_percent": round(100 * used_s / (time.monotonic() - started_s), 2),
                "idle_rss_mb": round(process.memory_info().rss / 1e6, 1),
            }
        finally:
            await stop(agent)
            simulating.cancel()


async def first_verdict(folder: Path) -> float:
    """Seconds from the start of the process to its first verdict on a person who is already present."""
    async with Street(folder / "wires") as street:
        simulating = asyncio.create_task(street.run())
        scene = next(scene for scene in scenes(1) if scene.kind is SceneKind.HEALTHY)
        portrait = draw_portrait(PEOPLE[0], MaskWear.CORRECT)
        pose = Pose(centre_x=0.5, centre_y=0.45, face_height=0.42)
        street.stand(Visit(scene, {MaskWear.CORRECT: portrait}, pose, came_s=time.monotonic() - 60))
        agent = start_agent(folder, street, log=subprocess.PIPE)
        started_s = time.monotonic()
        showing = asyncio.create_task(show_codes(street))
        try:
            assert agent.stderr is not None
            while b"prompt after" not in await asyncio.to_thread(agent.stderr.readline):
                pass
            return time.monotonic() - started_s
        finally:
            showing.cancel()
            await stop(agent)
            simulating.cancel()


async def show_codes(street: Street) -> None:
    """Show one code after the other."""
    number = 0
    while True:
        number += 1
        street.reader.show(health_code(residents.HEALTHY[0].number, int(time.time()) + 600 + number))
        await asyncio.sleep(0.2)


def start_agent(folder: Path, street: Street, log: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """An agent with the simulated devices of `street` and an unreachable platform."""
    config = folder / "sentinel.toml"
    config.write_text(settings_text(folder, street.camera.url), encoding="utf-8")
    return subprocess.Popen([*AGENT, "run", "--config", str(config)], stderr=log)


async def stop(agent: subprocess.Popen[bytes]) -> None:
    """Stop the agent without blocking the simulation."""
    agent.terminate()
    await asyncio.to_thread(agent.wait)


def in_new_folder(work: Any) -> Any:
    """The result of `work(folder)`."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(work(Path(folder)))


def main() -> None:
    """Print the measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=40)
    options = parser.parse_args()
    starts_s = [in_new_folder(first_verdict) for _ in range(RUNS)]
    report = {
        "machine": machine(),
        "first_verdict_s": {"median": round(statistics.median(starts_s), 2), "max": round(max(starts_s), 2)},
        **in_new_folder(idle),
        "demo": demo(options.passages),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()

"""The whole path as a user starts it, and what happens when things are pulled out of it."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge_agent.demo.errors import DemoError
from edge_agent.demo.supervisor import Demo, DemoOptions
from tests.limits import HANG_S

SCENES = {
    "healthy",
    "mask_later",
    "fever",
    "test_expired",
    "yellow_code",
    "unknown_code",
    "watch_list",
    "platform_down",
}
LIMIT_S = 6 * HANG_S


@dataclass(slots=True)
class Run:
    """One `edge-agent demo --json` that is under way."""

    process: asyncio.subprocess.Process
    data: Path

    async def says(self, pattern: str) -> str:
        """The first group of the first line on stderr that matches."""
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            if found := re.search(pattern, line.decode()):
                return found[1]
        raise AssertionError(f"the demo ended without saying {pattern}")

    async def spoken(self, count: int) -> list[str]:
        """The lines of spoken passages, once there are `count` of them."""
        while len(lines := re.findall(r"^.*prompt after.*$", self._log(), flags=re.M)) < count:
            await asyncio.sleep(0.1)
        return lines

    async def report(self) -> dict[str, Any]:
        """What it printed at its end."""
        out, err = await self.process.communicate()
        assert self.process.returncode == 0, err.decode() + self._log()
        report: dict[str, Any] = json.loads(out)
        return report

    def _log(self) -> str:
        log = self.data / "agent.log"
        return log.read_text(encoding="utf-8") if log.exists() else ""


@asynccontextmanager
async def demo(data: Path, passages: int) -> AsyncIterator[Run]:
    command = [sys.executable, "-m", "edge_agent.commands.cli", "demo", "--json", "--data", str(data)]
    process = await asyncio.create_subprocess_exec(
        *command, "--passages", str(passages), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            yield Run(process, data)
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def test_every_scene_reaches_the_platform_once(tmp_path: Path) -> None:
    async with demo(tmp_path, passages=9) as run:
        report = await run.report()
    assert set(report["scenes"]) == SCENES
    assert report["passages"] >= 9
    assert report["committed_at_platform"] == report["acknowledged"]
    assert (report["outbox_left"], report["duplicates_at_platform"]) == (0, 0)
    assert {
        ("admit", "all_clear"),
        ("assist", "fever"),
        ("assist", "code_yellow"),
        ("assist", "watch_list"),
        ("assist", "person_unknown"),
        ("assist", "lookup_failed"),
        ("refuse", "test_expired"),
    } <= {(verdict, reason) for verdict, reasons in report["verdicts"].items() for reason in reasons}
    assert {"mask_missing", "mask_incorrect"} & set(report["verdicts"]["recheck"])
    assert report["gate_pulses"] == sum(report["verdicts"]["admit"].values())
    for name in ("arrival_to_prompt_ms", "vision_ms", "lookup_ms", "rss_mb", "cold_start_s"):
        assert report[name]


async def test_a_killed_agent_has_written_down_everything_it_spoke(tmp_path: Path) -> None:
    async with demo(tmp_path, passages=5) as run:
        agent = int(await run.says(r"^agent +pid (\d+)"))
        await run.spoken(2)
        os.kill(agent, signal.SIGKILL)
        report = await run.report()
        spoken = await run.spoken(1)
    assert report["passages"] >= len(spoken)
    assert (report["outbox_left"], report["duplicates_at_platform"]) == (0, 0)


async def test_a_demo_whose_passages_no_longer_arrive_ends_and_says_why(tmp_path: Path) -> None:
    def say(line: str) -> None:
        if found := re.search(r"^broker .*\(pid (\d+)\)", line):
            os.kill(int(found[1]), signal.SIGKILL)

    options = DemoOptions(tmp_path, passages=1000, quiet=True, kiosk_port=0, fleet_port=0, stall_limit_s=1.0)
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.timeout(LIMIT_S):
            await Demo(options, say).run()
    assert caught.group_contains(DemoError, match=r"0 passages reached the platform, .*Connection refused")


async def test_a_broker_that_was_away_costs_no_passage(tmp_path: Path) -> None:
    async with demo(tmp_path, passages=6) as run:
        config, broker = (
            (await run.says(r"^broker +(mosquitto -c \S+ \(pid \d+)")).removeprefix("mosquitto -c ").split(" (pid ")
        )
        before = len(await run.spoken(1))
        os.kill(int(broker), signal.SIGKILL)
        await run.spoken(before + 2)
        again = await asyncio.create_subprocess_exec("mosquitto", "-c", config, stderr=asyncio.subprocess.DEVNULL)
        try:
            report = await run.report()
            spoken = await run.spoken(1)
        finally:
            again.terminate()
            await again.wait()
    assert report["passages"] >= len(spoken)
    assert (report["outbox_left"], report["duplicates_at_platform"]) == (0, 0)

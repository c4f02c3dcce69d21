"""The agent ends as asked even while a thread hangs inside OpenCV, and not by an abort."""

import asyncio
import os
import sys
from pathlib import Path

from config.settings import parse_settings
from edge_agent.diagnostics.status_client import AgentNotResponding, ask_agent
from tests.edge_agent.town import settings_text
from tests.limits import HANG_S

HANGS_UNTIL_S = 3.6  # a little longer than the agent waits for its threads


async def answers(port: int) -> None:
    """Wait until the agent answers."""
    async with asyncio.timeout(HANG_S):
        while True:
            try:
                await asyncio.to_thread(ask_agent, "127.0.0.1", port)
            except AgentNotResponding:
                await asyncio.sleep(0.05)
            else:
                return


async def test_an_agent_whose_camera_hangs_ends_well_when_it_is_stopped(tmp_path: Path) -> None:
    pipe = tmp_path / "camera.avi"
    os.mkfifo(pipe)  # OpenCV opens it for ever: nobody writes to it
    config = tmp_path / "sentinel.toml"
    config.write_text(settings_text(tmp_path, str(pipe)), encoding="utf-8")
    command = [sys.executable, "-m", "edge_agent.commands.cli", "run", "--config", str(config)]
    with (tmp_path / "said").open("wb") as said:
        process = await asyncio.create_subprocess_exec(*command, stdout=said, stderr=said)
        await answers(parse_settings(config.read_text(encoding="utf-8")).kiosk.port)
        process.terminate()
        await asyncio.sleep(HANGS_UNTIL_S)
        writer = os.open(pipe, os.O_RDWR)  # OpenCV comes back in the middle of the end
        try:
            code = await asyncio.wait_for(process.wait(), HANG_S)
        finally:
            os.close(writer)
    text = (tmp_path / "said").read_text(encoding="utf-8")
    assert code == 0, text
    assert "Fatal" not in text

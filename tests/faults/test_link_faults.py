"""A box behind a faulty network: every record arrives exactly once."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from pathlib import Path

import pytest

from sync.edge.link.sender import SenderSettings
from tests.faults.proxy import Fault, FaultProxy
from tests.faults.scale import ROUNDS
from tests.sync.city import Mosquitto, a_box, a_platform, eventually, link_settings, mixed
from tests.sync.test_city_link import is_connected, settled

PATIENCE = {"reply_timeout_s": 0.5, "keepalive_s": 1, "connect_timeout_s": 1.0}


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.NONE])
async def test_one_fault_and_everything_arrives_once(tmp_path: Path, broker: Mosquitto, fault: Fault) -> None:
    async with FaultProxy.to(broker.port) as proxy, a_platform(tmp_path / "platform", broker.url) as platform:
        settings = link_settings(f"mqtt://127.0.0.1:{proxy.port}", **PATIENCE)
        async with a_box(tmp_path / "box", settings) as box:
            await box.ledger.append_all(mixed(30))
            await eventually(box.all_acknowledged)
            proxy.set(fault)
            await box.ledger.append_all(mixed(30, 30))
            if fault is not Fault.CRAWL:
                await eventually(lambda: is_connected(box, False))
            proxy.set(Fault.NONE)
            await settled(platform, box, 60)


async def test_a_half_open_connection_is_detected_without_traffic(tmp_path: Path, broker: Mosquitto) -> None:
    """A half-open connection receives neither FIN nor RST and is detected only by timeouts."""
    async with FaultProxy.to(broker.port) as proxy:
        settings = link_settings(f"mqtt://127.0.0.1:{proxy.port}", health_s=60.0, **PATIENCE)
        async with a_box(tmp_path / "box", settings) as box:
            await eventually(lambda: is_connected(box, True))
            proxy.set(Fault.SILENCE)
            await eventually(lambda: is_connected(box, False))


@pytest.mark.parametrize("seed", range(ROUNDS))
async def test_many_faults_lose_and_duplicate_nothing(tmp_path: Path, broker: Mosquitto, seed: int) -> None:
    dice = random.Random(seed)
    async with FaultProxy.to(broker.port) as proxy, a_platform(tmp_path / "platform", broker.url) as platform:
        settings = replace(
            link_settings(f"mqtt://127.0.0.1:{proxy.port}", **PATIENCE), sender=SenderSettings(resend_s=0.3, lost_s=3.0)
        )
        async with a_box(tmp_path / "box", settings) as box:
            for first in range(0, 400, 20):
                proxy.set(dice.choice(list(Fault)))
                await box.ledger.append_all(mixed(20, first))
                await asyncio.sleep(dice.uniform(0, 0.1))
            proxy.set(Fault.NONE)
            await settled(platform, box, 400)

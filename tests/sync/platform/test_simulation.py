"""The simulated district, small and with faults."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from sync.errors import LinkLost
from sync.platform.commands.cli import app
from sync.platform.simulation.day import arrivals_s, intensity, passage
from sync.platform.simulation.gate import AcceptGate
from sync.platform.simulation.report import most_within, percentiles, simulate
from sync.platform.simulation.timeline import Simulation
from tests.limits import HANG_S
from tests.sync.certificates import Authority
from tests.sync.city import mosquitto


def test_a_day_has_its_peaks_and_its_mean() -> None:
    level = [intensity(minute / 1440) for minute in range(1440)]
    assert sum(level) / len(level) == pytest.approx(1)
    busiest = sorted({hour for hour in range(24) if level[60 * hour] > 2})
    assert busiest == [7, 8, 18, 19]
    came = list(arrivals_s(Random(1), per_hour=1000, length_s=3600))
    assert came == sorted(came) == list(arrivals_s(Random(1), per_hour=1000, length_s=3600))
    assert 900 < len(came) < 1100
    assert len({record.TYPE for _ in range(300) for record in passage(Random(_))[0]}) == 2


@settings(max_examples=50)
@given(st.lists(st.floats(0, 100)), st.floats(0.5, 10))
def test_the_most_within_a_window(times_s: list[float], window_s: float) -> None:
    slow = max((sum(at_s <= each < at_s + window_s for each in times_s) for at_s in times_s), default=0)
    assert most_within(times_s, window_s) == slow


def test_figures_of_nothing_and_of_something() -> None:
    assert percentiles([]) == {"count": 0}
    assert percentiles([0.001, 0.003, 0.002]) == {"count": 3, "p50": 2.0, "p99": 3.0, "max": 3.0}


async def test_the_gate_rejects_connections_above_its_rate() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(100))
        writer.close()

    async def knock(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(b"hello")
            return await reader.read(100)
        except ConnectionError:
            return b""
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    gate = AcceptGate(server.sockets[0].getsockname()[1], admit_per_s=5)
    async with server, gate.opened() as port:
        heard = await asyncio.gather(*(knock(port) for _ in range(12)))
    assert heard.count(b"hello") == gate.admitted
    assert len(gate.attempts_s) == 12
    assert 5 <= gate.admitted <= 5 + 5 * (gate.attempts_s[-1] - gate.attempts_s[0])


@pytest.mark.parametrize("tls", [False, True])
async def test_a_district_loses_its_broker_and_nothing_else(tmp_path: Path, tls: bool) -> None:
    told: list[str] = []
    settings = Simulation(
        tmp_path, boxes=6, minutes=0.05, per_hour=6000, tls=tls, backlog=120, outage_s=0.5, admit_per_s=50, revoke=1
    )
    report = await simulate(settings, told.append)
    assert report["records"] == report["acknowledged"] == report["at_platform"]["records"] > 720
    assert (report["at_platform"]["lost"], report["at_platform"]["duplicates"]) == (0, 0)
    assert report["boxes_not_drained"] == 0
    assert report["latency_ms"]["revocation"]["count"] == 6
    assert report["outage"]["attempts"] >= 6
    assert any(line.startswith("all boxes reconnected") for line in told)
    json.dumps(report)


def test_an_unsafe_broker_address_is_reported() -> None:
    result = CliRunner().invoke(
        app, ["simulate", "--boxes", "1", "--broker", "mqtt://city.example", "--minutes", "0.01"]
    )
    assert (result.exit_code, "Plain MQTT is allowed on loopback only" in result.stderr) == (2, True)


async def failed_simulation(settings: Simulation) -> str:
    """Why it ended."""
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.timeout(HANG_S):
            await simulate(settings, lambda _: None)
    assert caught.group_contains(LinkLost)
    found: BaseException = caught.value
    while isinstance(found, ExceptionGroup):
        [found] = found.exceptions
    return str(found)


async def test_boxes_that_the_broker_refuses_end_the_simulation(tmp_path: Path) -> None:
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    server = theirs.certificate("localhost")
    extra = f"cafile {server.ca}\ncertfile {server.certificate}\nkeyfile {server.key}\nrequire_certificate true\n"
    with mosquitto(tmp_path / "broker", extra=extra) as broker:
        url = f"mqtts://localhost:{broker.port}"
        settings = Simulation(tmp_path / "run", 2, 0.01, 60, broker=url, tls=True, refused_limit_s=0.2)
        untrusted = await failed_simulation(replace(settings, files=ours.certificate("box")))
        refused = await failed_simulation(
            replace(settings, folder=tmp_path / "again", files=replace(ours.certificate("box"), ca=theirs.ca))
        )
    assert "2 of 2 boxes did not connect" in untrusted
    assert "not signed by a trusted authority" in untrusted
    assert "The peer does not know the authority that signed our certificate" in refused


async def test_a_platform_that_is_not_there_ends_the_simulation(tmp_path: Path) -> None:
    with mosquitto(tmp_path / "broker") as broker:
        settings = Simulation(tmp_path / "run", 2, 0.01, 60, broker=broker.url, stall_limit_s=0.5)
        assert "the platform does not answer" in await failed_simulation(settings)


async def test_a_platform_that_ends_ends_the_simulation(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.write_text("no database")
    why = await failed_simulation(Simulation(tmp_path / "run", 1, 0.01, 60, store=str(store)))
    assert why.startswith("platform ended with 1: ")
    assert str(store) in why


async def test_a_stopped_simulation_leaves_nothing_behind(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from sync.platform.commands.cli import main; main()", "simulate", "--boxes", "2"),
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert process.stderr is not None
    await process.stderr.readline()  # boxes are open: the broker and the platform run
    process.terminate()
    async with asyncio.timeout(HANG_S):
        assert b"Traceback" not in await process.stderr.read()
        assert await process.wait() == 1
    assert list(tmp_path.iterdir()) == []

"""The platform's own rooms: store, import, page and command line."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from typer.testing import CliRunner

from sync.contract.health import Colour
from sync.contract.records import RecordId, encode_record
from sync.errors import BadMessage
from sync.platform.cli import app
from sync.platform.importer import import_jsonl, read_community_key
from sync.platform.source import DirectorySource
from sync.platform.store import Arrival, RecordStore
from tests.sync.city import COMMUNITY_KEY, Mosquitto, free_port, mixed, number, passage, status_of

EPOCH = "0123456789abcdef"
NOW = datetime.now(UTC)


def arrivals(count: int, box: str = "box-1", first: int = 0) -> list[Arrival]:
    return [
        Arrival.read(RecordId(box, EPOCH, first + seq), record.TYPE, NOW, NOW, encode_record(record))
        for seq, record in enumerate(mixed(count, first), start=1)
    ]


async def test_what_comes_twice_is_stored_once(tmp_path: Path) -> None:
    async with RecordStore.opened(tmp_path / "records.db") as store:
        assert await store.insert(arrivals(10)) == 10
        assert await store.insert(arrivals(15)) == 5
        assert await store.insert([]) == 0
    async with RecordStore.opened(tmp_path / "records.db") as store:
        totals = await store.totals(NOW - timedelta(hours=1), alarms=10)
        assert (sum(totals.kinds.values()), totals.redelivered, totals.duplicates) == (15, 10, 0)
        assert totals.verdicts_today == {"box-1": {"admit": 6}}
        assert len(totals.alarms) == 3
        assert (await store.totals(NOW + timedelta(hours=1), alarms=10)).verdicts_today == {}


async def test_one_passage_under_two_numbers_is_seen_as_a_duplicate(tmp_path: Path) -> None:
    async with RecordStore.opened(tmp_path / "records.db") as store:
        for seq in (1, 2, 3):
            body = encode_record(passage(7))
            await store.insert([Arrival.read(RecordId("box-1", EPOCH, seq), passage(7).TYPE, NOW, NOW, body)])
        assert (await store.totals(NOW, alarms=1)).duplicates == 2


def test_a_kind_of_a_newer_box_is_kept_as_it_is() -> None:
    name = RecordId("box-1", EPOCH, 1)
    assert Arrival.read(name, "sentinel.future", NOW, NOW, b'{"x": 1}').subject is None
    with pytest.raises(BadMessage):
        Arrival.read(name, "sentinel.future", NOW, NOW, b"no json")


def line(index: int, **changes: object) -> str:
    fields = {
        "number": number(index),
        "colour": "green",
        "as_of": "2022-04-01T08:00:00+08:00",
        "sampled_at": "2022-04-01T06:00:00+08:00",
        "reported_at": None,
        "result": "negative",
        "lists": ["watch"],
    }
    return json.dumps({**fields, **changes})


async def test_an_import_takes_the_good_lines_and_tells_of_the_others(tmp_path: Path) -> None:
    path = tmp_path / "people.jsonl"
    bad = ["{", line(3, colour="blue"), line(4, as_of="2022-04-01T08:00:00"), line(5, number=" "), line(6, name="A")]
    path.write_text("\n".join([line(1), *bad, "", line(2, colour="red"), line(1)]))
    async with DirectorySource.opened(tmp_path / "source.db") as source:
        report = await import_jsonl(source, path, COMMUNITY_KEY)
        assert (report.read, report.changed) == (9, 2)
        assert [where for where, _ in report.refused] == [2, 3, 4, 5, 6]
        assert not re.search(r"\d{6}", str(report))
        status = await source.status(status_of(2).person_key)
        assert status is not None
        assert (status.colour, status.lists) == (Colour.RED, ("watch",))
        again = await import_jsonl(source, path, COMMUNITY_KEY)
        assert again.changed == 0
    assert number(1).encode() not in (tmp_path / "source.db").read_bytes()


def test_a_community_key_is_hex(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{COMMUNITY_KEY.hex()}\n")
    assert read_community_key(tmp_path / "key") == COMMUNITY_KEY
    (tmp_path / "key").write_text("not hex")
    with pytest.raises(ValueError, match="hex"):
        read_community_key(tmp_path / "key")


@pytest.mark.parametrize("number_of_signal", [signal.SIGINT, signal.SIGTERM])
async def test_serve_runs_until_it_is_told_to_stop(
    tmp_path: Path, broker: Mosquitto, number_of_signal: signal.Signals
) -> None:
    (tmp_path / "key").write_text(COMMUNITY_KEY.hex())
    (tmp_path / "people.jsonl").write_text(f"{line(1)}\n{{\n")
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", "from sync.platform.cli import main; main()", "serve"),
        *("--broker", broker.url, "--data", str(tmp_path / "data"), "--http", f"127.0.0.1:{port}"),
        *("--directory", str(tmp_path / "people.jsonl"), "--community-key-file", str(tmp_path / "key")),
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    async with asyncio.timeout(20), aiohttp.ClientSession() as session:
        page = await page_once_there(session, f"http://127.0.0.1:{port}/")
        assert "电子哨兵" in page
        async with session.get(f"http://127.0.0.1:{port}/api/stats") as answer:
            figures = json.loads(await answer.read())
        expected = {"records", "passages", "closed", "alarms", "duplicates", "redelivered", "boxes"}
        assert expected <= figures.keys()
        process.send_signal(number_of_signal)
        assert process.stderr is not None
        said = (await process.stderr.read()).decode()
        assert await process.wait() == 0
    assert "line 2 refused" in said
    assert "Traceback" not in said


async def page_once_there(session: aiohttp.ClientSession, url: str) -> str:
    while True:
        try:
            async with session.get(url) as answer:
                return await answer.text()
        except aiohttp.ClientConnectorError:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--broker", "mqtt://city.example"], "plain MQTT stays on this machine"),
        (["--district", "Nord!"], "must match"),
        (["--http", "8090"], "host:port"),
        (["--directory", "people.jsonl"], "--community-key-file"),
        (["--broker", "mqtts://localhost", "--ca", "missing.pem"], "certificates"),
    ],
)
def test_serve_refuses_what_it_cannot_do(tmp_path: Path, arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["serve", "--data", str(tmp_path), *arguments])
    assert result.exit_code == 1
    assert said in result.stderr

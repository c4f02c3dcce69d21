"""The platform's own rooms: store, import, page and command line."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from typer.testing import CliRunner

from sync.contract.health import Colour
from sync.platform.cli import app
from sync.platform.importer import import_file, read_community_key
from sync.platform.source import DirectorySource
from tests.limits import HANG_S
from tests.ports import free_port
from tests.sync.city import COMMUNITY_KEY, Mosquitto, number, running, status_of


def person(index: int, **changes: object) -> dict[str, object]:
    """One row of a directory file."""
    fields: dict[str, object] = {
        "number": number(index),
        "colour": "green",
        "as_of": "2022-04-01T08:00:00+08:00",
        "sampled_at": "2022-04-01T06:00:00+08:00",
        "reported_at": None,
        "result": "negative",
        "lists": ["watch", "white:medical"],
    }
    return {**fields, **changes}


FIELDS = ("number", "colour", "as_of", "sampled_at", "reported_at", "result", "lists")
SECRET = number(3)  # stands wherever a value can be wrong: no reason may quote it
BAD = [
    ({"colour": SECRET}, "colour: must be one of green, yellow, red, grey"),
    ({"as_of": "2022-04-01T08:00:00"}, "as_of: must be a time with its offset"),
    ({"as_of": SECRET}, "as_of: must be a time"),
    ({"sampled_at": SECRET}, "sampled_at: must be a time"),
    ({"result": SECRET}, "result: must be one of negative"),
    ({"number": "+86 1"}, "number: must be 6 to 24"),
    ({"number": f"{SECRET}/{SECRET}"}, "number: must be 6 to 24"),
]


def as_jsonl(rows: list[dict[str, object]]) -> str:
    return "\n".join(json.dumps(row) for row in rows)


def as_csv(rows: list[dict[str, object]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, FIELDS)
    writer.writeheader()
    for row in rows:
        writer.writerow({**row, "lists": ";".join(row["lists"])})  # type: ignore[arg-type]
    return "\ufeff" + out.getvalue()


@pytest.mark.parametrize(("ending", "write", "first"), [("jsonl", as_jsonl, 2), ("csv", as_csv, 3)])
async def test_an_import_takes_the_good_rows_and_tells_of_the_others(
    tmp_path: Path, ending: str, write: Callable[[list[dict[str, object]]], str], first: int
) -> None:
    path = tmp_path / f"people.{ending}"
    rows = [person(1), *(person(4, **changes) for changes, _ in BAD), person(2, colour="red"), person(1)]
    path.write_text(write(rows), encoding="utf-8")
    seen: list[int] = []
    async with DirectorySource.opened(tmp_path / "source.db") as source:
        report = await import_file(source, path, COMMUNITY_KEY, seen.append)
        assert (report.read, report.changed) == (len(rows), 2)
        assert [line for line, _ in report.refused] == list(range(first, first + len(BAD)))
        for (_, reason), (_, expected) in zip(report.refused, BAD, strict=True):
            assert reason.startswith(expected)
        assert SECRET not in str(report)
        status = await source.status(status_of(2).person_key)
        assert status is not None
        assert (status.colour, status.lists) == (Colour.RED, ("watch", "white:medical"))
        assert (await import_file(source, path, COMMUNITY_KEY)).changed == 0
    assert sum(seen) == path.stat().st_size
    for file in tmp_path.glob("source.db*"):
        assert number(1).encode() not in file.read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("people.txt", b"", "ending"),
        ("people.csv", b"number,colour,as_of,telephone\n", "unknown columns: telephone"),
        ("people.csv", "number,colour,as_of,lists\n1,\u7eff".encode("gbk"), "utf-8"),
    ],
)
async def test_a_file_that_is_no_directory_is_refused_whole(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    async with DirectorySource.opened(tmp_path / "source.db") as source:
        with pytest.raises(ValueError, match=said):
            await import_file(source, tmp_path / name, COMMUNITY_KEY)
        assert source.last_op == 0


@pytest.mark.parametrize("text", ["{", "[]", '{"number": "999999199001010016"}', '{"number": 1, "x": 2}', "\x00"])
async def test_no_line_stops_an_import(tmp_path: Path, text: str) -> None:
    path = tmp_path / "people.jsonl"
    path.write_text(f"{text}\n\n{json.dumps(person(1))}")
    async with DirectorySource.opened(tmp_path / "source.db") as source:
        report = await import_file(source, path, COMMUNITY_KEY)
    assert (report.read, report.changed, [line for line, _ in report.refused]) == (2, 1, [1])
    assert "99999" not in str(report)


async def test_an_import_beside_a_running_platform_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(COMMUNITY_KEY.hex())
    people = tmp_path / "people.csv"
    people.write_text(as_csv([person(index) for index in range(3)] + [person(9, colour="blue")]))
    arguments = ["directory", "import", str(people), "--data", str(tmp_path), "--json"]
    async with DirectorySource.opened(tmp_path / "directory.db") as source, running(source.follow(0.01)):
        moved = asyncio.Event()
        with source.watched(moved):
            result = await asyncio.to_thread(
                CliRunner().invoke, app, [*arguments, "--community-key-file", str(tmp_path / "key")]
            )
            await asyncio.wait_for(moved.wait(), HANG_S)
        assert source.last_op == 3
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert (report["read"], report["changed"], report["refused"][0][0]) == (4, 3, 5)


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
    (tmp_path / "people.jsonl").write_text(f"{json.dumps(person(1))}\n{{\n")
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", "from sync.platform.cli import main; main()", "serve"),
        *("--broker", broker.url, "--data", str(tmp_path / "data"), "--http", f"127.0.0.1:{port}"),
        *("--directory", str(tmp_path / "people.jsonl"), "--community-key-file", str(tmp_path / "key")),
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    async with asyncio.timeout(HANG_S), aiohttp.ClientSession() as session:
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

"""The platform: directory import, services and command line."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from typer.testing import CliRunner

from sync.contract.health import Colour
from sync.errors import StoreFailed
from sync.platform.commands.cli import app
from sync.platform.directory.importer import import_file, read_community_key
from sync.platform.directory.store import DirectoryStore
from sync.platform.service import PlatformService, ServiceSettings
from tests.limits import HANG_S
from tests.ports import free_port
from tests.sync.city import COMMUNITY_KEY, Mosquitto, a_platform, number, running, status_of


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


def exemption(hours: float, **changes: object) -> dict[str, object]:
    """The fields of an exemption that ends `hours` after the row's `as_of`."""
    until = (datetime.fromisoformat("2022-04-01T08:00:00+08:00") + timedelta(hours=hours)).isoformat()
    return {"lists": ["exempt:dialysis"], "exempt_until": until, "exempt_by": "Street office", **changes}


FIELDS = ("number", "colour", "as_of", "sampled_at", "reported_at", "result", "lists", "exempt_until", "exempt_by")
SECRET = number(3)  # stands wherever a value can be wrong: no reason may quote it
BAD = [
    ({"colour": SECRET}, "colour: must be one of green, yellow, red, grey"),
    ({"as_of": "2022-04-01T08:00:00"}, "as_of: must be a time with its offset"),
    ({"as_of": SECRET}, "as_of: must be a time"),
    ({"sampled_at": SECRET}, "sampled_at: must be a time"),
    ({"sampled_at": "2222-04-01T08:00:00Z"}, "sampled_at: must be a time with its offset, such as"),
    ({"as_of": "0001-01-01T00:00:00+23:00"}, "as_of: must be a time"),
    ({"result": SECRET}, "result: must be one of negative"),
    ({"number": "+86 1"}, "number: neither an ID number, which has seventeen"),
    ({"number": f"{SECRET}/{SECRET}"}, "number: neither an ID number"),
    ({"number": SECRET[:10] + "1" + SECRET[11:]}, "number: the check digit is wrong"),
    ({"number": SECRET[:-3] + "000"}, "number: the check digit is wrong; the last three digits are 000, as a"),
    ({"number": "999999199002300014"}, "number: the date of birth does not exist"),
    ({"number": SECRET[:17]}, "number: neither an ID number"),
    ({"number": SECRET[:6] + SECRET[8:17]}, "number: 15 digits: a number without a check digit"),
    ({"number": "9.99999E+17"}, "number: digits are lost to scientific notation"),
    ({"number": "16000000001"}, "number: 11 digits, as of a telephone"),
    ({"lists": ["vip"]}, "lists: 'vip' is unknown; accepted: watch, key_worker, white, exempt"),
    ({"lists": ["watch", "whitelist:resident"]}, "lists: 'whitelist:resident' is unknown"),
    ({"lists": ["Watch"]}, "lists: 'Watch' is unknown"),
    ({"lists": ["watch:"]}, "lists: 'watch:' is unknown"),
    ({"lists": ["白名单"]}, "lists: a name with characters other than a-z"),
    ({"lists": [f"watch:{SECRET}"]}, "lists: must be names without long numbers"),
    ({"lists": ["exempt:dialysis"]}, "exempt_until: must be a time with its offset, at most 72 h"),
    (exemption(72.1), "exempt_until: must be"),
    (exemption(0), "exempt_until: must be"),
    (exemption(24, lists=["exempt"]), "exempt_until: must be"),
    (exemption(24, lists=["white:resident"]), "exempt_until: must be"),
    (exemption(24, exempt_by=""), "exempt_until: must be"),
    (exemption(24, exempt_until="2022-04-02T08:00:00"), "exempt_until: must be"),
    (exemption(24, exempt_by=SECRET), "exempt_by: must be who granted"),
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
async def test_an_import_takes_valid_rows_and_reports_the_others(
    tmp_path: Path, ending: str, write: Callable[[list[dict[str, object]]], str], first: int
) -> None:
    path = tmp_path / f"people.{ending}"
    rows = [person(1), *(person(4, **changes) for changes, _ in BAD), person(2, colour="red"), person(1)]
    path.write_text(write(rows), encoding="utf-8")
    seen: list[int] = []
    async with DirectoryStore.opened(tmp_path / "source.db") as source:
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
        ("people.txt", b"", "suffix"),
        ("people.csv", b"number,colour,as_of,telephone\n", "unknown columns: telephone"),
        ("people.csv", b"number,colour,as_of,number\n", "twice"),
        ("people.csv", f"{SECRET},green,2022-04-01T08:00:00+08:00\n".encode(), "the first line must name"),
        ("people.csv", b"number;colour;as_of\n", "with commas between"),
        ("people.csv", b"number,colour,as_of\r1,2,3\r", "the lines end in CR alone.*first line must name"),
        ("people.jsonl", f'{{"number": "{SECRET}"}}\r{{}}'.encode(), "the lines end in CR alone"),
        ("people.csv", b"", "the first line must name"),
        ("people.csv", as_csv([person(1)] * 1500).encode() + "1,\u7eff".encode("gbk"), "line 1502 is not UTF-8"),
        ("people.jsonl", as_jsonl([person(1)] * 1500).encode() + b'\n{"number": "\xff"}', "line 1501 is not UTF-8"),
        ("people.jsonl", b"x" * 100_000, "line 1 is longer"),
        ("people.csv", as_csv([person(1)]).encode("utf-16"), "line 1 is not UTF-8: save the file as UTF-8"),
    ],
)
async def test_a_file_that_is_not_a_directory_is_rejected_completely(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    async with DirectoryStore.opened(tmp_path / "source.db") as source:
        with pytest.raises(ValueError, match=said) as refused:
            await import_file(source, tmp_path / name, COMMUNITY_KEY)
        assert source.last_op == 0
    assert SECRET not in str(refused.value)


async def test_a_spreadsheet_is_taken_as_it_was_saved(tmp_path: Path) -> None:
    at = "2022-04-01T08:00:00Z"
    rows = [
        f"{number(1)},green,{at},",
        f'{number(2)},"red,{at}',
        f" {number(3)} , red ,{at}",
        f"a\r{number(5)},red,{at}",
    ]
    (tmp_path / "people.csv").write_bytes(
        "\r\n".join(["\ufeffnumber , colour,as_of,", *rows, ",,,", ' , "",,', ",,,", ""]).encode()
    )
    (tmp_path / "people.jsonl").write_text("\ufeff" + as_jsonl([person(4)]))
    async with DirectoryStore.opened(tmp_path / "source.db") as source:
        report = await import_file(source, tmp_path / "people.csv", COMMUNITY_KEY)
        assert (report.read, report.changed, report.blank) == (4, 2, 3)
        assert [line for line, _ in report.refused] == [3, 5]
        assert report.refused[0] == (3, "unbalanced quotes")
        assert "a line end without LF" in report.refused[1][1]
        assert (await import_file(source, tmp_path / "people.jsonl", COMMUNITY_KEY)).changed == 1


@pytest.mark.parametrize("field", ["as_of", "sampled_at", "reported_at"])
async def test_a_time_ahead_of_the_clock_is_rejected(tmp_path: Path, field: str) -> None:
    """A local time that is written as UTC is eight hours ahead; it would make the data of these hours older."""
    now = datetime.now(UTC)
    rows = [person(1, **{field: (now + timedelta(minutes=minutes)).isoformat()}) for minutes in (480, 6, 4)]
    (tmp_path / "people.jsonl").write_text(as_jsonl(rows))
    async with DirectoryStore.opened(tmp_path / "source.db") as source:
        report = await import_file(source, tmp_path / "people.jsonl", COMMUNITY_KEY)
    assert report.changed == 1
    assert [(line, reason.startswith(f"{field}: must be a time")) for line, reason in report.refused] == [
        (1, True),
        (2, True),
    ]


@pytest.mark.parametrize("text", ["{", "[]", '{"number": "999999199001010016"}', '{"number": 1, "x": 2}', "\x00"])
async def test_no_line_stops_an_import(tmp_path: Path, text: str) -> None:
    path = tmp_path / "people.jsonl"
    path.write_text(f"{text}\n\n{json.dumps(person(1))}")
    async with DirectoryStore.opened(tmp_path / "source.db") as source:
        report = await import_file(source, path, COMMUNITY_KEY)
    assert (report.read, report.changed, [line for line, _ in report.refused]) == (2, 1, [1])
    assert "99999" not in str(report)


async def test_an_import_beside_a_running_platform_is_detected(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(COMMUNITY_KEY.hex())
    people = tmp_path / "people.csv"
    people.write_text(as_csv([person(index) for index in range(3)] + [person(9, colour="blue")]))
    arguments = ["directory", "import", str(people), "--data", str(tmp_path), "--json"]
    async with DirectoryStore.opened(tmp_path / "directory.db") as source, running(source.follow(0.01)):
        moved = asyncio.Event()
        with source.changes.subscribe(moved):
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
async def test_serve_runs_until_it_is_stopped(
    tmp_path: Path, broker: Mosquitto, number_of_signal: signal.Signals
) -> None:
    (tmp_path / "key").write_text(COMMUNITY_KEY.hex())
    (tmp_path / "people.jsonl").write_text(f"{json.dumps(person(1))}\n{{\n")
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", "from sync.platform.commands.cli import main; main()", "serve"),
        *("--broker", broker.url, "--data", str(tmp_path / "data"), "--http", f"127.0.0.1:{port}"),
        *("--directory", str(tmp_path / "people.jsonl"), "--community-key-file", str(tmp_path / "key")),
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[3],
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
    assert "line 2 rejected" in said
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
        (["--broker", "mqtt://city.example"], "Plain MQTT is allowed on loopback only"),
        (["--district", "Nord!"], "must match"),
        (["--http", "8090"], "host:port"),
        (["--directory", "people.jsonl"], "--community-key-file"),
        (["--broker", "mqtts://localhost", "--ca", "missing.pem"], "missing.pem: No such file"),
        (["--broker", "mqtts://localhost", "--key", "own.key"], "own.key is a key without a certificate"),
        (["--broker", "mqtt://user:secret@localhost"], "must not contain a user name"),
        (["--broker", "mqtt://user:secret@localhost:port"], "must not contain a user name"),
        (["--backlog-per-s", "inf"], "--backlog-per-s"),
    ],
)
def test_serve_refuses_what_it_cannot_do(tmp_path: Path, arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["serve", "--data", str(tmp_path), *arguments])
    assert result.exit_code == 2
    assert said in result.stderr
    assert "secret" not in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["ledger", "verify", "BOX"], 2, "must match"),
        (["ledger", "verify", "box-1", "2022-13-45"], 2, "2022-13-45"),
        (["command", "box-1", "say", "--arguments", "[1]"], 2, "JSON object"),
        (["command", "box-1", "say", "--arguments", "["], 2, "JSON object"),
        (["broadcast", "--text", "hello"], 2, "LANGUAGE=TEXT"),
        (["revoke", "--number-file", "-", "--colour", "green"], 2, "--colour"),
        (["simulate", "--minutes", "nan"], 2, "--minutes"),
        (["simulate", "--rate", "-1"], 2, "--rate"),
        (["ca", "init", "--url", "https://user:secret@city.example"], 2, "must be https://host:port"),
        (["broker", "config", "--out", "b", "--host", "h", "--owner", "unknown"], 2, "user 'unknown' does not exist"),
        (["policy", "publish", "empty"], 1, "empty contains no rules"),
        (["policy", "publish", "binary"], 1, "binary: is not UTF-8 text"),
        (["policy", "publish", "broken"], 1, "broken is not valid TOML"),
        (["policy", "publish", "nested"], 1, "nested is not valid TOML: nested too deeply"),
        (["policy", "publish", "absent"], 1, "absent: No such file"),
        (["revoke", "--number-file", "empty"], 1, "community.key: No such file"),
        (
            ["revoke", "--number-file", "empty", "--community-key-file", "binary"],
            1,
            "binary: is not UTF-8 text",
        ),
        (["command", "box-1", "say"], 1, "orders.key does not exist: create it with edge-platform keys init"),
        (["command", "box-1", "say", "--keys", "keys"], 1, "keys/orders.key: "),
        (["ingest", "--store", "text"], 1, "text is not an SQLite file"),
        (["ingest", "--store", "mysql://user:secret@host/name"], 1, "postgresql://user@host/name"),
        (["ingest", "--store", "postgresql://user:secret/more@host/name"], 1, "%2F for /"),
    ],
)
def test_every_command_reports_invalid_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], status: int, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    files = {
        "empty": b"",
        "binary": b"\xac\xff",
        "broken": b"a = = b",
        "nested": b"a = " + b"[" * 5000,
        "text": b"root:x:0:0\n",
        "keys/orders.key": b"x",
    }
    (tmp_path / "keys").mkdir()
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, arguments)
    assert (result.exit_code, isinstance(result.exception, SystemExit)) == (status, True)
    assert said in result.stderr
    assert "secret" not in result.stderr
    assert {name: (tmp_path / name).read_bytes() for name in files} == files
    assert sorted(path.name for path in tmp_path.iterdir()) == ["binary", "broken", "empty", "keys", "nested", "text"]


def ends_with_1(*arguments: str) -> str:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, arguments)
    assert (result.exit_code, isinstance(result.exception, SystemExit)) == (1, True)
    return result.stderr


def test_the_database_of_another_program_is_not_changed(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE bookmark (url)")
    before = (tmp_path / "other.db").read_bytes()
    assert "contains other data" in ends_with_1("ingest", "--store", str(tmp_path / "other.db"))
    assert (tmp_path / "other.db").read_bytes() == before
    edge_platform = CliRunner().invoke(app, ["ca", "init", "--url", "https://localhost", "--data", str(tmp_path)])
    assert edge_platform.exit_code == 0
    assert "contains other data" in ends_with_1("ingest", "--store", str(tmp_path / "boxes.db"))


async def test_two_platforms_never_serve_one_folder(tmp_path: Path, broker: Mosquitto) -> None:
    async with a_platform(tmp_path, broker.url):
        with pytest.raises(StoreFailed, match="another `serve` runs here"):
            await PlatformService(ServiceSettings(broker.url, "demo", tmp_path)).run()
    async with a_platform(tmp_path, broker.url):
        pass


@pytest.mark.parametrize(("verb", "made"), [(["keys", "init"], 3), (["ca", "init", "--url", "https://h"], 4)])
def test_keys_are_created_completely_or_not_at_all(small_disk: Path, verb: list[str], made: int) -> None:
    page = os.statvfs(small_disk).f_bsize
    for pages in range(20, -1, -1):
        shutil.rmtree(small_disk / "data", ignore_errors=True)
        (small_disk / "filler").unlink(missing_ok=True)
        room = os.statvfs(small_disk).f_bavail - pages
        (small_disk / "filler").write_bytes(bytes(room * page))
        result = CliRunner().invoke(app, [*verb, "--data", str(small_disk / "data")])
        there = [path for path in (small_disk / "data" / verb[0]).glob("*") if path.is_file()]
        assert len(there) == (made if result.exit_code == 0 else 0)
    assert result.exit_code == 1

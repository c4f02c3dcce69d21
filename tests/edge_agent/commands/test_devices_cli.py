"""`edge-agent devices` as an installer and a script meet it."""

from __future__ import annotations

import asyncio
import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from drivers.serial_line.ports import list_serial_ports
from drivers.simulated.devices.gy_mcu90640_module import encode_frame
from drivers.simulated.devices.sensor_frames import gy_mcu90614, tofsense
from drivers.simulated.devices.wire import PtyWire
from edge_agent.commands.cli import app
from tests.edge_agent.process import started
from tests.limits import HANG_S

FRAME = gy_mcu90614(36.5, 25.0)
AGENT = shlex.join([sys.executable, "-m", "edge_agent.commands.cli"])


def devices(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["devices", *map(str, arguments)])


def test_replay_prints_a_line_a_reading_and_then_the_counts(tmp_path: Path) -> None:
    bad = FRAME[:-1] + b"\x00"
    (tmp_path / "bytes").write_bytes(b"noise" + FRAME + bad + FRAME[:4] + FRAME)
    shown = devices("replay", "--driver", "gy-mcu90614", tmp_path / "bytes", "--json")
    *readings, counts = map(json.loads, shown.stdout.splitlines())
    assert readings == [{"object_c": 36.5, "ambient_c": 25.0}] * 2
    assert counts == {"frames": 2, "bad_checksum": 1, "resync_bytes": 18, "refused": 0, "other_frames": 0}
    assert shown.exit_code == 0


def test_replay_shows_pixels_where_they_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(encode_frame(np.full(768, 36.5), 25.0))
    plain = devices("replay", "--driver", "gy-mcu90640", tmp_path / "bytes")
    full = devices("replay", "--driver", "gy-mcu90640", tmp_path / "bytes", "--pixels")
    summary = {"rows": 24, "cols": 32, "ambient_c": 25.0, "max_c": 36.5, "min_c": 36.5, "mean_c": 36.5}
    assert json.loads(plain.stdout.splitlines()[0]) == summary
    assert json.loads(full.stdout.splitlines()[0]) == summary | {"pixels_c": [[36.5] * 32] * 24}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("replay", "--driver", "mlx", "FILE"), "accepted: gy-mcu90640"),
        (("replay", "FILE"), "give it with --driver: gy-mcu90640"),
        (("replay", "--driver", "optris", "/absent"), "cannot read /absent"),
        (("watch", "tof10120"), "--port"),
        (("watch", "camera", "--config", "CONFIG"), "not a device; accepted: thermometer, ranger, reader"),
        (("watch", "thermometer", "--config", "/absent"), "cannot be read"),
        (("watch", "ranger", "--config", "CONFIG"), "No device is connected: [ranger]"),
        (("watch", "gate", "--config", "CONFIG"), "sends no data by itself"),
        (("watch", "tof10120", "--port", "usb:1"), "accepted: a path, usb:VID:PID"),
        (("record", "tof10120", "FILE", "--port", "/dev/x"), "already exists"),
        (("simulate", "mlx", "FILE"), "accepted: gy-mcu90640"),
        (("simulate", "lcus", "FILE", "--fault", "fire"), "accepted: garbage, drop"),
        (("simulate", "lcus", "FILE"), "cannot create a port in"),
    ],
)
def test_what_cannot_be_done_is_said_with_what_can(tmp_path: Path, arguments: tuple[str, ...], named: str) -> None:
    (tmp_path / "file").write_bytes(FRAME)
    (tmp_path / "config").write_text('[gate]\ndriver = "lcus"\n', encoding="utf-8")
    places = {"FILE": str(tmp_path / "file"), "CONFIG": str(tmp_path / "config")}
    shown = devices(*(places.get(argument, argument) for argument in arguments))
    assert shown.exit_code == 2
    assert named in shown.stderr
    assert "Traceback" not in shown.output


def test_a_file_without_bytes_has_its_counts_and_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    shown = devices("replay", "--driver", "gy-mcu90614", tmp_path / "empty", "--json")
    assert (shown.exit_code, json.loads(shown.stdout)["frames"]) == (1, 0)
    assert "contains no data" in shown.stderr


def test_list_is_json_for_scripts() -> None:
    shown = json.loads(devices("list", "--json").stdout)
    assert len(shown) >= len(list_serial_ports())
    for port in shown[: len(list_serial_ports())]:
        keys = {"name", "device", "by_id", "vendor_id", "product_id", "serial", "location", "product", "console"}
        assert set(port) == keys


def test_probe_proposes_what_to_write_down(tmp_path: Path) -> None:
    shown = devices("probe", tmp_path / "absent", "--json")
    (port,) = json.loads(shown.stdout)["ports"]
    assert (port["driver"], json.loads(shown.stdout)["toml"]) == ("", "")
    assert "No such file" in port["note"]


async def speak(wire: PtyWire, frame: bytes) -> None:
    while True:
        wire.write(frame)
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("named", [False, True])
async def test_watch_shows_readings_with_their_age_until_it_is_stopped(tmp_path: Path, named: bool) -> None:
    config = tmp_path / "sentinel.toml"
    config.write_text(f'[ranger]\ndriver = "tofsense"\nport = "{tmp_path}/port"\n', encoding="utf-8")
    which = ("ranger", "--config", config) if named else ("tofsense", "--port", tmp_path / "port")
    with PtyWire(tmp_path / "port") as wire:
        async with asyncio.TaskGroup() as tasks, asyncio.timeout(HANG_S):
            speaking = tasks.create_task(speak(wire, tofsense(1234)))
            async with started("devices", "watch", *which, "--json") as watch:
                assert watch.stdout is not None
                news = [json.loads(await watch.stdout.readline()) for _ in range(2)]
                assert [(it["distance_mm"], it["state"]) for it in news] == [(1234, "measured")] * 2
                assert all(0 <= it["age_s"] < HANG_S for it in news)
                speaking.cancel()
                while "state" not in (lost := json.loads(await watch.stdout.readline())) or "age_s" in lost:
                    pass
                assert lost["detail"]
                watch.send_signal(signal.SIGINT)
                _, errors = await watch.communicate()
    assert (watch.returncode, b"Traceback" in errors) == (0, False)


async def test_watch_shows_the_bytes_of_a_reader_and_what_its_settings_take_off(tmp_path: Path) -> None:
    config = tmp_path / "sentinel.toml"
    config.write_text(f'[reader]\nport = "{tmp_path}/port"\nprefixes = ["QR:"]\nignore = ["ALIVE"]\n', encoding="utf-8")
    sent = {"code": b"]Q1QR:a code\r", "ignored": b"\0\0ALIVE\r", "not_text": b"\xff\x81 no text\r"}
    with PtyWire(tmp_path / "port") as wire:
        async with (
            asyncio.timeout(HANG_S),
            started("devices", "watch", "reader", "--config", config, "--json") as watch,
        ):
            assert watch.stdout is not None
            shown = {}
            for result, line in sent.items():
                async with asyncio.TaskGroup() as tasks:
                    speaking = tasks.create_task(speak(wire, line))
                    while (news := json.loads(await watch.stdout.readline())).get("result") != result:
                        pass
                    speaking.cancel()
                shown[result] = {name: news[name] for name in ("text", "raw", "taken_off")}
            watch.send_signal(signal.SIGINT)
            await watch.communicate()
    assert shown == {
        "code": {"text": "a code", "raw": r"]Q1QR:a code\x0d", "taken_off": "CR, ]Q1, QR:"},
        "ignored": {"text": "ALIVE", "raw": r"\x00\x00ALIVE\x0d", "taken_off": "NUL, CR"},
        "not_text": {"text": "", "raw": r"\xff\x81 no text\x0d", "taken_off": "CR, FF"},
    }


async def test_watch_ends_quietly_when_nobody_reads_it_any_more(tmp_path: Path) -> None:
    with PtyWire(tmp_path / "port") as wire:
        async with asyncio.TaskGroup() as tasks, asyncio.timeout(HANG_S):
            speaking = tasks.create_task(speak(wire, tofsense(1234)))
            line = f"{AGENT} devices watch tofsense --port {tmp_path}/port | head -n 1"
            shell = await asyncio.create_subprocess_exec(
                *("bash", "-c", f"set -o pipefail; {line}"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            output, errors = await shell.communicate()
            speaking.cancel()
    assert (shell.returncode, errors) == (1, b"")
    assert len(output.splitlines()) == 1


async def test_record_then_replay(tmp_path: Path) -> None:
    config, file = tmp_path / "sentinel.toml", tmp_path / "recording"
    config.write_text(
        f'[thermometer]\ndriver = "gy-mcu90614"\nport = "{tmp_path / "port"}"\nbaud = 9600\n', encoding="utf-8"
    )
    with PtyWire(tmp_path / "port") as wire:
        async with asyncio.TaskGroup() as tasks, asyncio.timeout(HANG_S):
            speaking = tasks.create_task(speak(wire, FRAME))
            async with started("devices", "record", "thermometer", file, "--config", config) as record:
                while not (file.exists() and file.stat().st_size > 30 * len(FRAME)):
                    await asyncio.sleep(0.02)
                record.send_signal(signal.SIGINT)
                output, errors = await record.communicate()
            speaking.cancel()
    assert (record.returncode, errors) == (0, b"")
    assert b"frames, 0 checksum errors" in output
    *readings, counts = map(json.loads, devices("replay", file).stdout.splitlines())
    assert len(readings) == counts["frames"] > 3
    assert all(reading["object_c"] == 36.5 and 0 <= reading["at_s"] < HANG_S for reading in readings)


def replayed(file: Path) -> tuple[list[dict[str, float]], dict[str, int]]:
    """The readings of a recording and its counts."""
    *told, counts = map(json.loads, devices("replay", file, "--json").stdout.splitlines())
    return told, counts


def holds_enough(file: Path, *, readings: bool, damage: bool) -> bool:
    """Whether a recording that still grows holds what is looked for in it."""
    if not (file.exists() and file.stat().st_size):
        return False
    told, counts = replayed(file)
    return (bool(told) or not readings) and (counts["resync_bytes"] > 0 or not damage)


@pytest.mark.parametrize(
    ("driver", "fault", "readings", "damage"),
    [
        ("gy-614v", "wrong-checksum", True, True),
        ("optris", "glue", True, False),  # whose answers about its head nobody could tell from the others
        ("sam-v", "garbage", False, True),  # whose cards are not recorded
        ("qr-line", "", True, False),
    ],
)
async def test_a_simulated_device_is_recorded_and_replayed(
    tmp_path: Path, driver: str, fault: str, readings: bool, damage: bool
) -> None:
    file, faulty = tmp_path / "recording", ("--fault", fault) if fault else ()
    async with (
        asyncio.timeout(HANG_S),
        started("devices", "simulate", driver, tmp_path / "bench", *faulty) as simulated,
    ):
        assert simulated.stdout is not None
        assert await simulated.stdout.readline() == f'port = "{tmp_path}/bench/by-id"\n'.encode()
        async with started("devices", "record", driver, file, "--port", tmp_path / "bench/by-id") as record:
            while not holds_enough(file, readings=readings, damage=damage):
                await asyncio.sleep(0.1)
            record.send_signal(signal.SIGINT)
            _, errors = await record.communicate()
        simulated.send_signal(signal.SIGINT)
        _, trouble = await simulated.communicate()
    assert (record.returncode, errors, simulated.returncode, trouble) == (0, b"", 0, b"")
    assert not (tmp_path / "bench/by-id").exists()
    told, counts = replayed(file)
    assert bool(told) is readings
    assert (counts["resync_bytes"] > 0) is damage
    assert all(30 < reading.get("object_c", 36) < 40 for reading in told)


def test_nothing_that_came_is_told_and_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(FRAME)
    shown = devices("record", "tof10120", tmp_path / "new", "--port", tmp_path / "file", "--seconds", "0.1")
    assert (shown.exit_code, (tmp_path / "new").exists()) == (1, False)
    assert "No data from" in shown.stderr
    assert "not a serial port" in devices("probe", tmp_path / "file").stdout

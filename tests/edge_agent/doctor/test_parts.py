"""What doctor does with devices: it hears the speaker, never pulses a gate unasked, disturbs no running agent."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from config.settings import parse_settings
from drivers.audio.sound import RATE_HZ
from drivers.audio.speaker import make_speaker
from drivers.contract import PartFault
from drivers.simulated.devices.camera import CameraMode, SimulatedCamera
from drivers.simulated.devices.device_simulator import simulate_device
from drivers.simulated.devices.faults import FaultyWire
from drivers.simulated.devices.gate import SimulatedRelay
from drivers.simulated.devices.thermal_scene import SimulatedThermometer, ThermalScene, WarmFace
from drivers.simulated.devices.wire import PtyWire
from edge_agent.box.wall_clock import WallClock
from edge_agent.calibration.correction import CalibrationPoint, calibration_from, save_calibration
from edge_agent.commands.cli import app
from edge_agent.diagnostics.status_client import ask_agent
from edge_agent.doctor import devices, keys, measuring, stored
from edge_agent.doctor.device_check import running
from edge_agent.doctor.report import Check, CheckResult, CheckStatus, Site
from edge_agent.doctor.run_checks import run_check, run_checks
from edge_agent.doctor.sound_check import LEAST_DB, LISTEN_S, hear, tone, tone_over_room_db
from tests.drawn import bare_face
from tests.edge_agent.clocks import moment
from tests.edge_agent.town import town
from tests.rights import without_rights
from tests.sync.city import running as under_way

ROOM = (np.random.default_rng(3).normal(0, 200, int(LISTEN_S * RATE_HZ))).astype(np.int16)


def recording(loudness: float) -> np.ndarray:
    """A second and a half of a room in which the tone sounds."""
    heard = ROOM.astype(np.float64)
    played = tone().samples * loudness
    heard[RATE_HZ // 2 : RATE_HZ // 2 + len(played)] += played
    return heard.clip(-32768, 32767).astype(np.int16)


@pytest.mark.parametrize("loudness", [0.05, 0.3, 1.0])
def test_the_tone_is_heard_in_a_noisy_room(loudness: float) -> None:
    assert tone_over_room_db(recording(loudness)) >= LEAST_DB


@pytest.mark.parametrize("heard", [ROOM, np.zeros_like(ROOM), ROOM[:100]], ids=["room", "dead", "short"])
def test_a_room_without_the_tone_is_no_tone(heard: np.ndarray) -> None:
    assert tone_over_room_db(heard) < LEAST_DB


async def test_the_tone_is_played_while_the_microphone_listens() -> None:
    asked = []

    def microphone(seconds: float) -> np.ndarray:
        asked.append(seconds)
        return recording(0.5)

    speaker = make_speaker(output="null")
    async with running(speaker) as well:
        assert well
        assert await hear(speaker, microphone) >= LEAST_DB
        assert asked == [LISTEN_S]


def site(settings: str, *, open_gate: bool = False, agent: dict[str, object] | None = None) -> Site:
    here = Path()
    return Site(parse_settings(settings), here, WallClock().now(), agent, here, here, open_gate)


async def test_a_camera_upside_down_is_named_with_the_setting() -> None:
    on_its_head = cv2.rotate(bare_face(), cv2.ROTATE_180)
    async with SimulatedCamera(lambda: on_its_head, seed=1) as simulated:
        for rotate, status in ((0, CheckStatus.FAILED), (180, CheckStatus.OK)):
            settings = f'[camera]\nsource = "{simulated.url}"\nfps = 5.0\nrotate = {rotate}\n'
            answer = await measuring.camera(site(settings))
            assert answer.status is status, answer
            assert ("rotate = 180" in answer.found) is (rotate == 0)
            assert ("mount the camera upright" in answer.remedy.en) is (rotate == 0)


@pytest.mark.parametrize(
    ("fault", "remedy"),
    [
        ({"fault": "damaged_pictures"}, "check the camera's cable"),
        ({"fault": "not_upright"}, "mount the camera upright"),
        ({"fault": ""}, "clean the lens"),
        ({"fault": "of a later version"}, "clean the lens"),
        ({}, "clean the lens"),
    ],
)
async def test_the_remedy_follows_the_fault_and_not_the_words(fault: dict[str, str], remedy: str) -> None:
    for detail in ("in other words", "many pictures are damaged: set [camera] rotate = 90"):
        part = {"name": "camera", "state": "broken", "detail": detail, **fault}
        answer = await measuring.camera(replace(site(""), agent={"view": {"parts": [part]}}))
        assert answer.status is CheckStatus.FAILED
        assert remedy in answer.remedy.en


async def test_a_calibration_is_judged_with_the_error_of_the_clock(tmp_path: Path) -> None:
    made = datetime(2026, 1, 1, tzinfo=UTC)
    point = CalibrationPoint(reference_c=35.0, read_c=34.8, scatter_c=0.1, readings=9)
    calibration = calibration_from(
        (point, msgspec.structs.replace(point, reference_c=39.0, read_c=38.8)),
        0.1,
        driver="gy-mcu90640",
        serial="1",
        by="test",
        at=made,
        expires_at=made + timedelta(days=365),
        ambient_c=None,
    )
    save_calibration(calibration, tmp_path)
    for year, in_sync, status, found in (
        (2026, True, CheckStatus.OK, "until 2027-01-01"),
        (2031, True, CheckStatus.FAILED, "expired"),
        (1970, False, CheckStatus.WARNING, "clock not in sync"),
        (2031, False, CheckStatus.WARNING, "clock not in sync"),
    ):
        now = moment(datetime(year, 6, 1, tzinfo=UTC), in_sync=in_sync, error_s=0.05 if in_sync else None)
        settings = f'[box]\ndata_dir = "{tmp_path}"\n[thermometer]\ndriver = "gy-mcu90640"\n'
        answer = stored.calibration(replace(site(settings), now=now))
        assert (answer.status, found in answer.found) == (status, True), answer


async def test_a_frozen_camera_fails_before_it_is_called_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "_WATCH_CAMERA_S", 0.5)
    wall = np.random.default_rng(1).integers(0, 255, (480, 640, 3), np.uint8)
    async with SimulatedCamera(lambda: wall, seed=1) as simulated:
        await simulated.set_mode(CameraMode.FROZEN)
        answer = await measuring.camera(site(f'[camera]\nsource = "{simulated.url}"\n'))
    assert answer.status is CheckStatus.FAILED
    assert "clean the lens" in answer.remedy.en


class _PixelScene(ThermalScene):
    """A sensor with one stuck pixel."""

    def picture(self, face: WarmFace | None) -> NDArray[np.float64]:
        picture = super().picture(face)
        picture[2, 30] = 38.5
        return picture


async def test_a_dead_pixel_is_named_and_is_not_the_warmest(tmp_path: Path) -> None:
    with PtyWire(tmp_path / "port") as wire:
        sensor = SimulatedThermometer(wire, lambda: None, seed=1)
        sensor.scene, sensor.speed = _PixelScene(seed=1), 8.0
        async with under_way(sensor.run()):
            answer = await measuring.thermometer(site(f'[thermometer]\nport = "{wire.link}"\nmirror = true\n'))
    assert answer.status is CheckStatus.OK
    assert "1 pixel left out: row 3 column 31 stuck" in answer.found
    assert float(answer.found.split()[0]) < 26


@pytest.mark.parametrize("asked", [False, True])
async def test_a_gate_opens_only_where_a_person_said_yes(tmp_path: Path, asked: bool) -> None:
    relay = SimulatedRelay(PtyWire(tmp_path / "gate"))
    relay.plug()
    async with under_way(relay.run()):
        settings = f'[gate]\ndriver = "lcus"\nport = "{tmp_path}/gate"\npulse_ms = 100\n'
        answer = await devices.gate(site(settings, open_gate=asked))
    relay.unplug()
    assert answer.status is CheckStatus.OK
    assert relay.pulses == int(asked)


async def test_a_distance_sensor_shows_what_it_is_aimed_at(tmp_path: Path) -> None:
    with FaultyWire(tmp_path, seed=1) as wire:
        wired = site(f'[ranger]\ndriver = "evo-mini"\nport = "{wire.by_id}"\n')
        async with under_way(simulate_device("evo-mini", wire, 1)):
            answer = await devices.ranger(wired)
    assert answer.status is CheckStatus.OK
    assert 0.3 < float(answer.found.removesuffix(" m")) < 0.9


async def test_a_distance_sensor_is_looked_for_where_one_is_wired(tmp_path: Path) -> None:
    assert (await devices.ranger(site(""))).status is CheckStatus.NOT_CHECKED
    wired = site(f'[ranger]\ndriver = "tofsense"\nport = "{tmp_path}/gone"\n')
    agent = {"view": {"parts": [{"name": "ranger", "state": "lost", "detail": "/dev/x is gone"}]}}
    for answer in (
        await devices.ranger(replace(wired, agent=agent)),
        await devices.ranger(site('[ranger]\ndriver = "tofsense"\nbaud = 9600\n')),
    ):
        assert answer.status is CheckStatus.FAILED
        assert "[ranger] port" in answer.remedy.en


async def test_what_a_running_agent_holds_is_asked_of_it(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        report = {line.check: line for line in await run_checks(tmp_path / "sentinel.toml")}
        here.sentinel.devices.camera.reject("in other words", PartFault.NOT_UPRIGHT)
        await here.seen(lambda view: any(part.fault for part in view.parts))
        agent = await asyncio.to_thread(ask_agent, here.settings.kiosk.host, here.settings.kiosk.port)
    assert "mount the camera upright" in (await measuring.camera(replace(site(""), agent=agent))).remedy.en
    for name in ("camera", "thermometer", "reader", "gate", "speaker"):
        assert report[name].result.found.endswith("(by the running agent)")
    assert report["kiosk port"].passed


async def test_what_this_user_may_not_see_is_not_checked() -> None:
    def look(_site: Site) -> CheckResult:
        raise PermissionError(13, "Permission denied", "/var/lib/edge-agent/ledger.db")

    line = await run_check(Check("databases", look), site(""))
    assert line.passed
    assert line.result.status is CheckStatus.NOT_CHECKED
    assert "see rights" in line.result.found


async def test_who_may_not_read_the_settings_is_sent_to_sudo(tmp_path: Path) -> None:
    shut = tmp_path / "etc"
    shut.mkdir(mode=0)
    with without_rights():
        [line] = await run_checks(shut / "sentinel.toml")
    assert "sudo edge-agent doctor" in line.result.remedy.en


async def test_secrets_that_this_user_may_not_read_are_not_called_missing(tmp_path: Path) -> None:
    shut = tmp_path / "credstore"
    shut.mkdir(mode=0)
    chosen = site(f"""
        [directory]
        community_key_file = "{shut}/community.key"
        [staff]
        pin_hash_file = "{shut}/staff.pin"
        [privacy]
        key_file = "{shut}/at-rest.key"
    """)
    with without_rights():
        report = [await run_check(check, chosen) for check in keys.CHECKS if "key" in check.name or "PIN" in check.name]
        rights = stored.rights(chosen)
    told = {line.check: line.result.status for line in report}
    assert {told[name] for name in ("staff PIN", "community key", "at-rest key")} == {CheckStatus.NOT_CHECKED}
    assert rights.status is CheckStatus.WARNING
    assert str(shut) in rights.found


async def test_a_check_that_hangs_is_given_up() -> None:
    async def look(_site: Site) -> CheckResult:
        await asyncio.Event().wait()
        raise AssertionError

    line = await run_check(Check("dns", look, limit_s=0.05), site(""))
    assert not line.passed
    assert "restart the box" in line.result.remedy.en


def test_scripts_read_the_sheet(tmp_path: Path) -> None:
    config = tmp_path / "sentinel.toml"
    config.write_text("[camera]\nwidht = 640\n")
    shown = CliRunner().invoke(app, ["doctor", "--json", "--config", str(config)])
    assert shown.exit_code == 1
    [line] = json.loads(shown.stdout)
    assert {"check", "passed", "found", "remedy_zh", "remedy"} <= set(line)
    assert (line["check"], line["passed"], line["status"]) == ("settings", False, "failed")

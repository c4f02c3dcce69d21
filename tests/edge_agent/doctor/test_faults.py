"""Faults planted on a box that is well: doctor names the right remedy for each, and calls nothing else broken."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from config.catalogue import PROMPTS_DIR
from drivers.simulated.devices.camera import CameraMode
from drivers.simulated.devices.thermal_scene import ThermalScene, WarmFace
from edge_agent.calibration.correction import Calibration, CalibrationPoint, save_calibration
from edge_agent.doctor.report import ReportLine
from tests.edge_agent.doctor.well import City, WellBox, city, red, well_box
from tests.ports import free_port
from tests.sync.certificates import Authority
from tests.sync.city import mosquitto

AT_ONCE = 3


def path_with_systemctl(home: Path) -> str:
    """PATH with the systemctl of the box at `home` before this machine's."""
    return f"{home}/root/bin{os.pathsep}{os.environ['PATH']}"


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    with city(tmp_path_factory.mktemp("city")) as running:
        yield running


@pytest.fixture
async def box(tmp_path: Path, town: City, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WellBox]:
    monkeypatch.setenv("PATH", path_with_systemctl(tmp_path))
    async with well_box(tmp_path, town) as running:
        yield running


async def test_a_box_that_is_well_is_called_so(box: WellBox) -> None:
    report = await box.examined()
    assert len(report) >= 20
    assert {name: line.text() for name, line in report.items() if not line.passed} == {}


class _DeadScene(ThermalScene):
    """A sensor that gives the same values for ever."""

    def picture(self, face: WarmFace | None) -> NDArray[np.float64]:
        return np.full((24, 32), 34.0)


class _PixelsScene(ThermalScene):
    """A sensor of which six pixels are stuck."""

    def picture(self, face: WarmFace | None) -> NDArray[np.float64]:
        picture = super().picture(face)
        picture[3:15:2, 7] = 35.0
        return picture


async def frozen_camera(box: WellBox) -> None:
    await box.street.camera.set_mode(CameraMode.FROZEN)


async def covered_camera(box: WellBox) -> None:
    await box.street.camera.set_mode(CameraMode.BLACK)


async def absent_camera(box: WellBox) -> None:
    await box.street.camera.set_mode(CameraMode.REFUSED)


async def stalled_camera(box: WellBox) -> None:
    await box.street.camera.set_mode(CameraMode.STALLED)


async def missing_policy(box: WellBox) -> None:
    box.settings["policy"] = {"file": str(box.home / "none.toml")}


async def damaged_weights(box: WellBox) -> None:
    box.settings["vision"] = {"detector": "yunet"}
    folder = box.data / "models"
    folder.mkdir()
    (folder / "yunet_n_dynamic.onnx").write_bytes(b"not these")


async def dead_thermometer(box: WellBox) -> None:
    box.street.thermometer.scene = _DeadScene(seed=1)


async def dead_pixels(box: WellBox) -> None:
    box.street.thermometer.scene = _PixelsScene(seed=1)


async def unplugged_thermometer(box: WellBox) -> None:
    box.street.thermometer.unplug()


async def unplugged_reader(box: WellBox) -> None:
    box.street.reader.wire.unplug()


async def no_gate_port(box: WellBox) -> None:
    box.settings["gate"]["port"] = str(box.home / "nothing")


async def read_only_data(box: WellBox) -> None:
    box.data.chmod(0o500)


async def open_key(box: WellBox) -> None:
    (box.home / "community.key").chmod(0o644)


async def no_community_key(box: WellBox) -> None:
    (box.home / "community.key").unlink()


async def wrong_ca(box: WellBox) -> None:
    stranger = Authority(box.home / "stranger")
    box.use(replace(box.city.authority.certificate("box-1"), ca=stranger.ca))


async def wrong_name(box: WellBox) -> None:
    box.broker_at("127.0.0.1")


async def foreign_certificate(box: WellBox) -> None:
    foreign = Authority(box.home / "stranger").certificate("box-1")
    box.use(replace(foreign, ca=box.city.authority.ca))


async def expired_certificate(box: WellBox) -> None:
    box.use(box.city.authority.certificate("box-1", begins_h=-2, ends_h=-1))


async def key_of_another(box: WellBox) -> None:
    other = box.city.authority.certificate("box-2")
    box.use(replace(box.city.authority.certificate("box-1"), key=other.key))


async def broker_down(box: WellBox) -> None:
    box.broker_at("localhost", free_port())


async def not_a_broker(box: WellBox) -> None:
    box.broker_at("localhost", int(box.street.camera.url.rpartition(":")[2].partition("/")[0]))


async def plain_text(box: WellBox) -> None:
    box.settings["platform"]["url"] = "mqtt://192.0.2.1:1883"


async def unknown_name(box: WellBox) -> None:
    box.broker_at("platform.invalid")


async def old_clock(box: WellBox) -> None:
    box.now = replace(box.now, wall=datetime(2001, 1, 1, tzinfo=UTC))


async def lonely_clock(box: WellBox) -> None:
    box.now = replace(box.now, in_sync=False, error_s=None)


async def damaged_ledger(box: WellBox) -> None:
    with (box.data / "ledger.db").open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 2000)


async def expired_calibration(box: WellBox) -> None:
    point = CalibrationPoint(reference_c=35.0, read_c=34.8, scatter_c=0.1, readings=9)
    old = box.now.wall - timedelta(days=400)
    calibration = Calibration(
        driver="gy-mcu90640",
        serial="1",
        by="test",
        at=old,
        expires_at=old + timedelta(days=365),
        ambient_c=22.0,
        points=(point,),
        offset_c=0.2,
        residual_c=0.0,
        uncertainty_c=0.1,
    )
    save_calibration(calibration, box.data)


async def missing_prompt(box: WellBox) -> None:
    box.prompts = box.home / "prompts"
    shutil.copytree(PROMPTS_DIR, box.prompts)
    (box.prompts / "en" / "pass.ogg").unlink()


async def old_unit(box: WellBox) -> None:
    box.unit.write_text("[Service]\nExecStart=/opt/old/bin/edge-agent run\n")


async def no_unit(box: WellBox) -> None:
    box.unit.unlink()


async def disabled_unit(box: WellBox) -> None:
    (box.root / "bin/systemctl").write_text("#!/bin/sh\necho disabled\n")


async def hot_board(box: WellBox) -> None:
    (box.root / "sys/class/thermal/thermal_zone0/temp").write_text("95000\n")


async def open_to_the_network(box: WellBox) -> None:
    box.settings["kiosk"]["host"] = "0.0.0.0"  # noqa: S104 - refused


async def installed_twice(box: WellBox) -> None:
    twin = box.home / "twin" / "sentinel_gate-0.0.9.dist-info"
    twin.mkdir(parents=True)
    (twin / "METADATA").write_text("Metadata-Version: 2.1\nName: sentinel-gate\nVersion: 0.0.9\n")
    box.also_installed.append(twin.parent)


Plant = Callable[[WellBox], Awaitable[None]]
Expected = tuple[str, str, str]  # the check that must fail, and words of its remedy in English and Chinese

FAULTS: dict[Plant, Expected] = {
    frozen_camera: ("camera", "clean the lens", "擦净镜头"),
    covered_camera: ("camera", "clean the lens", "擦净镜头"),
    absent_camera: ("camera", "[camera] source", "摄像头的接线"),
    stalled_camera: ("camera", "[camera] source", "摄像头的接线"),
    missing_policy: ("policy", "Correct the policy file", "准入规则"),
    damaged_weights: ("model", "model file is damaged", "模型文件已损坏"),
    dead_thermometer: ("thermometer", "readings do not change", "测温值不变"),
    dead_pixels: ("thermometer", "too many pixels are dead", "坏点过多"),
    unplugged_thermometer: ("thermometer", "[thermometer] port", "接线"),
    unplugged_reader: ("reader", "[reader] port", "接线"),
    no_gate_port: ("gate", "[gate] port", "接线"),
    read_only_data: ("store", "owner and its mount", "属主"),
    open_key: ("permissions", "chmod 0600", "收紧权限"),
    no_community_key: ("community key", "Fetch the community key", "社区密钥"),
    wrong_ca: ("platform", "Not signed by [platform] ca_file", "ca_file"),
    wrong_name: ("platform", "for another name", "主机名"),
    foreign_certificate: ("platform", "refuses this box's certificate", "拒绝本机证书"),
    expired_certificate: ("certificate", "Enrol this box again", "重新签发"),
    key_of_another: ("certificate", "Enrol this box again", "重新签发"),
    broker_down: ("platform", "Nothing listens there", "没有服务"),
    not_a_broker: ("platform", "not speak MQTT over TLS", "端口"),
    plain_text: ("platform", "unencrypted links are allowed on loopback", "明文"),
    unknown_name: ("dns", "resolv.conf", "resolv.conf"),
    old_clock: ("date", "clock went back", "时钟倒退"),
    lonely_clock: ("clock", "Enable NTP", "时间同步"),
    damaged_ledger: ("databases", "recovers pending records", "抢救"),
    expired_calibration: ("calibration", "Calibrate against a black body", "黑体"),
    missing_prompt: ("prompts", "prompts build", "prompts build"),
    open_to_the_network: ("kiosk port", "host to 127.0.0.1", "127.0.0.1"),
    hot_board: ("heat", "Shade and ventilate", "通风"),
}
FAULTS_OF_THE_MACHINE: dict[Plant, Expected] = {  # they change what every box of this process sees
    old_unit: ("units", "daemon-reload", "daemon-reload"),
    no_unit: ("units", "edge-agent install --apply", "edge-agent install --apply"),
    disabled_unit: ("units", "systemctl enable", "systemctl enable"),
    installed_twice: ("versions", "Keep one", "只保留一份"),
}
FOLLOWS: dict[Plant, set[str]] = {expired_certificate: {"platform"}}  # the broker refuses it as well


async def examined_with(plant: Plant, home: Path, town: City) -> dict[str, ReportLine]:
    """The report of a box of its own with one fault."""
    async with well_box(home, town) as box:
        await plant(box)
        return await box.examined()


@pytest.fixture(scope="module")
def reports(town: City, tmp_path_factory: pytest.TempPathFactory) -> dict[Plant, dict[str, ReportLine]]:
    """The report of each fault; an examination mostly waits, so several are under way at once."""
    homes = {plant: tmp_path_factory.mktemp("box") for plant in FAULTS}
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(plant: Plant) -> dict[str, ReportLine]:
        async with turns:
            return await examined_with(plant, homes[plant], town)

    async def every() -> list[dict[str, ReportLine]]:
        return await asyncio.gather(*map(one, FAULTS))

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", path_with_systemctl(next(iter(homes.values()))))
        return dict(zip(FAULTS, asyncio.run(every()), strict=True))


def check(report: dict[str, ReportLine], expected: Expected) -> None:
    """The line says what to do, in both languages."""
    name, remedy, remedy_zh = expected
    assert not report[name].passed
    told = report[name].to_dict()
    assert remedy in str(told["remedy"]), told
    assert remedy_zh in str(told["remedy_zh"]), told


@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.__name__)
def test_each_fault_has_its_remedy_and_reddens_nothing_else(
    reports: dict[Plant, dict[str, ReportLine]], plant: Plant
) -> None:
    check(reports[plant], FAULTS[plant])
    assert red(reports[plant]) == {FAULTS[plant][0]} | FOLLOWS.get(plant, set())


@pytest.mark.parametrize("plant", FAULTS_OF_THE_MACHINE, ids=lambda plant: plant.__name__)
async def test_each_fault_of_the_machine_has_its_remedy(box: WellBox, plant: Plant) -> None:
    await plant(box)
    report = await box.examined()
    check(report, FAULTS_OF_THE_MACHINE[plant])
    assert red(report) == {FAULTS_OF_THE_MACHINE[plant][0]}


async def test_wrong_settings_are_all_that_is_said(box: WellBox) -> None:
    box.settings["camera"]["widht"] = 640
    report = await box.examined()
    assert list(report) == ["settings"]
    check(report, ("settings", "Correct the keys", "改正配置文件"))
    assert "widht" in report["settings"].result.found


async def test_a_port_that_another_program_has(box: WellBox) -> None:
    with socket.create_server(("127.0.0.1", int(str(box.settings["kiosk"]["port"])))):
        report = await box.examined()
    check(report, ("kiosk port", "ss -ltnp", "ss -ltnp"))
    assert red(report) == {"kiosk port"}


async def test_a_broker_whose_certificate_is_out_of_date(box: WellBox, tmp_path: Path) -> None:
    server = box.city.authority.certificate("localhost", begins_h=-2, ends_h=-1)
    extra = f"cafile {server.ca}\ncertfile {server.certificate}\nkeyfile {server.key}\nrequire_certificate true\n"
    with mosquitto(tmp_path / "old", extra=extra) as broker:
        box.broker_at("localhost", broker.port)
        report = await box.examined()
    check(report, ("platform", "out of date", "已过期"))
    assert red(report) == {"platform"}


async def test_a_ca_certificate_older_than_rfc_5280_still_serves(box: WellBox) -> None:
    box.use(replace(box.city.authority.certificate("box-1"), ca=box.city.authority.older_ca()))
    sheet = await box.examined()
    found = sheet["certificate"].to_dict()
    assert (found["status"], red(sheet)) == ("warning", set())
    assert "no critical basic constraints, no key usage" in str(found["found"])
    assert "sign it again with the same key (docs/broker.md, An old CA certificate)" in str(found["remedy"])
    assert "社区 CA 证书较旧" in str(found["remedy_zh"])


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of one megabyte over `folder`; skips where this user may not mount."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "sentinel", folder], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("may not mount a disk here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


async def test_a_full_disk(box: WellBox) -> None:
    with small_disk(box.data):
        with pytest.raises(OSError, match="No space"):
            (box.data / "filler").write_bytes(bytes(2_000_000))
        report = await box.examined()
    check(report, ("disk", "Free some space", "清理磁盘"))
    assert red(report) == {"disk"}

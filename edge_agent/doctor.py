"""Checks one box and says for each fault what to do; the sheet an installer reads before leaving."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from config.credentials import secret_path
from config.errors import SettingsError
from config.settings import Settings, load_settings
from drivers.contract import Part, PartState
from drivers.errors import DriverError
from edge_agent.asking import AgentSilent, ask_agent
from edge_agent.box_files import make_data_dir, read_community_key
from edge_agent.calibration import load_calibration
from edge_agent.clock import WallClock
from edge_agent.devices import camera_of, card_reader_of, gate_of, reader_of, speaker_of, thermometer_of
from edge_agent.policy import load_policy
from models.errors import ModelError
from models.face import make_detector
from models.liveness import make_liveness
from models.recognition import make_embedder

_PART_LIMIT_S = 6.0
_CONNECT_LIMIT_S = 3.0
_OLDEST_SQLITE = (3, 35, 0)


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was found, and what to do where it failed, in Chinese and English."""

    check: str
    passed: bool
    found: str
    remedy_zh: str = ""
    remedy: str = ""

    def to_dict(self) -> dict[str, object]:
        """The finding for JSON."""
        return asdict(self)

    def line(self) -> str:
        """The finding for people."""
        mark = "✓" if self.passed else "✗"
        return f"{mark} {self.check:<14}{self.found}" + (
            "" if self.passed else f"\n    → {self.remedy_zh} {self.remedy}"
        )


async def examine(config: Path) -> list[Finding]:
    """Every check in order; without readable settings the first is the only one."""
    try:
        settings = load_settings(config)
    except SettingsError as exc:
        return [Finding("settings", False, str(exc), "请改正配置文件。", "Correct the settings file.")]
    sheet = [Finding("settings", True, str(config))]
    sheet += [_policy(settings), _store(settings), _community_key(settings), _model(settings), _clock()]
    sheet.append(_calibration(settings))
    sheet += [_recognition(settings)] if settings.recognition.enabled else []
    sheet += await _parts(settings)
    sheet.append(await _platform(settings))
    return sheet


def _try(check: str, work: Callable[[], str], errors: type[Exception], remedy_zh: str, remedy: str) -> Finding:
    try:
        return Finding(check, True, work())
    except errors as exc:
        return Finding(check, False, str(exc), remedy_zh, remedy)


def _policy(settings: Settings) -> Finding:
    path = Path(settings.policy.file) if settings.policy.file else None
    return _try(
        "policy",
        lambda: f"version {load_policy(path).version}",
        SettingsError,
        "请改正准入规则文件。",
        "Correct the policy file.",
    )


def _store(settings: Settings) -> Finding:
    def work() -> str:
        path = make_data_dir(Path(settings.box.data_dir))
        probe = path / ".doctor"
        try:
            probe.write_bytes(b"x")
            probe.unlink()
        except OSError as exc:
            raise SettingsError(f"{path} cannot be written: {exc.strerror}") from exc
        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            raise SettingsError(f"SQLite {sqlite3.sqlite_version} is too old")
        return f"{path}, SQLite {sqlite3.sqlite_version}"

    return _try(
        "store", work, SettingsError, "请检查数据目录的权限和磁盘。", "Check the data folder's owner and the disk."
    )


def _community_key(settings: Settings) -> Finding:
    def work() -> str:
        read_community_key(secret_path(settings.directory.community_key_file))
        return "readable"

    return _try(
        "community key", work, SettingsError, "请从平台取得社区密钥。", "Fetch the community key from the platform."
    )


def _model(settings: Settings) -> Finding:
    def work() -> str:
        started_s = time.perf_counter()
        make_detector(
            settings.vision.detector,
            size=settings.vision.size,
            data_dir=Path(settings.box.data_dir) / "models",
            accept_non_commercial=settings.vision.accept_non_commercial,
        )
        return f"{settings.vision.detector} loaded in {(time.perf_counter() - started_s) * 1000:.0f} ms"

    return _try(
        "model", work, ModelError, "请添加模型文件。", "Add the model: edge-agent inspect names what is missing."
    )


def _recognition(settings: Settings) -> Finding:
    def work() -> str:
        packs = Path(settings.box.data_dir) / "models"
        make_liveness(data_dir=packs)
        return f"{make_embedder(settings.recognition.pack, data_dir=packs).name} and liveness loaded"

    return _try(
        "recognition", work, ModelError, "请添加人脸识别模型文件。", "Add the packs: edge-agent models list names them."
    )


def _clock() -> Finding:
    now = WallClock().now()
    if now.in_sync and now.error_s is not None:
        return Finding("clock", True, f"in sync within {now.error_s * 1000:.0f} ms")
    return Finding("clock", False, "not confirmed by NTP", "请启用时间同步。", "Enable NTP: timedatectl set-ntp true")


def _calibration(settings: Settings) -> Finding:
    remedy = "Calibrate: edge-agent calibrate thermometer --help"
    try:
        found = load_calibration(Path(settings.box.data_dir))
    except SettingsError as exc:
        return Finding("calibration", False, str(exc), "请用黑体校准测温仪。", remedy)
    if found is None:
        return Finding("calibration", True, f"none; the settings say {settings.thermometer.offset_c:+g} °C")
    expired = WallClock().now().wall >= found.expires_at
    told = f"offset {found.offset_c:+.2f} °C, until {found.expires_at:%Y-%m-%d}"
    return Finding("calibration", not expired, told, "请用黑体校准测温仪。", remedy)


async def _parts(settings: Settings) -> list[Finding]:
    """The devices: as the running agent sees them, else opened here."""
    with contextlib.suppress(AgentSilent):
        report = await asyncio.to_thread(ask_agent, settings.kiosk.host, settings.kiosk.port)
        return [_part_finding(part["name"], part["state"], part["detail"]) for part in report["view"]["parts"]]
    makers: dict[str, Callable[[], Part]] = {
        "camera": lambda: camera_of(settings),
        "thermometer": lambda: thermometer_of(settings),
        "reader": lambda: reader_of(settings),
        "gate": lambda: gate_of(settings),
        "speaker": lambda: speaker_of(settings),
    }
    if (card_reader := card_reader_of(settings)) is not None:
        makers["card_reader"] = lambda: card_reader
    checks: list[Awaitable[Finding]] = [_part(name, make) for name, make in makers.items()]
    return list(await asyncio.gather(*checks))


async def _part(name: str, make: Callable[[], Part]) -> Finding:
    """Run one device until it is well or time is over."""
    try:
        part = make()
    except DriverError as exc:
        return _part_finding(name, "broken", str(exc))
    task = asyncio.create_task(part.run())
    try:
        async with asyncio.timeout(_PART_LIMIT_S):
            while part.health.state is not PartState.OK:
                await asyncio.sleep(0.05)
    except TimeoutError:
        pass
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return _part_finding(name, part.health.state.value, part.health.detail)


def _part_finding(name: str, state: str, detail: str) -> Finding:
    found = f"{state} {detail}".strip()
    return Finding(name, state == "ok", found, "请检查接线、供电和配置。", "Check its cable, power and setting.")


async def _platform(settings: Settings) -> Finding:
    url = urlsplit(settings.platform.url)
    try:
        async with asyncio.timeout(_CONNECT_LIMIT_S):
            _, writer = await asyncio.open_connection(url.hostname, url.port)
            writer.close()
            await writer.wait_closed()
    except (OSError, TimeoutError, ValueError) as exc:
        return Finding(
            "platform",
            False,
            f"{settings.platform.url}: {exc or 'no answer'}",
            "请检查网络和平台地址；断网时哨兵按离线规则工作。",
            "Check the network and [platform] url; until then the offline rule holds.",
        )
    return Finding("platform", True, f"{settings.platform.url} accepts connections")

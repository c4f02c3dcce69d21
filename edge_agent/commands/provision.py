"""`edge-agent provision`: sets up an installed box, interactively or from a file of answers."""

from __future__ import annotations

import asyncio
import json
import subprocess
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from config.errors import SettingsError
from config.settings import Settings, load_settings
from edge_agent.commands.options import DEFAULT_CONFIG, AsJson, ended, report_errors
from edge_agent.commands.verb import as_agent
from edge_agent.provision.answers import Answers, answers_from, load_answers
from edge_agent.runtime.service_unit import AGENT_UNIT

NO_SERIAL = (
    "读不到主板序列号：请用 sudo 运行；仍没有时，以机身标签上的编号登记，没有标签就自编一个并贴上。\n"
    "The board reports no serial number: run with sudo. If there is still none, use the number on the label of the"
    " box, or give it one and put it on a label."
)


def provision(
    answers_file: Annotated[
        Path | None, typer.Option("--answers", help="TOML file with the answers [prompts for them].")
    ] = None,
    config: Annotated[Path, typer.Option("--config", "-c", help="Settings to write (TOML).")] = DEFAULT_CONFIG,
    show_serial: Annotated[bool, typer.Option("--serial", help="Only print the serial number of this box.")] = False,
    wait_min: Annotated[float, typer.Option(help="Minutes to wait for an operator to accept.", min=0)] = 15.0,
    as_json: AsJson = False,
) -> None:
    """Set up this box: place, devices, certificate, keys; prompts, or reads --answers."""
    from edge_agent.provision.provisioning import Established, establish, finish, make_plan, summary
    from edge_agent.provision.questions import draft_path
    from edge_agent.provision.serial import box_serial
    from edge_agent.provision.settings_file import checked_settings, is_installed
    from sync.errors import SyncError
    from sync.signals import until_signalled

    serial = box_serial()
    if show_serial:
        if not serial:
            raise ended(NO_SERIAL)
        typer.echo(serial)
        return

    with report_errors(unusable=(SettingsError, SyncError)):
        answers = load_answers(answers_file) if answers_file else _prompt_answers(config, serial)
        plan = make_plan(answers, config, serial=serial)
        has_camera = _has_camera(config)

        def work() -> bytes:
            devices: list[str] = []
            find_devices = partial(_find_devices, devices, has_camera=has_camera)
            steps = establish(plan, find_devices, on_waiting=_say_waiting, limit_s=60 * wait_min)
            established = asyncio.run(until_signalled(steps))
            if established is None:
                raise typer.Exit(130)
            return msgspec.json.encode((established, devices))

        reply = as_agent(checked_settings(plan.sections({})), work)
        established, devices = msgspec.json.decode(reply, type=tuple[Established, list[str]])
        done = finish(plan, established)
        if answers.probe:
            line = as_agent(done.settings, lambda: _camera_line(done.settings, config).encode())
            typer.echo(line.decode(), err=True)
    draft_path(config).unlink(missing_ok=True)
    started = is_installed(config) and _start_service()
    if as_json:
        typer.echo(json.dumps({**summary(done, config, devices), "started": started}, ensure_ascii=False))
        return
    box = done.settings.box
    typer.echo(f"✓ {box.district}/{box.name}  {box.checkpoint} {box.lane} ({box.direction})")
    if done.until is not None:
        typer.echo(f"✓ 证书有效至 certificate until {done.until.astimezone():%Y-%m-%d}，自动续期 renewed automatically")
    typer.echo(f"✓ 设置已写入 settings written: {config}")
    if not is_installed(config):
        typer.echo(f"✓ 数据和密钥在 data and keys are in: {box.data_dir}, {config.parent.absolute()}")
    if started:
        typer.echo(f"✓ 服务已启动 started: {AGENT_UNIT}")
    typer.echo("下一步 next: edge-agent doctor")


def _say_waiting(wait_s: float) -> None:
    typer.echo(f"等待平台接受本机，{wait_s:.0f} 秒后再问 … Waiting for the platform to accept this box …", err=True)


async def _find_devices(devices: list[str], *, has_camera: bool) -> str:
    """Settings for the connected devices, as TOML; a line for each is added to `devices` and printed."""
    from drivers.audio.cards import list_sound_cards
    from drivers.tools.camera_probe import probe_cameras, proposed_camera
    from drivers.tools.probe import probe_all, proposed_settings

    typer.echo("正在查找设备（最多半分钟）… Looking for devices, up to half a minute …", err=True)
    findings, cameras = await asyncio.gather(probe_all(), probe_cameras())
    devices.extend(finding.line() for finding in findings)
    devices.extend(camera.line() for camera in cameras)
    devices.extend(f"✓ {card.device}  声卡 sound card {card.product}" for card in list_sound_cards())
    for line in devices or ["没有发现设备 no device found"]:
        typer.echo(f"  {line}", err=True)
    return "\n".join((proposed_settings(findings), "" if has_camera else proposed_camera(cameras)))


def _has_camera(config: Path) -> bool:
    """Whether the settings name a camera that the probe must not replace."""
    return config.exists() and not load_settings(config).camera.source.startswith("/dev/video")


def _camera_line(settings: Settings, config: Path) -> str:
    """What the camera shows, before the agent opens it: a person before it tells whether it is mounted upright."""
    from config.catalogue import PROMPTS_DIR
    from edge_agent.box.wall_clock import WallClock
    from edge_agent.doctor.measuring import CHECKS
    from edge_agent.doctor.report import Site
    from edge_agent.doctor.run_checks import run_check

    source = settings.camera.source
    if source.startswith("/dev/") and not Path(source).exists():
        return f"! camera        {source}: 没有这个摄像头 no such device"
    typer.echo("正在查看摄像头画面，请站到摄像头前 … Looking at the camera: stand in front of it …", err=True)
    site = Site(settings, config, WallClock().now(), None, Path("/"), PROMPTS_DIR, open_gate=False)
    return asyncio.run(run_check(CHECKS[0], site)).text()


def _prompt_answers(config: Path, serial: str) -> Answers:
    """Prompt for each answer until it is accepted. Raises SettingsError."""
    from edge_agent.provision.provisioning import check_rights
    from edge_agent.provision.questions import Interview, Question, draft_path

    def ask(question: Question, offered: str) -> str:
        *above, line = question.text.splitlines()
        for text in above:
            typer.echo(text)
        return str(typer.prompt(line, default=offered, show_default=bool(offered), hide_input=question.is_hidden))

    check_rights(config)
    typer.echo(f"本机序列号 serial of this box: {serial or '无 none'}")
    try:
        answers = Interview(config, serial, ask, lambda line: typer.echo(line, err=True)).answers()
        probe = typer.confirm("查找已接的设备？Look for connected devices?", default=True)
    except typer.Abort:
        if draft_path(config).exists():
            typer.echo(
                f"\n已答部分已保存，再次运行可继续。 The answers so far are saved; run again to continue:"
                f" {draft_path(config)}",
                err=True,
            )
        raise
    return answers_from({**answers, "probe": probe})


def _start_service() -> bool:
    """Restart the agent's service; returns False without systemd or on failure."""
    if not Path("/run/systemd/system").is_dir():
        return False
    command = ["systemctl", "restart", AGENT_UNIT]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    if ended.returncode:
        typer.echo(f"服务未启动 not started: {ended.stderr.strip()}; journalctl -u edge-agent", err=True)
    return ended.returncode == 0

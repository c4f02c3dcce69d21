"""`edge-agent provision`: sets up an installed box, interactively or from a file of answers."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from config.errors import SettingsError
from edge_agent.commands.options import DEFAULT_CONFIG, AsJson, ended, report_errors
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
    from edge_agent.provision.provisioning import provision as set_up
    from edge_agent.provision.provisioning import summary
    from edge_agent.provision.questions import draft_path
    from edge_agent.provision.serial import box_serial
    from edge_agent.provision.settings_file import is_installed
    from sync.errors import SyncError
    from sync.signals import until_signalled

    serial = box_serial()
    devices: list[str] = []
    if show_serial:
        if not serial:
            raise ended(NO_SERIAL)
        typer.echo(serial)
        return

    async def find_devices() -> str:
        from drivers.tools.probe import probe_all, proposed_settings

        typer.echo("正在查找设备（最多半分钟）… Looking for devices, up to half a minute …", err=True)
        findings = await probe_all()
        devices.extend(finding.line() for finding in findings)
        for line in devices or ["没有发现串口设备 no serial device found"]:
            typer.echo(f"  {line}", err=True)
        return proposed_settings(findings)

    with report_errors(unusable=(SettingsError, SyncError)):
        answers = load_answers(answers_file) if answers_file else _prompt_answers(config, serial)
        work = set_up(
            answers,
            config,
            find_devices,
            serial=serial,
            on_waiting=lambda wait_s: typer.echo(
                f"等待平台接受本机，{wait_s:.0f} 秒后再问 … Waiting for the platform to accept this box …", err=True
            ),
            limit_s=60 * wait_min,
        )
        done = asyncio.run(until_signalled(work))
    if done is None:
        raise typer.Exit(130)
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
        probe = typer.confirm("查找串口设备？Look for serial devices?", default=True)
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

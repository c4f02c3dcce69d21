"""`edge-agent privacy`: what protects people's data on this box, and the proof of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import typer

from config.settings import load_settings
from edge_agent.commands.options import DEFAULT_CONFIG, AsJson, Config, report_errors
from edge_agent.privacy.scan import Scan

app = typer.Typer(no_args_is_help=True, help="隐私 What protects people's data on this box.")

_SHOWN = 50


@app.callback()
def privacy() -> None:
    """隐私 What protects people's data on this box."""


@app.command()
def scan(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Prove that no ID number, phone number or face lies open on this box, or say where."""
    from edge_agent.privacy.faces import face_finder
    from edge_agent.privacy.places import UNIT, kept_files

    done = Scan()
    with report_errors():
        data_dir = Path(load_settings(config).box.data_dir)
    try:
        shows_face = face_finder()
        for path in kept_files(config, data_dir):
            done.file(path, shows_face)
    except OSError as exc:
        done.unread.append(f"{exc.filename}: {exc.strerror}")
    has_journal = done.journal(UNIT, shows_face)
    if as_json:
        findings = [finding.to_dict() for finding in done.findings]
        told = {"clean": done.is_clean, "files": done.files, "bytes": done.size_bytes, "journal": has_journal}
        typer.echo(json.dumps({**told, "findings": findings, "unread": done.unread}, ensure_ascii=False))
    else:
        typer.echo("\n".join(_lines(done, has_journal=has_journal)))
    if not done.is_clean:
        raise typer.Exit(1 if done.findings else 3)


def _lines(done: Scan, *, has_journal: bool) -> Iterator[str]:
    """The scan for people."""
    yield from (finding.line() for finding in done.findings[:_SHOWN])
    if len(done.findings) > _SHOWN:
        yield f"  另有 {len(done.findings) - _SHOWN} 处。 And {len(done.findings) - _SHOWN} more (--json names all)."
    for place in done.unread:
        yield f"? 无法读取，请以管理员身份运行。 Not read, run as root: {place}"
    if not has_journal:
        yield "- 没有系统日志。 There is no journal of the agent here."
    looked = f"{done.files} files, {done.size_bytes / 1e6:.1f} MB"
    if done.is_clean:
        yield f"✓ 未发现身份证号码、手机号码或人脸。 No ID number, mobile number or face in {looked}."
    else:
        yield f"  共检查 {looked}"


@app.command("make-key")
def new_key(config: Config = DEFAULT_CONFIG) -> None:
    """Make the key that personal data are sealed with, once."""
    from edge_agent.privacy.key_file import make_key_file

    with report_errors():
        settings = load_settings(config)
        make_key_file(settings)
    typer.echo(
        f"{settings.privacy.key_file}: 密钥已生成，请仅允许服务用户读取。"
        " The key is made; let the service's user alone read it."
    )

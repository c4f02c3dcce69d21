"""`edge-agent privacy`: the encryption key and the scan for personal data."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import typer

from config.credentials import secret_path
from config.settings import load_settings
from edge_agent.commands.options import DEFAULT_CONFIG, AsJson, Config, report_errors
from edge_agent.commands.verb import as_agent
from edge_agent.privacy.findings import LIMITS
from edge_agent.privacy.scanner import Scanner
from edge_agent.privacy.stored_files import Opened
from edge_agent.privileges.as_owner import as_owner_of
from edge_agent.runtime.service_unit import AGENT_UNIT

app = typer.Typer(no_args_is_help=True, help="隐私 Personal data on this box: scan for it, make the encryption key.")

_SHOWN = 50


@app.callback()
def privacy() -> None:
    """隐私 Personal data on this box: scan for it, make the encryption key."""


@app.command()
def scan(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Search this box for unencrypted numbers of ID cards, telephones, passports and permits, and for faces.

    Prints where they are, and what the search does not recognise: a clean result does not exclude it.
    """
    from edge_agent.privacy.stored_files import journal_text, opened_for_agent

    with report_errors():
        settings = load_settings(config)
        with opened_for_agent(config) as opened:
            journal = journal_text(AGENT_UNIT)
            as_agent(settings, lambda: _scan(Path(settings.box.data_dir), opened, journal, as_json=as_json))


def _scan(data_dir: Path, opened: Opened, journal: bytes, *, as_json: bool) -> None:
    """Scan the data folder as its owner, and what was opened for it; print the result."""
    from edge_agent.privacy.face_finder import make_face_finder
    from edge_agent.privacy.stored_files import stored_files

    scanner, shows_face = Scanner(), make_face_finder()
    try:
        for source, path in stored_files(data_dir, opened):
            scanner.scan_file(path, shows_face, source)
    except OSError as exc:
        scanner.unread.append(f"{exc.filename}: {exc.strerror}")
    if journal:
        scanner.scan_stream(f"journal: {AGENT_UNIT}", io.BytesIO(journal), shows_face)
    _show(scanner, has_journal=bool(journal), as_json=as_json)


def _show(scanner: Scanner, *, has_journal: bool, as_json: bool) -> None:
    if as_json:
        findings = [finding.to_dict() for finding in scanner.findings]
        summary = {
            "clean": scanner.is_clean,
            "files": scanner.files,
            "bytes": scanner.size_bytes,
            "journal": has_journal,
        }
        typer.echo(
            json.dumps(
                {**summary, "findings": findings, "unread": scanner.unread, "limits": LIMITS}, ensure_ascii=False
            )
        )
    else:
        typer.echo("\n".join(_lines(scanner, has_journal=has_journal)))
    if not scanner.is_clean:
        raise typer.Exit(1 if scanner.findings else 3)


def _lines(scanner: Scanner, *, has_journal: bool) -> Iterator[str]:
    """The result as lines of text."""
    yield from (finding.line() for finding in scanner.findings[:_SHOWN])
    if (more := len(scanner.findings) - _SHOWN) > 0:
        yield f"  另有 {more} 处。 And {more} more (--json shows all)."
    for place in scanner.unread:
        yield f"? 未能读完（无权限时请以管理员身份运行）。 Not read in full (run as root if access was denied): {place}"
    if not has_journal:
        yield "- 没有系统日志。 There is no journal of the agent here."
    scanned = f"{scanner.files} files, {scanner.size_bytes / 1e6:.1f} MB"
    if scanner.is_clean:
        yield (
            "✓ 未发现身份证、护照、通行证、手机号码或人脸。"
            f" No ID number, passport, permit, mobile number or face found in {scanned}."
        )
    else:
        yield f"  共检查 {scanned}"
    yield from (f"- {line}" for line in LIMITS)


@app.command("make-key")
def new_key(config: Config = DEFAULT_CONFIG) -> None:
    """Make the key that encrypts personal data on this box, once."""
    from edge_agent.privacy.key_file import check_no_key_is_lost, write_key_file

    with report_errors():
        settings = load_settings(config)
        as_agent(settings, lambda: check_no_key_is_lost(settings))
        folder = secret_path(settings.privacy.key_file).parent
        as_owner_of(folder, lambda: write_key_file(settings, with_folder=True))
    typer.echo(
        f"{settings.privacy.key_file}: 密钥已生成，请仅允许服务用户读取。"
        " The key is made; let only the service user read it."
    )

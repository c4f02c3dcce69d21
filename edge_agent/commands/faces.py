"""`edge-agent faces`: who may be known by the face. A running agent follows within a second."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from config.settings import load_settings
from drivers.errors import DriverError
from edge_agent.commands.options import DEFAULT_CONFIG, AsJson, Config, ended, report_errors
from edge_agent.faces.consent import PURPOSE_TEXT, Consent, Giver, check_age
from edge_agent.faces.document import Document, read_document
from edge_agent.faces.errors import FaceError
from models.errors import ModelError
from sync.errors import StoreFailed

app = typer.Typer(
    no_args_is_help=True, help="人脸登记 Who may be known by the face, by consent and never as the only way."
)


def describe() -> AbstractContextManager[None]:
    """What is wrong with a face, a document, the camera or the register."""
    return report_errors(DriverError, FaceError, ModelError, StoreFailed)


@app.command()
def register(
    consent: Annotated[Giver, typer.Option(help="Who consented: self, or for a child the guardian.")],
    until: Annotated[datetime, typer.Option(help="Last day on which it counts.", formats=["%Y-%m-%d"])],
    photo: Annotated[Path | None, typer.Option(help="A photo; without one the box's camera looks.")] = None,
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Register a face; the document's number is asked for or read from standard input."""
    from edge_agent.faces.registration import FaceRegistration

    typer.echo("\n".join(PURPOSE_TEXT), err=True)
    with describe():
        settings = load_settings(config)
        document, now = _document(), datetime.now(UTC)
        check_age(consent, document.born, datetime.now().astimezone().date())
        agreed = Consent(consent, now, until.astimezone() + timedelta(days=1))
        desk = FaceRegistration(settings)
        vector = desk.of_photo(photo) if photo else asyncio.run(desk.of_camera(lambda what: typer.echo(what, err=True)))
        row = asyncio.run(desk.register(document, vector, agreed))
    if not settings.recognition.enabled:
        typer.echo("本机未启用人脸识别。Not in use: [recognition] enabled = false on this box.", err=True)
    typer.echo(f"已登记，编号 {row}，有效至 {until:%Y-%m-%d}。Registered as row {row} until {until:%Y-%m-%d}.")


@app.command("list")
def list_rows(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """List the rows with their consent; nothing in it tells who somebody is."""
    from edge_agent.faces.registration import rows

    with describe():
        found = asyncio.run(rows(load_settings(config)))
    for each in found:
        given, until = each.consent.given.astimezone(), each.consent.until.astimezone()
        if as_json:
            row = {"row": each.row, "pack": each.pack, "consent": each.consent.giver, "purpose": each.consent.purpose}
            typer.echo(json.dumps({**row, "given": given.isoformat(), "until": until.isoformat()}))
        else:
            told_until = until - timedelta(seconds=1)
            typer.echo(f"{each.row:>5}  {each.consent.giver:<8}  {given:%Y-%m-%d} – {told_until:%Y-%m-%d}  {each.pack}")


@app.command()
def remove(
    row: Annotated[int | None, typer.Argument(help="Row; without one the document's number is asked for.")] = None,
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Withdraw a registration: the face is overwritten on the disk."""
    from edge_agent.faces.registration import withdraw

    with describe():
        gone = asyncio.run(withdraw(load_settings(config), _document() if row is None else row))
    if not gone:
        raise ended("没有这条登记。No such registration.")
    typer.echo("已删除。Removed.")


@app.command()
def expire(config: Config = DEFAULT_CONFIG) -> None:
    """Forget every face whose consent is over; a running agent does it by itself."""
    from edge_agent.faces.registration import expired

    with describe():
        gone = asyncio.run(expired(load_settings(config)))
    typer.echo(f"已删除 {gone} 条。{gone} removed.")


def _document() -> Document:
    """The document whose number is typed unseen, or comes in on standard input."""
    if sys.stdin.isatty():
        return read_document(typer.prompt("证件号 Document number", hide_input=True))
    return read_document(sys.stdin.readline())

"""`edge-agent faces`: the register of faces. A running agent applies changes within a second."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from config.errors import SettingsError
from config.settings import load_settings
from drivers.errors import DriverError
from edge_agent.box.wall_clock import WallClock
from edge_agent.commands.options import DEFAULT_CONFIG, AsJson, Config, ended, report_errors
from edge_agent.faces.consent import PURPOSE_TEXT, Consent, Giver, check_age
from edge_agent.faces.document import Document, read_document
from edge_agent.faces.errors import FaceError
from models.errors import ModelError
from sync.errors import StoreFailed

app = typer.Typer(
    no_args_is_help=True, help="人脸登记 The register of faces: by consent, and never the only way to pass."
)


def report_face_errors() -> AbstractContextManager[None]:
    """Report errors of a face, a document, the camera or the register."""
    return report_errors(DriverError, FaceError, ModelError, StoreFailed)


@app.command()
def register(
    consent: Annotated[Giver, typer.Option(help="Who consented: self, or the guardian of a child.")],
    until: Annotated[datetime, typer.Option(help="Last day of the consent.", formats=["%Y-%m-%d"])],
    photo: Annotated[Path | None, typer.Option(help="A photo [the box's camera].")] = None,
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Register a face; the document number is prompted for or read from standard input."""
    from edge_agent.faces.registration import FaceRegistration

    typer.echo("\n".join(PURPOSE_TEXT), err=True)
    with report_face_errors():
        settings = load_settings(config)
        document, now = _document(), WallClock().now()
        check_age(consent, document.born, now)
        agreement = Consent(consent, now.wall, until.astimezone() + timedelta(days=1))
        registration = FaceRegistration(settings)
        vectors = (
            registration.vectors_from_photo(photo)
            if photo
            else asyncio.run(registration.vectors_from_camera(lambda flaw: typer.echo(flaw, err=True)))
        )
        row = asyncio.run(registration.register(document, vectors, agreement))
    if not settings.recognition.enabled:
        typer.echo(
            "本机未启用人脸识别。Face recognition is disabled on this box: [recognition] enabled = false.", err=True
        )
    typer.echo(f"已登记，编号 {row}，有效至 {until:%Y-%m-%d}。Registered as row {row} until {until:%Y-%m-%d}.")


@app.command("list")
def list_rows(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """List the registered rows with their consent, without identities."""
    from edge_agent.faces.registration import known_masked, rows

    with report_face_errors():
        found = asyncio.run(rows(load_settings(config)))
    for each in found:
        given, until = each.consent.given.astimezone(), each.consent.until.astimezone()
        if as_json:
            row = {"row": each.row, "pack": each.pack, "consent": each.consent.giver, "purpose": each.consent.purpose}
            dates = {"given": given.isoformat(), "until": until.isoformat()}
            typer.echo(json.dumps({**row, **dates, "masked": known_masked(each)}))
        else:
            last_day = until - timedelta(seconds=1)
            masked = "  口罩 masked" if known_masked(each) else ""
            dates_shown = f"{given:%Y-%m-%d} – {last_day:%Y-%m-%d}"
            typer.echo(f"{each.row:>5}  {each.consent.giver:<8}  {dates_shown}  {each.pack}{masked}")
    if not all(map(known_masked, found)):
        typer.echo(
            "未标“口罩”的人戴口罩时认不出；用 mobilefacenet 重新登记即可。"
            "Rows without 'masked' are not recognised with a mask on: register the person again, with mobilefacenet.",
            err=True,
        )


@app.command()
def remove(
    row: Annotated[int | None, typer.Argument(help="Row [prompts for the document number].")] = None,
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Remove a registration; the face is overwritten on the disk."""
    from edge_agent.faces.registration import withdraw

    with report_face_errors():
        removed = asyncio.run(withdraw(load_settings(config), _document() if row is None else row))
    if not removed:
        raise ended("没有这条登记。No such registration.")
    typer.echo("已删除。Removed.")


@app.command()
def expire(config: Config = DEFAULT_CONFIG) -> None:
    """Remove every face whose consent has expired, by a clock in sync; a running agent does this automatically."""
    from edge_agent.faces.registration import remove_expired

    with report_face_errors():
        count = asyncio.run(remove_expired(load_settings(config)))
    typer.echo(f"已删除 {count} 条。{count} removed.")


@app.command()
def compare(
    pictures: Annotated[list[Path] | None, typer.Argument(help="Two pictures of one face each.", metavar="A B")] = None,
    pairs: Annotated[
        Path | None, typer.Option(help="A list of pairs instead: two files a line, with a tab between them.")
    ] = None,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Compare the faces of two pictures as the gate does, one line a pair; a pair that cannot be compared says why."""
    from edge_agent.faces.compare import FaceComparer, compare_to_dict, read_pairs

    given = pictures or []
    if (pairs is None) != (len(given) == 2) or (pairs is not None and given):
        raise ended("请给出两张图片，或 --pairs 文件。Give two pictures, or --pairs FILE.", 2)
    with report_errors(ModelError, unusable=(SettingsError, FaceError)):
        wanted = [(given[0], given[1])] if pairs is None else read_pairs(pairs)
        comparer = FaceComparer.from_settings(load_settings(config))
    for first, second in wanted:
        found = compare_to_dict(comparer, first, second)
        typer.echo(json.dumps(found, ensure_ascii=False) if as_json else _readable(found))


def _readable(found: dict[str, Any]) -> str:
    pair = f"{found['a']}  {found['b']}"
    if "error" in found:
        return f"{pair}  {found['error']}"
    verdict = "同一人 same" if found["same"] else "不是同一人 different"
    return f"{pair}  {found['score']:.3f} ({'>=' if found['same'] else '<'} {found['threshold']})  {verdict}"


def _document() -> Document:
    """The document whose number is prompted for without echo, or read from standard input."""
    if sys.stdin.isatty():
        return read_document(typer.prompt("证件号 Document number", hide_input=True))
    return read_document(sys.stdin.readline())

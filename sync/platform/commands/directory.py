"""`edge-platform directory`: what the city knows of people."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from sync.platform.commands import options

app = typer.Typer(no_args_is_help=True, help="The directory of persons that boxes hold a copy of.")


@app.callback()
def directory() -> None:
    """The directory of persons that boxes hold a copy of."""


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV with a header, or JSONL, one person a row")],
    community_key_file: Annotated[Path, typer.Option(help="hex digits; makes person keys of numbers")],
    data: options.Data = options.DATA,
    as_json: options.AsJson = False,
) -> None:
    """Put the persons of a file into the directory; a running platform publishes them at once."""
    import msgspec
    from rich.console import Console
    from rich.progress import Progress

    from sync.platform.directory.importer import ImportReport, import_file, read_community_key
    from sync.platform.directory.store import DirectoryStore

    async def run(progress: Progress) -> ImportReport:
        async with DirectoryStore.opened(data / "directory.db") as source:
            bar = progress.add_task(file.name, total=file.stat().st_size)
            return await import_file(source, file, community_key, lambda count: progress.advance(bar, count))

    with options.report_errors():
        community_key = read_community_key(community_key_file)
        with Progress(console=Console(stderr=True), transient=True, disable=as_json) as progress:
            report = asyncio.run(run(progress))
    if as_json:
        typer.echo(msgspec.json.encode(report))
    else:
        for line, reason in report.refused:
            typer.echo(f"line {line} refused: {reason}", err=True)
        typer.echo(f"{report.read} rows read, {report.changed} persons changed, {len(report.refused)} rows refused")
    if report.refused:
        raise typer.Exit(1)

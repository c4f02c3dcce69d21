"""`edge-platform directory`: the directory of persons."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from sync.platform.commands import options
from sync.platform.commands.output import echo

app = typer.Typer(no_args_is_help=True, help="The directory of persons, which is replicated to the boxes.")


@app.callback()
def directory() -> None:
    """The directory of persons, which is replicated to the boxes."""


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV with a header, or JSONL, one person per row.")],
    community_key_file: Annotated[Path, typer.Option(help="File with the community key in hex digits.")],
    data: options.Data = options.DATA,
    as_json: options.AsJson = False,
) -> None:
    """Import the persons of a file into the directory; a running platform publishes them immediately.

    A row with an earlier `as_of` than the directory has changes nothing. The exit status is 1 if a row was rejected.
    """
    import msgspec
    from rich.console import Console
    from rich.progress import Progress

    from sync.platform.directory.importer import ImportReport, import_file, read_community_key, summary
    from sync.platform.directory.store import DirectoryStore

    async def run(progress: Progress) -> ImportReport:
        async with DirectoryStore.opened(data / "directory.db") as directory:
            bar = progress.add_task(file.name, total=file.stat().st_size)
            return await import_file(directory, file, community_key, lambda count: progress.advance(bar, count))

    with options.report_errors():
        community_key = read_community_key(community_key_file)
        with Progress(console=Console(stderr=True), transient=True, disable=as_json) as progress:
            report = asyncio.run(run(progress))
    if as_json:
        echo(msgspec.json.encode(report))
    else:
        for line, reason in report.refused:
            echo(f"line {line} rejected: {reason}", err=True)
        for line, text in report.warnings:
            echo(f"line {line} warning: {text}", err=True)
        echo(summary(report))
    if report.refused:
        raise typer.Exit(1)

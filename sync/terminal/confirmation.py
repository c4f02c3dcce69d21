"""The question before a command that cannot be undone; shared by both command lines."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask; for scripts.")]


def confirm(consequence: str, *, yes: bool) -> None:
    """Print `consequence` on standard error and ask whether to continue; `yes`: do not ask.

    Exits with status 1 for any other answer than yes, and where standard input has no answer.
    """
    if yes:
        return
    # Not typer.confirm, which also writes to standard output, where a script reads JSON.
    typer.echo(f"{consequence}\n继续吗？ Continue? [y/N]: ", err=True, nl=False)
    answer = sys.stdin.readline()
    if answer.strip().lower() in ("y", "yes"):
        return
    if not answer:
        typer.echo("\n没有回答；脚本请加 --yes。 No answer; in a script add --yes.", err=True)
    typer.echo("未做任何改动。 Nothing was changed.", err=True)
    raise typer.Exit(1)

"""What the commands of `edge-agent` share: options, and how what a person can put right ends them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from config.errors import SettingsError
from sync.errors import leaf_exceptions

DEFAULT_CONFIG = Path("/etc/edge-agent/sentinel.toml")

Config = Annotated[Path, typer.Option("--config", "-c", help="Settings of this box (TOML).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]

Errors = type[Exception]


def ended(message: str, code: int = 1) -> typer.Exit:
    """Say what is wrong and how to go on; returns the exit to raise."""
    for line in message.splitlines():
        typer.echo(f"edge-agent: {line}", err=True)
    return typer.Exit(code)


@contextmanager
def report_errors(*mendable: Errors, unusable: tuple[Errors, ...] = (SettingsError,)) -> Iterator[None]:
    """What a person can put right ends the command with a sentence; a bug is not caught.

    The status is 2 where what was asked for cannot be meant (`unusable`), and 1 where it failed (`mendable`).
    """
    try:
        yield
    except (*unusable, *mendable) as exc:
        raise ended(str(exc), 2 if isinstance(exc, unusable) else 1) from exc
    except ExceptionGroup as group:
        known, bugs = group.split((*unusable, *mendable))
        if known is None or bugs is not None:
            raise
        told = list(leaf_exceptions(known))
        raise ended("\n".join(map(str, told)), 2 if any(isinstance(each, unusable) for each in told) else 1) from group

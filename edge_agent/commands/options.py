"""Shared by the commands of `edge-agent`: options, and the reporting of errors."""

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
    """Print an error message; returns the exit to raise."""
    for line in message.splitlines():
        typer.echo(f"edge-agent: {line}", err=True)
    return typer.Exit(code)


@contextmanager
def report_errors(*failures: Errors, unusable: tuple[Errors, ...] = (SettingsError,)) -> Iterator[None]:
    """Report expected errors in one sentence and exit; other exceptions are bugs and are not caught.

    The exit status is 2 for invalid input (`unusable`) and 1 for a failed operation (`failures`).
    """
    try:
        yield
    except (*unusable, *failures) as exc:
        raise ended(str(exc), 2 if isinstance(exc, unusable) else 1) from exc
    except ExceptionGroup as group:
        known, bugs = group.split((*unusable, *failures))
        if known is None or bugs is not None:
            raise
        errors = list(leaf_exceptions(known))
        raise ended(
            "\n".join(map(str, errors)), 2 if any(isinstance(each, unusable) for each in errors) else 1
        ) from group

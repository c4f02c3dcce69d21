"""Output of `edge-platform`: what a box or a file sent cannot end a line or control the terminal."""

from __future__ import annotations

import typer

from sync.redaction import printable


def echo(*lines: str | bytes, err: bool = False) -> None:
    """Print each of `lines` as one line to standard output, or to standard error if `err`; bytes are UTF-8."""
    for line in lines:
        typer.echo(printable(line.decode() if isinstance(line, bytes) else line), err=err)

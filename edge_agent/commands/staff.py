"""`edge-agent staff`: who may use the staff view of this box."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from config.credentials import secret_path
from config.errors import SettingsError
from config.settings import load_settings
from edge_agent.staff_pin import FEWEST_DIGITS, MOST_DIGITS, check_pin, write_pin

app = typer.Typer(no_args_is_help=True, help="工作人员 Who may use the staff view of this box.")

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="Settings of this box (TOML).")]


@app.callback()
def staff() -> None:
    """工作人员 Who may use the staff view of this box."""


@app.command("set-pin")
def set_pin(
    config: ConfigOption = Path("/etc/edge-agent/sentinel.toml"),
) -> None:
    """Set the PIN of the staff view, asked for or read from standard input; only a slow hash of it is kept."""
    try:
        path = secret_path(load_settings(config).staff.pin_hash_file)
    except SettingsError as exc:
        raise _ended(exc) from exc
    if sys.stdin.isatty():
        pin = typer.prompt(f"PIN, {FEWEST_DIGITS} to {MOST_DIGITS} digits", hide_input=True, confirmation_prompt=True)
    else:
        pin = sys.stdin.readline().strip()
    try:
        check_pin(pin)
        write_pin(path, pin)
    except SettingsError as exc:
        raise _ended(exc) from exc
    typer.echo(f"The PIN is set ({path}). A running agent takes it from its next start.")


def _ended(why: SettingsError) -> typer.Exit:
    typer.echo(f"edge-agent: {why}", err=True)
    return typer.Exit(1)

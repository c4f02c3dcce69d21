"""`edge-agent staff`: access to the staff view of this box."""

from __future__ import annotations

import sys

import typer

from config.credentials import secret_path
from config.settings import load_settings
from edge_agent.commands.options import DEFAULT_CONFIG, Config, report_errors
from edge_agent.privileges.as_owner import as_owner_of
from edge_agent.staff.pin import FEWEST_DIGITS, MOST_DIGITS, check_pin, write_pin

app = typer.Typer(no_args_is_help=True, help="工作人员 Access to the staff view of this box.")


@app.callback()
def staff() -> None:
    """工作人员 Access to the staff view of this box."""


@app.command("set-pin")
def set_pin(
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Set the PIN of the staff view, prompted for or read from standard input; only a slow hash is stored."""
    with report_errors():
        path = secret_path(load_settings(config).staff.pin_hash_file)
    if sys.stdin.isatty():
        pin = typer.prompt(f"PIN, {FEWEST_DIGITS} to {MOST_DIGITS} digits", hide_input=True, confirmation_prompt=True)
    else:
        pin = sys.stdin.readline().strip()
    with report_errors():
        check_pin(pin)
        as_owner_of(path.parent, lambda: write_pin(path, pin))
    typer.echo(f"The PIN is set ({path}). A running agent uses it after its next start.")

"""`edge-agent privacy`: what protects people's data on this box, and the proof of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from config.errors import SettingsError
from config.settings import load_settings

app = typer.Typer(no_args_is_help=True, help="隐私 What protects people's data on this box.")
DEFAULT_CONFIG = Path("/etc/edge-agent/sentinel.toml")

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="Settings of this box (TOML).")]


@app.callback()
def privacy() -> None:
    """隐私 What protects people's data on this box."""


@app.command("make-key")
def new_key(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Make the key that personal data are sealed with, once."""
    from edge_agent.privacy.key_file import make_key_file

    try:
        settings = load_settings(config)
        make_key_file(settings)
    except SettingsError as exc:
        typer.echo(f"edge-agent: {exc}", err=True)
        raise typer.Exit(2) from exc
    typer.echo(
        f"{settings.privacy.key_file}: 密钥已生成，请仅允许服务用户读取。"
        " The key is made; let the service's user alone read it."
    )

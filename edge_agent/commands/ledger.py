"""`edge-agent ledger`: the records of this box."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import typer

from config.errors import SettingsError
from config.settings import load_settings
from edge_agent.commands.options import DEFAULT_CONFIG, AsJson, Config, ended
from sync.terminal.confirmation import Yes, confirm

app = typer.Typer(no_args_is_help=True, help="账本 The records of this box.")


@app.callback()
def ledger() -> None:
    """账本 The records of this box."""


@app.command()
def renew(
    config: Config = DEFAULT_CONFIG,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Start a new ledger epoch after the SD card was cloned; pending records are still delivered."""
    from sync.edge.ledger.history import read_outbox
    from sync.edge.ledger.recovery import start_new_epoch
    from sync.errors import StoreFailed

    try:
        path = Path(load_settings(config).box.data_dir) / "ledger.db"
        pending = asyncio.run(read_outbox(path))
        count = pending.count + pending.parked
        confirm(
            f"账本将换新，不能撤销；旧账本和其中 {count} 条未送达的记录保留。只在存储卡被复制过时使用。\n"
            f"A new ledger epoch will be started, which cannot be undone; the old ledger and its {count} pending"
            " records are kept. Use this only after the card was copied.",
            yes=yes,
        )
        old_path = start_new_epoch(path)
    except SettingsError as exc:
        raise ended(str(exc), 2) from exc
    except StoreFailed as exc:
        raise ended(f"{exc}\n请先停止服务，并以管理员身份运行。 Stop the service first, and run as root.") from exc
    if as_json:
        typer.echo(json.dumps({"set_aside": str(old_path), "waiting": count}))
        return
    typer.echo(
        f"旧账本保留为 {old_path}；其中 {count} 条未送达的记录，服务启动后仍以原编号送出。\n"
        f"The old ledger is kept as {old_path}; its {count} pending records are sent with their original numbers"
        " when the service runs."
    )

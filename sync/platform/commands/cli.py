"""`edge-platform`: the command line of the platform."""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import logging
from pathlib import Path
from typing import Annotated

import typer

from sync.platform.commands import options
from sync.platform.commands.boxes import app as boxes_commands
from sync.platform.commands.broker import app as broker_commands
from sync.platform.commands.ca import app as ca_commands
from sync.platform.commands.directory import app as directory_commands
from sync.platform.commands.ledger import app as ledger_commands
from sync.platform.commands.orders import broadcast, command, reinstate, revoke
from sync.platform.commands.output import echo
from sync.platform.commands.policy import keys as key_commands
from sync.platform.commands.policy import policy as policy_commands
from sync.platform.commands.simulate import simulate
from sync.redaction import log_without_passwords
from sync.signals import until_signalled
from sync.terminal.closed_output import ends_quietly_without_reader

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="The platform of a district: receives records, shows the fleet."
)
for verb in (simulate, revoke, reinstate, command, broadcast):
    app.command()(verb)
app.add_typer(key_commands, name="keys")
app.add_typer(policy_commands, name="policy")
app.add_typer(directory_commands, name="directory")
app.add_typer(ledger_commands, name="ledger")
app.add_typer(ca_commands, name="ca")
app.add_typer(boxes_commands, name="boxes")
app.add_typer(broker_commands, name="broker")


@app.command()
@options.with_option_groups
def serve(
    *,
    platform: options.PlatformConnection,
    data: options.Data = options.DATA,
    store: options.Store = "",
    http: Annotated[str, typer.Option(help="host:port of the fleet page.")] = "127.0.0.1:8090",
    http_name: Annotated[
        list[str], typer.Option(help="Further host name of the fleet page, as of a proxy; may be repeated.")
    ] = [],  # noqa: B006
    directory: Annotated[Path | None, typer.Option(help="CSV or JSONL file of persons, imported at start.")] = None,
    community_key_file: options.CommunityKey = None,
    backlog_per_s: options.BacklogRate = 5000.0,
) -> None:
    """Run ingest, directory and fleet page of one district until interrupted."""
    from sync.platform.service import PlatformService, ServiceSettings

    log_without_passwords(logging.INFO, options.LOG)
    with options.report_errors():
        host, port = options.address("--http", http)
        settings = ServiceSettings(
            broker=platform.broker,
            district=platform.district,
            data=data,
            store=store,
            http_host=host,
            http_port=port,
            http_names=tuple(http_name),
            tls=platform.tls.files,
            directory=directory,
            community_key=_community_key(directory, community_key_file),
            backlog_per_s=backlog_per_s,
        )
        asyncio.run(until_signalled(PlatformService(settings).run()))


@app.command()
@options.with_option_groups
def ingest(
    *,
    platform: options.PlatformConnection,
    data: options.Data = options.DATA,
    store: options.Store = "",
    backlog_per_s: options.BacklogRate = 5000.0,
) -> None:
    """Receive records beside `serve`, into the same store; start as many processes as the load needs."""
    from sync.platform.service import IngestProcess, ServiceSettings

    log_without_passwords(logging.INFO, options.LOG)
    with options.report_errors():
        settings = ServiceSettings(
            broker=platform.broker,
            district=platform.district,
            data=data,
            store=store,
            tls=platform.tls.files,
            backlog_per_s=backlog_per_s,
        )
        asyncio.run(until_signalled(IngestProcess(settings).run()))


@app.command()
def version(as_json: options.AsJson = False) -> None:
    """Print the version."""
    number = importlib.metadata.version("sentinel-gate")
    echo(json.dumps({"version": number}) if as_json else f"edge-platform {number}")


def main() -> None:
    """Entry point of the command."""
    with ends_quietly_without_reader():
        app()


def _community_key(directory: Path | None, file: Path | None) -> bytes:
    from sync.platform.directory.importer import read_community_key

    if directory is None:
        return b""
    if file is None:
        raise typer.BadParameter("required by --directory", param_hint="--community-key-file")
    return read_community_key(file)


if __name__ == "__main__":
    main()

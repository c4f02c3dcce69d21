"""`edge-platform`: the city's end of the wire on the command line."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import json
import logging
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated

import typer

from sync.errors import SyncError

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="The city's end of the wire: takes records, shows the fleet."
)


@app.command()
def serve(
    broker: Annotated[
        str, typer.Option(help="mqtts://host:port, or mqtt:// on this machine")
    ] = "mqtt://127.0.0.1:1883",
    district: Annotated[str, typer.Option(help="district name as in the topics: a-z, 0-9 and -")] = "demo",
    data: Annotated[Path, typer.Option(help="folder of the databases; made when missing")] = Path("var/platform"),
    http: Annotated[str, typer.Option(help="host:port of the fleet page")] = "127.0.0.1:8090",
    directory: Annotated[Path | None, typer.Option(help="JSONL of health statuses, imported at start")] = None,
    community_key_file: Annotated[Path | None, typer.Option(help="hex digits; makes person keys of numbers")] = None,
    ca: Annotated[Path | None, typer.Option(help="PEM of the authority that signed the broker")] = None,
    certificate: Annotated[Path | None, typer.Option(help="PEM of our own certificate")] = None,
    key: Annotated[Path | None, typer.Option(help="PEM of its key")] = None,
) -> None:
    """Run ingest, directory and fleet page of one district until interrupted."""
    from sync.broker import TlsFiles
    from sync.platform.service import Platform, PlatformSettings

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        host, port = _address(http)
        settings = PlatformSettings(
            broker=broker,
            district=district,
            data=data,
            http_host=host,
            http_port=port,
            tls=TlsFiles(ca, certificate, key),
            directory=directory,
            community_key=_community_key(directory, community_key_file),
        )
        asyncio.run(_until_stopped(Platform(settings).run()))
    except (SyncError, OSError, ValueError) as exc:
        typer.echo(f"edge-platform: {exc}", err=True)
        raise typer.Exit(1) from exc


@app.command()
def version(as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False) -> None:
    """Print the version."""
    number = importlib.metadata.version("sentinel-gate")
    typer.echo(json.dumps({"version": number}) if as_json else f"edge-platform {number}")


def main() -> None:
    """Entry point of the command."""
    app()


async def _until_stopped(work: Coroutine[None, None, None]) -> None:
    """Run the platform until SIGINT or SIGTERM."""
    running = asyncio.current_task()
    if running is None:
        raise RuntimeError("runs as a task")
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await work


def _community_key(directory: Path | None, file: Path | None) -> bytes:
    from sync.platform.importer import read_community_key

    if directory is None:
        return b""
    if file is None:
        raise ValueError("--directory needs --community-key-file")
    return read_community_key(file)


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isascii() and port.isdecimal() and int(port) < 65536):
        raise ValueError(f"--http must be host:port, not {text!r}")
    return host.strip("[]"), int(port)


if __name__ == "__main__":
    main()

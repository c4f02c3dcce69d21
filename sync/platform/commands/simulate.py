"""`edge-platform simulate`."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from sync.platform.commands import options
from sync.platform.commands.output import echo
from sync.signals import until_signalled


@options.with_option_groups
def simulate(
    boxes: Annotated[int, typer.Option(help="Number of boxes.", min=1, max=5000)] = 948,
    minutes: Annotated[float, typer.Option(help="Minutes in which one day passes.", min=0.01, max=1440)] = 2.0,
    rate: Annotated[float, typer.Option(help="Passages per box and hour, mean of the day.", min=0, max=3600)] = 60.0,
    tls: Annotated[bool, typer.Option("--tls", help="Mutual TLS with a certificate for each box.")] = False,
    outage: Annotated[
        float, typer.Option(help="Seconds for which the broker is down in the middle of the day.", min=0, max=3600)
    ] = 0.0,
    admit_per_s: Annotated[
        float, typer.Option(help="Connections per second that the connection limiter admits; 0: no limiter.", min=0)
    ] = 0.0,
    backlog: Annotated[int, typer.Option(help="Unsent records in each box at the start.", min=0)] = 0,
    backlog_per_s: options.BacklogRate = 5000.0,
    revoke: Annotated[int, typer.Option(help="Persons whose green code is revoked during the day.", min=0)] = 0,
    ingest: Annotated[int, typer.Option(help="Ingest processes beside the platform.", min=0, max=64)] = 0,
    broker: Annotated[
        str | None, typer.Option(help="Broker of a running platform; a private broker and platform if omitted.")
    ] = None,
    district: options.District = "simulation",
    store: options.Store = "",
    data: Annotated[Path | None, typer.Option(help="Folder for all files; a temporary one if omitted.")] = None,
    seed: Annotated[int, typer.Option(help="Random seed; the same seed simulates the same people.")] = 1,
    as_json: options.AsJson = False,
    *,
    client: options.Tls,
) -> None:
    """Run a whole district in this process: real MQTT sessions, real ledgers, one day with its peaks."""
    import msgspec

    from sync.platform.simulation.report import simulate as run
    from sync.platform.simulation.timeline import Simulation

    logging.getLogger("sync").setLevel(logging.ERROR)  # else a thousand boxes each log their lost connection
    with options.report_errors(), tempfile.TemporaryDirectory(prefix="simulate-") as folder:
        settings = Simulation(
            folder=data or Path(folder),
            boxes=boxes,
            minutes=minutes,
            per_hour=rate,
            broker=broker,
            district=district,
            tls=tls,
            files=client.files,
            store=store,
            ingest=ingest,
            backlog=backlog,
            backlog_per_s=backlog_per_s,
            revoke=revoke,
            outage_s=outage,
            admit_per_s=admit_per_s,
            seed=seed,
        )
        report = asyncio.run(until_signalled(run(settings, lambda text: echo(text, err=True))))
    if report is None:
        raise typer.Exit(1)
    text = msgspec.json.encode(report)
    echo(*([text] if as_json else msgspec.json.format(text, indent=2).splitlines()))

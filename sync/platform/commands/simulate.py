"""`edge-platform simulate`."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from sync.platform.commands import options


def simulate(
    boxes: Annotated[int, typer.Option(help="how many boxes", min=1, max=5000)] = 948,
    minutes: Annotated[float, typer.Option(help="minutes in which one day passes", min=0.01, max=1440)] = 2.0,
    rate: Annotated[
        float, typer.Option(help="passages of one box in an hour, mean of the day", min=0, max=3600)
    ] = 60.0,
    tls: Annotated[bool, typer.Option("--tls", help="mutual TLS with a certificate for each box")] = False,
    outage: Annotated[float, typer.Option(help="seconds the broker is away in the middle", min=0, max=3600)] = 0.0,
    admit_per_s: Annotated[
        float, typer.Option(help="connects a second that the door lets in; 0: no door", min=0)
    ] = 0.0,
    backlog: Annotated[int, typer.Option(help="records that wait in each box at the start", min=0)] = 0,
    backlog_per_s: options.BacklogRate = 5000.0,
    revoke: Annotated[int, typer.Option(help="persons whose green is taken away during the day", min=0)] = 0,
    ingest: Annotated[int, typer.Option(help="ingest processes beside the platform", min=0, max=64)] = 0,
    broker: Annotated[str | None, typer.Option(help="a broker with a platform; own ones when left out")] = None,
    district: options.District = "simulation",
    store: options.Store = "",
    data: Annotated[Path | None, typer.Option(help="folder for all files; a temporary one when left out")] = None,
    ca: options.Ca = None,
    certificate: options.Certificate = None,
    key: options.Key = None,
    seed: Annotated[int, typer.Option(help="the same seed, the same people")] = 1,
    as_json: options.AsJson = False,
) -> None:
    """Run a whole district in this process: real MQTT sessions, real ledgers, a day with its peaks."""
    import msgspec

    from sync.mqtt.broker_address import TlsFiles
    from sync.platform.simulation.course import Simulation
    from sync.platform.simulation.report import simulate as run

    logging.getLogger("sync").setLevel(logging.ERROR)  # a thousand boxes would each tell of their lost link
    with options.report_errors(), tempfile.TemporaryDirectory(prefix="simulate-") as folder:
        settings = Simulation(
            folder=data or Path(folder),
            boxes=boxes,
            minutes=minutes,
            per_hour=rate,
            broker=broker,
            district=district,
            tls=tls,
            files=TlsFiles(ca, certificate, key),
            store=store,
            ingest=ingest,
            backlog=backlog,
            backlog_per_s=backlog_per_s,
            revoke=revoke,
            outage_s=outage,
            admit_per_s=admit_per_s,
            seed=seed,
        )
        report = asyncio.run(options.until_stopped(run(settings, lambda text: typer.echo(text, err=True))))
    if report is None:
        raise typer.Exit(1)
    text = msgspec.json.encode(report)
    typer.echo(text if as_json else msgspec.json.format(text, indent=2))

"""`edge-agent models`: the model packs on this box."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

from edge_agent.commands.options import AsJson, ended
from models.errors import ModelError
from models.packs.extra import has_extra
from models.packs.packs import PackState, PackStatus, PackStore

app = typer.Typer(no_args_is_help=True, help="模型 The model packs on this box: list, verify, add, pull, bench.")

DataOption = Annotated[Path, typer.Option("--data", help="Folder of the packs that are not part of the package.")]
YesOption = Annotated[
    bool, typer.Option("--accept-non-commercial", help="Accept a licence that forbids commercial use.")
]
DEFAULT_DATA = Path("/var/lib/edge-agent/models")


@contextmanager
def report_model_errors() -> Iterator[None]:
    """Report an error of a model or a file in one sentence and exit with 1."""
    try:
        yield
    except ModelError as exc:
        raise ended(str(exc)) from exc
    except PermissionError as exc:
        raise ended(f"{exc.filename}: 请用 sudo 运行 run it with sudo: {exc.strerror}") from exc
    except OSError as exc:
        raise ended(f"文件无法读写。 A file cannot be read or written: {exc.strerror}") from exc


@app.command("list")
def list_packs(data: DataOption = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """List the known packs and whether each is present, judged by its size."""
    with report_model_errors():
        _show(PackStore(data).list(), as_json)


@app.command()
def verify(data: DataOption = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Verify the checksum of every present pack; exit 1 if one is damaged."""
    with report_model_errors():
        found = PackStore(data).verify()
    _show(found, as_json)
    if any(status.state is PackState.DAMAGED for status in found):
        raise typer.Exit(1)


@app.command()
def add(
    file: Annotated[Path, typer.Argument(help="A file of a pack; the checksum identifies the pack.")],
    data: DataOption = DEFAULT_DATA,
    accept_non_commercial: YesOption = False,
) -> None:
    """Add a pack from a file."""
    with report_model_errors():
        status = PackStore(data).add(file, accept_non_commercial=accept_non_commercial)
    typer.echo(f"{status.pack.name} is in {status.path}")


@app.command()
def pull(
    name: Annotated[str, typer.Argument(help="Name of the pack, as shown by list.")],
    data: DataOption = DEFAULT_DATA,
    accept_non_commercial: YesOption = False,
) -> None:
    """Download a pack; an interrupted download is resumed."""
    columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with report_model_errors(), Progress(*columns, transient=True) as bar:
        task = bar.add_task(name)
        status = PackStore(data).pull(
            name,
            progress=lambda done, size: bar.update(task, completed=done, total=size),
            accept_non_commercial=accept_non_commercial,
        )
    typer.echo(f"{status.pack.name} is in {status.path}")


@app.command()
def bench(
    detector: Annotated[str, typer.Argument(help="sentinel, yunet or scrfd.")] = "sentinel",
    size: Annotated[int, typer.Option(help="Long side of the model's input.", min=160, max=1280)] = 320,
    threads: Annotated[int, typer.Option(help="Threads of the model.", min=1, max=8)] = 1,
    data: DataOption = DEFAULT_DATA,
    accept_non_commercial: YesOption = False,
    as_json: AsJson = False,
) -> None:
    """Measure the speed of a detector on this machine, on a plain 640x480 frame."""
    from models.detectors.face import make_detector
    from models.detectors.timing import plain_frame, time_detector

    with report_model_errors():
        face_detector = make_detector(
            detector, size=size, threads=threads, data_dir=data, accept_non_commercial=accept_non_commercial
        )
    timing = time_detector(face_detector, plain_frame())
    if as_json:
        typer.echo(json.dumps({"detector": detector, "size": size, "threads": threads, **asdict(timing)}))
    else:
        typer.echo(f"{detector} at {size} px: {timing.cpu_median_ms:.1f} ms a frame (p95 {timing.cpu_p95_ms:.1f} ms)")


def _show(found: tuple[PackStatus, ...], as_json: bool) -> None:
    for status in found:
        pack = status.pack
        if as_json:
            row = {"name": pack.name, "kind": pack.kind, "state": status.state, "bytes": pack.bytes}
            row |= {"sha256": pack.sha256, "licence": pack.licence, "commercial": pack.commercial, "extra": pack.extra}
            typer.echo(json.dumps({**row, "path": status.path and str(status.path)}))
        else:
            use = "" if pack.commercial else ", not for commercial use"
            typer.echo(f"{status.state.value:<8} {pack.name:<16} {pack.kind:<16} {pack.bytes:>10}  {pack.licence}{use}")
            if pack.extra is not None and not has_extra(pack.extra):
                remedy = f"sudo edge-agent install --with {pack.extra} --apply"
                typer.echo(f"{'':<9}需要选装组件 needs the extra {pack.extra}: {remedy}")

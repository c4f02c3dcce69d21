"""`edge-agent calibrate`: calibration of the thermometer against a black body."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Annotated

import msgspec
import typer

from config.settings import Settings, load_settings
from edge_agent.calibration.correction import (
    Calibration,
    CalibrationPoint,
    calibration_from,
    check_references,
    save_calibration,
)
from edge_agent.commands.calibrate_view import report_calibration_errors, required_name, view
from edge_agent.commands.options import DEFAULT_CONFIG, AsJson, Config
from edge_agent.diagnostics.status_client import check_stopped

app = typer.Typer(no_args_is_help=True, help="校准 Calibrate a device of this box.")
app.command()(view)


@app.callback()
def calibrate() -> None:
    """Calibrate a device of this box."""


@app.command()
def thermometer(
    by: Annotated[str, typer.Option(help="Name of the person who calibrates.", callback=required_name)],
    reference: Annotated[list[float], typer.Option(help="Black-body temperature in °C; give at least two.")],
    config: Config = DEFAULT_CONFIG,
    serial: Annotated[str, typer.Option(help="Serial number of the sensor.")] = "",
    ambient: Annotated[
        float | None, typer.Option(help="Room temperature in °C [as reported by the sensor].", min=-20, max=60)
    ] = None,
    seconds: Annotated[float, typer.Option(help="How long to read each black body.", min=1, max=120)] = 15.0,
    reference_uncertainty: Annotated[
        float, typer.Option(help="Standard uncertainty of the black body in °C.", min=0, max=1)
    ] = 0.1,
    valid_days: Annotated[int, typer.Option(help="Days until it expires.", min=1, max=730)] = 365,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; for scripts.")] = False,
    as_json: AsJson = False,
) -> None:
    """Calibrate the thermometer against a black body; the agent must not be running."""
    with report_calibration_errors():
        check_references(reference)
        settings = load_settings(config)
        check_stopped(settings.kiosk.host, settings.kiosk.port)
        points, ambients_c = zip(*(_measure(settings, each, seconds, ask=not yes) for each in reference), strict=True)
        now = datetime.now(UTC)
        made = calibration_from(
            points,
            reference_uncertainty,
            driver=settings.thermometer.driver,
            serial=serial,
            by=by,
            at=now,
            expires_at=now + timedelta(days=valid_days),
            ambient_c=_median_c([each for some in ambients_c for each in some]) if ambient is None else ambient,
        )
        _show(made, ask=not yes)
        path = save_calibration(made, Path(settings.box.data_dir))
    saved = f"已保存：{path}；请重新启动 agent。 Saved to {path}; restart the agent."
    typer.echo(msgspec.json.encode(made).decode() if as_json else saved)


def _measure(
    settings: Settings, reference_c: float, seconds: float, *, ask: bool
) -> tuple[CalibrationPoint, list[float]]:
    from edge_agent.calibration.black_body import read_point

    if ask:
        typer.prompt(
            f"让 {reference_c:g} °C 的黑体充满视野，然后按回车。\n"
            f"Let a black body of {reference_c:g} °C fill the view, then press Enter",
            "",
            show_default=False,
            err=True,
        )
    point, ambients_c = read_point(settings, reference_c, seconds)
    typer.echo(f"{reference_c:g} °C: {point.read_c:.2f} ± {point.scatter_c:.2f} °C ({point.readings})", err=True)
    return point, ambients_c


def _median_c(ambients_c: list[float]) -> float | None:
    return round(median(ambients_c), 2) if ambients_c else None


def _show(made: Calibration, *, ask: bool) -> None:
    typer.echo(
        f"偏移 offset {made.offset_c:+.2f} °C, 残差 residual {made.residual_c:.2f} °C, "
        f"剩余不确定度 uncertainty {made.uncertainty_c:.2f} °C",
        err=True,
    )
    if ask:
        typer.confirm("保存吗？Save it?", abort=True, err=True)

"""`edge-agent calibrate view`: alignment of camera and thermometer with a warm object."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from config.settings import Settings, load_settings
from drivers.errors import DriverError
from edge_agent.calibration.errors import BadCalibration
from edge_agent.commands.options import DEFAULT_CONFIG, AsJson, Config, report_errors
from edge_agent.diagnostics.status_client import AgentAlreadyRunning, check_stopped
from edge_agent.kiosk.errors import KioskError
from sync.redaction import log_without_passwords
from sync.signals import until_signalled

INSTRUCTIONS = """把一杯热水或暖手宝拿到画面四处，每处拿稳后在屏幕上点它：http://127.0.0.1:{port}
没有触摸屏：在电脑上执行 ssh -L {port}:127.0.0.1:{port} 本机，再打开同一网址。Ctrl-C 放弃。
Hold a cup of hot water or a hand-warmer at four places in the picture, and touch it on the screen at each place:
http://127.0.0.1:{port} (without a touch screen: ssh -L {port}:127.0.0.1:{port} THIS-BOX, then open the same URL).
Ctrl-C cancels."""


def report_calibration_errors() -> AbstractContextManager[None]:
    """Report errors of a calibration that the user can correct."""
    return report_errors(AgentAlreadyRunning, BadCalibration, DriverError, KioskError, OSError)


def required_name(by: str) -> str:
    """The name of the person who calibrates, which is stored. Raises BadParameter if it is empty."""
    if not by.strip():
        raise typer.BadParameter("请写明校准人。 Name the person who calibrates.")
    return by.strip()


def view(
    by: Annotated[str, typer.Option(help="Name of the person who aligns.", callback=required_name)],
    config: Config = DEFAULT_CONFIG,
    serial: Annotated[str, typer.Option(help="Serial number of the thermometer.")] = "",
    camera_serial: Annotated[str, typer.Option(help="Serial number of the camera.")] = "",
    picture: Annotated[
        list[Path] | None, typer.Option(help="A saved picture instead of the page; one for each place.")
    ] = None,
    at: Annotated[list[str] | None, typer.Option(help="X,Y of the object in the picture, in pixels.")] = None,
    thermal: Annotated[
        list[Path] | None, typer.Option(help="Recording made by `devices record thermometer` at that place.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; for scripts.")] = False,
    as_json: AsJson = False,
) -> None:
    """Align camera and thermometer by four touches of a warm object: on the kiosk's screen, or from files."""
    from edge_agent.calibration.view.sensor import check_array
    from edge_agent.calibration.view.view_file import FILE_NAME, ViewCalibration, aligned
    from edge_agent.measurement.camera_to_thermal import Size, Touch

    def make(touches: Sequence[Touch], camera_size: Size, thermal_size: Size) -> ViewCalibration:
        return aligned(
            touches,
            camera_size,
            thermal_size,
            settings=settings,
            by=by,
            at=datetime.now(UTC),
            serial=serial,
            camera_serial=camera_serial,
        )

    log_without_passwords(logging.WARNING, "%(message)s")
    with report_calibration_errors():
        settings = load_settings(config)
        check_array(settings.thermometer)
        if picture or at or thermal:
            made = _from_files(picture or (), at or (), thermal or (), settings, make, ask=not yes)
        else:
            made = _on_the_page(settings, make)
    if made is None:
        raise typer.Exit(130)
    path = Path(settings.box.data_dir) / FILE_NAME
    saved = f"{made.summary}\n已保存：{path}；请重新启动 agent。 Saved to {path}; restart the agent."
    typer.echo(msgspec.json.encode(made).decode() if as_json else saved)


def _on_the_page(settings: Settings, make: Any) -> Any:
    from edge_agent.calibration.view.live import align_live

    check_stopped(settings.kiosk.host, settings.kiosk.port)
    typer.echo(INSTRUCTIONS.format(port=settings.kiosk.port), err=True)
    return asyncio.run(until_signalled(align_live(settings, make)))


def _from_files(
    pictures: Sequence[Path], at: Sequence[str], thermal: Sequence[Path], settings: Settings, make: Any, *, ask: bool
) -> Any:
    from edge_agent.calibration.view.files import Shot, touches_from
    from edge_agent.calibration.view.view_file import save_view

    if not len(pictures) == len(at) == len(thermal):
        raise BadCalibration(
            "每处都需要 --picture、--at 和 --thermal。", "Each place needs one --picture, one --at and one --thermal."
        )
    shots = [Shot(*each) for each in zip(pictures, map(_pixel, at), thermal, strict=True)]
    made = make(*touches_from(shots, settings.thermometer))
    if ask:
        typer.confirm(
            f"残差 {made.residual_px:.2f} 个热像素 thermal pixels of residual. 保存吗？Save it?", abort=True, err=True
        )
    save_view(made, Path(settings.box.data_dir))
    return made


def _pixel(text: str) -> tuple[float, float]:
    found = re.fullmatch(r"(\d+(?:\.\d+)?),(\d+(?:\.\d+)?)", text.strip())
    if found is None:
        raise BadCalibration(f"--at {text}：应为 X,Y。", f"--at {text}: expected X,Y in pixels, such as 412,230.")
    return float(found[1]), float(found[2])

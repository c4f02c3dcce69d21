"""`edge-agent devices`: what an installer does with a cable in one hand."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from config.errors import SettingsError
from config.settings import load_settings
from drivers.errors import BadSetting, DriverError
from edge_agent.commands.options import DEFAULT_CONFIG, AsJson, Config, ended, report_errors
from edge_agent.runtime.signals import until_signalled

app = typer.Typer(
    no_args_is_help=True, help="设备 The devices on this box: list, probe, watch, record, replay, simulate."
)
SHOW_EVERY_S = 0.25
NEWS_LIMIT_S = 2.0
FAULT_S = 5.0

NameArgument = Annotated[
    str, typer.Argument(help="A section of the settings (thermometer, ranger, reader), or a driver.")
]
PortOption = Annotated[
    str, typer.Option("--port", help="Port of the driver NAME: a path, usb:VID:PID[:SERIAL] or usb@LOCATION.")
]
BaudOption = Annotated[int | None, typer.Option("--baud", help="Rate of the line [tries those of the driver].")]


def describe() -> AbstractContextManager[None]:
    """What is wrong with a device or a setting."""
    return report_errors(DriverError, unusable=(SettingsError, BadSetting))


@app.command("list")
def list_ports(as_json: AsJson = False) -> None:
    """List the serial ports with the names that they keep."""
    from drivers.serial_line.ports import list_serial_ports, stable_name

    ports = list_serial_ports()
    named = [{"name": stable_name(port, ports), **port.to_dict()} for port in ports]
    if as_json:
        typer.echo(json.dumps(named, ensure_ascii=False))
        return
    for port in ports:
        usb = f"{port.vendor_id:04x}:{port.product_id:04x}" if port.vendor_id is not None else "no USB"
        typer.echo(f"{port.device}  {usb}  {port.serial or '-'}  {port.location or '-'}  {port.product or '-'}")
        typer.echo(f'    port = "{stable_name(port, ports)}"')
    if not ports:
        typer.echo("没有串口，请检查接线。 No serial port is there: check the cables.")


@app.command()
def probe(
    ports: Annotated[list[str] | None, typer.Argument(help="Ports to try [all].", metavar="[PORT...]")] = None,
    as_json: AsJson = False,
) -> None:
    """Find out what is plugged in, and propose the settings for it; takes up to half a minute."""
    from drivers.tools.probe import probe_all, proposed_settings

    with describe():
        findings = asyncio.run(until_signalled(probe_all(ports or ())))
    if findings is None:
        raise typer.Exit(130)
    if not findings:
        raise ended("没有串口，请检查接线。 No serial port is there: check the cables.", 1)
    proposal = proposed_settings(findings)
    if as_json:
        found = {"ports": [finding.to_dict() for finding in findings], "toml": proposal}
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    for finding in findings:
        typer.echo(finding.line())
    typer.echo(f"\n{proposal}" if proposal else "")


@app.command()
def watch(
    name: NameArgument,
    config: Config = DEFAULT_CONFIG,
    port: PortOption = "",
    baud: BaudOption = None,
    as_json: AsJson = False,
) -> None:
    """Show the readings of one device with their age, until Ctrl-C; the agent must not be running."""
    from drivers.tools.device_reader import DeviceReader

    _log_to_terminal()
    with describe():
        driver, where, rate = _device(name, config, port, baud)
        asyncio.run(until_signalled(_watch(DeviceReader(name, _dialect(driver), where, rate), as_json)))


async def _watch(tap: Any, as_json: bool) -> None:
    from drivers.tools.reading_output import to_dict, to_line

    sequence = 0
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(tap.run(), name="tap")
        while True:
            try:
                async with asyncio.timeout(NEWS_LIMIT_S):
                    sequence, (at_s, reading) = await tap.readings.after(sequence)
            except TimeoutError:
                news = {"state": tap.health.state.value, "detail": tap.health.detail or "no reading"}
            else:
                news = {**to_dict(reading), "age_s": round(time.monotonic() - at_s, 3)}
            typer.echo(json.dumps(news, ensure_ascii=False) if as_json else to_line(news))
            await asyncio.sleep(SHOW_EVERY_S)


@app.command()
def record(
    name: NameArgument,
    file: Annotated[Path, typer.Argument(help="New file for the raw bytes and their times.")],
    config: Config = DEFAULT_CONFIG,
    port: PortOption = "",
    baud: BaudOption = None,
    seconds: Annotated[float | None, typer.Option(help="Stop after so long [at Ctrl-C].", min=0.1)] = None,
) -> None:
    """Record the raw bytes of one device; a reader's are about people, so only the file's owner can read it."""
    from drivers.serial_line.recording import Recorder
    from drivers.tools.device_reader import DeviceReader

    _log_to_terminal()
    with describe():
        driver, where, rate = _device(name, config, port, baud)
        started_s = time.monotonic()
        with closing(Recorder(file, driver=driver, port=where)) as recorder:
            dialect = _dialect(driver)
            asked = tuple(question for question in dialect.questions if question not in dialect.unrecorded)
            tap = DeviceReader(
                name,
                replace(dialect, questions=asked),
                where,
                rate,
                lambda data, at_s: recorder.write(data, at_s - started_s),
            )
            asyncio.run(until_signalled(_run_for(tap, seconds)))
    if not recorder.recorded_bytes:
        raise ended(
            f"没有收到数据，请检查接线和供电。 Nothing came from {where}, no file was made: check cable and power", 1
        )
    counts = tap.counters
    typer.echo(
        f"{file}: {recorder.recorded_bytes} bytes in {time.monotonic() - started_s:.1f} s; {counts['frames']} frames, "
        f"{counts['bad_checksum']} with a wrong sum, {counts['resync_bytes']} bytes of none"
    )


async def _run_for(tap: Any, limit_s: float | None) -> None:
    try:
        async with asyncio.timeout(limit_s):
            await tap.run()
    except TimeoutError:
        return


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="A recording, or a file of bare bytes.")],
    driver: Annotated[str, typer.Option(help="Driver that decodes it [the one that was recorded].")] = "",
    as_json: AsJson = False,
    pixels: Annotated[bool, typer.Option(help="With every pixel of a thermal frame.")] = False,
) -> None:
    """Decode recorded bytes without the device: a line a reading, then the counts; JSON unless for a terminal."""
    from drivers.serial_line.recording import open_recording
    from drivers.tools.device_protocols import DIALECTS
    from drivers.tools.reading_output import to_dict, to_line
    from drivers.tools.replay import Replay

    show = json.dumps if as_json or not sys.stdout.isatty() else to_line
    with describe():
        recording = open_recording(file)
        if not (driver or recording.driver):
            raise BadSetting(f"{file} does not say whose bytes it holds; say it with --driver: {', '.join(DIALECTS)}")
        replayed = Replay(_dialect(driver or recording.driver))
        for at_s, reading in replayed.readings(recording.pieces()):
            when = {} if recording.is_bare else {"at_s": round(at_s, 3)}
            typer.echo(show({**when, **to_dict(reading, pixels=pixels)}))
    typer.echo(show(replayed.counts))
    if not replayed.fed_bytes:
        raise ended(f"{file} 里没有数据。 {file} holds no bytes of a device", 1)


@app.command()
def simulate(
    driver: Annotated[str, typer.Argument(help="Driver whose device is simulated.")],
    folder: Annotated[Path, typer.Argument(help="Folder for the port and the link to it.")],
    fault: Annotated[str, typer.Option(help="Fault that comes and goes, five seconds at a time [none].")] = "",
    seed: Annotated[int, typer.Option(help="The same seed gives the same readings and faults.")] = 1,
) -> None:
    """Simulate a device on a pseudo-terminal, sound or with a fault, until Ctrl-C."""
    from drivers.simulated.devices.bench import DRIVERS, live, suffer
    from drivers.simulated.devices.faults import FAULTS, FaultyWire

    async def both(wire: FaultyWire) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(live(driver, wire, seed), name=driver)
            if fault:
                tasks.create_task(suffer(wire, FAULTS[fault](), FAULT_S), name=fault)

    with describe():
        if driver not in DRIVERS:
            raise BadSetting(f"driver {driver!r} is not simulated; accepted: {', '.join(DRIVERS)}")
        if fault and fault not in FAULTS:
            raise BadSetting(f"fault {fault!r} is not known; accepted: {', '.join(FAULTS)}")
        try:
            wire = FaultyWire(folder, seed)
            wire.plug()
        except OSError as exc:
            raise BadSetting(f"no port can be made in {folder}: {exc.strerror}") from exc
        with wire:
            typer.echo(f'port = "{wire.by_id}"')
            asyncio.run(until_signalled(both(wire)))


def _device(name: str, config: Path, port: str, baud: int | None) -> tuple[str, str, int | None]:
    """Driver, port and rate of the device that was named."""
    from drivers.tools.device_protocols import DIALECTS, RELAYS

    if name in DIALECTS and port:
        driver, where, rate = name, port, baud
    elif name in DIALECTS:
        raise BadSetting(f"{name} 是驱动名，请用 --port 指明端口。 {name} is a driver: say where it is with --port")
    else:
        section: Any = getattr(load_settings(config), name, None)
        if not hasattr(section, "driver"):
            raise BadSetting(
                f"{name!r} is no device; accepted: thermometer, ranger, reader, card_reader, {', '.join(DIALECTS)}"
            )
        driver, where = section.driver, port or section.port
        rate = baud or getattr(section, "baud", 0) or None
    if driver == "none":
        raise BadSetting(f'未接设备：[{name}] driver = "none"。 None is wired: [{name}] driver = "none"')
    if driver in RELAYS:
        raise BadSetting(f"{driver}: a relay says nothing by itself; watch its state with edge-agent doctor")
    return driver, where, rate


def _dialect(driver: str) -> Any:
    from drivers.tools.device_protocols import DIALECTS

    if driver not in DIALECTS:
        raise BadSetting(f"driver {driver!r} is not known here; accepted: {', '.join(DIALECTS)}")
    return DIALECTS[driver]


def _log_to_terminal() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)

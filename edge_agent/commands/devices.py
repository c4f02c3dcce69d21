"""`edge-agent devices`: find, watch, record and simulate the devices of a box."""

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
from sync.redaction import log_without_passwords
from sync.signals import until_signalled

app = typer.Typer(
    no_args_is_help=True, help="设备 The devices on this box: list, probe, watch, record, replay, simulate."
)
SHOW_EVERY_S = 0.25
READING_LIMIT_S = 2.0
FAULT_S = 5.0

NameArgument = Annotated[
    str, typer.Argument(help="A section of the settings (thermometer, ranger, reader), or a driver.")
]
PortOption = Annotated[
    str, typer.Option("--port", help="Port of the driver NAME: a path, usb:VID:PID[:SERIAL] or usb@LOCATION.")
]
BaudOption = Annotated[int | None, typer.Option("--baud", help="Baud rate [tries those of the driver].")]


def report_device_errors() -> AbstractContextManager[None]:
    """Report errors of a device or a setting."""
    return report_errors(DriverError, unusable=(SettingsError, BadSetting))


@app.command("list")
def list_ports(as_json: AsJson = False) -> None:
    """List serial ports, cameras and sound cards with their stable names."""
    from drivers.audio.cards import list_sound_cards
    from drivers.camera.cameras import list_cameras
    from drivers.serial_line.consoles import is_console
    from drivers.serial_line.ports import list_serial_ports, stable_name

    ports, cameras, cards = list_serial_ports(), list_cameras(), list_sound_cards()
    keys = [("port", each, ports) for each in ports] + [("source", each, cameras) for each in cameras]
    named = [(key, stable_name(each, among), each) for key, each, among in keys]
    consoles = {port.device for port in ports if is_console(port.device)}
    if as_json:
        found = [
            {"name": name, **each.to_dict(), **({"console": each.device in consoles} if key == "port" else {})}
            for key, name, each in named
        ]
        typer.echo(
            json.dumps([*found, *({"name": each.device, **each.to_dict()} for each in cards)], ensure_ascii=False)
        )
        return
    for key, name, each in named:
        usb = f"{each.vendor_id:04x}:{each.product_id:04x}" if each.vendor_id is not None else "no USB"
        typer.echo(f"{each.device}  {usb}  {each.serial or '-'}  {each.location or '-'}  {each.product or '-'}")
        if each.device in consoles:
            typer.echo("    内核控制台，不能接设备 console of the kernel, not for a device")
        else:
            typer.echo(f'    {key} = "{name}"')
    for card in cards:
        typer.echo(f"{card.device}  声卡 sound card  {card.product}")
    if not ports:
        typer.echo("没有串口，请检查接线。 No serial port found: check the cables.")
    if not cameras:
        typer.echo("没有 USB 摄像头。 No USB camera found.")
    if not cards:
        typer.echo("没有声卡。 No sound card found.")


@app.command()
def probe(
    ports: Annotated[list[str] | None, typer.Argument(help="Ports to try [all].", metavar="[PORT...]")] = None,
    show_codes: Annotated[
        bool, typer.Option("--show-codes", help="Show what a reader scanned, with its raw bytes: personal data.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Identify the connected devices and propose settings for them; takes up to half a minute.

    Without PORT also takes a picture of every USB camera and lists the sound cards.
    """
    from drivers.audio.cards import list_sound_cards
    from drivers.tools.camera_probe import CameraFound, probe_cameras, proposed_camera
    from drivers.tools.probe import ProbeResult, probe_all, proposed_settings

    async def both() -> tuple[list[ProbeResult], list[CameraFound]]:
        if ports:
            return await probe_all(ports, show_codes=show_codes), []
        return await asyncio.gather(probe_all(show_codes=show_codes), probe_cameras())

    with report_device_errors():
        results = asyncio.run(until_signalled(both()))
    if results is None:
        raise typer.Exit(130)
    findings, cameras = results
    cards = [] if ports else list_sound_cards()
    if not (findings or cameras or cards):
        raise ended("没有串口，请检查接线。 No serial port found: check the cables.", 1)
    proposal = "\n".join(filter(None, (proposed_settings(findings), proposed_camera(cameras))))
    if as_json:
        found = {
            "ports": [finding.to_dict() for finding in findings],
            "cameras": [camera.to_dict() for camera in cameras],
            "sound_cards": [card.to_dict() for card in cards],
            "toml": proposal,
        }
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    for finding in findings:
        typer.echo(finding.line())
    for camera in cameras:
        typer.echo(camera.line())
    for card in cards:
        typer.echo(f"✓ {card.device}  声卡 sound card {card.product}")
    typer.echo(f"\n{proposal}" if proposal else "")


@app.command()
def watch(
    name: NameArgument,
    config: Config = DEFAULT_CONFIG,
    port: PortOption = "",
    baud: BaudOption = None,
    as_json: AsJson = False,
) -> None:
    """Show the readings of one device with their age until Ctrl-C; the agent must not be running."""
    from drivers.tools.device_reader import DeviceReader

    _log_to_terminal()
    with report_device_errors():
        _, protocol, where, rate = _device(name, config, port, baud)
        asyncio.run(until_signalled(_watch(DeviceReader(name, protocol, where, rate), as_json)))


async def _watch(reader: Any, as_json: bool) -> None:
    from drivers.tools.reading_output import to_dict, to_line

    sequence = 0
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(reader.run(), name="reader")
        while True:
            try:
                async with asyncio.timeout(READING_LIMIT_S):
                    sequence, (at_s, reading) = await reader.readings.after(sequence)
            except TimeoutError:
                shown = {"state": reader.health.state.value, "detail": reader.health.detail or "no reading"}
            else:
                shown = {**to_dict(reading), "age_s": round(time.monotonic() - at_s, 3)}
            typer.echo(json.dumps(shown, ensure_ascii=False) if as_json else to_line(shown))
            await asyncio.sleep(SHOW_EVERY_S)


@app.command()
def record(
    name: NameArgument,
    new_file: Annotated[Path, typer.Argument(help="New file for the raw bytes and their times.", metavar="FILE")],
    config: Config = DEFAULT_CONFIG,
    port: PortOption = "",
    baud: BaudOption = None,
    seconds: Annotated[
        float | None, typer.Option(help="Stop after N seconds [until Ctrl-C].", metavar="N", min=0.1)
    ] = None,
) -> None:
    """Record the raw bytes of one device. Only the owner can read the file: readers send personal data."""
    from drivers.serial_line.recording import Recorder
    from drivers.tools.device_reader import DeviceReader

    _log_to_terminal()
    with report_device_errors():
        driver, protocol, where, rate = _device(name, config, port, baud)
        started_s = time.monotonic()
        with closing(Recorder(new_file, driver=driver, port=where)) as recorder:
            queries = tuple(each for each in protocol.queries if each not in protocol.unrecorded_queries)
            reader = DeviceReader(
                name,
                replace(protocol, queries=queries),
                where,
                rate,
                lambda data, at_s: recorder.write(data, at_s - started_s),
            )
            asyncio.run(until_signalled(_run_for(reader, seconds)))
    if not recorder.recorded_bytes:
        raise ended(
            f"没有收到数据，请检查接线和供电。 No data from {where}, no file created: check cable and power",
            1,
        )
    counts = reader.counters
    typer.echo(
        f"{new_file}: {recorder.recorded_bytes} bytes in {time.monotonic() - started_s:.1f} s; "
        f"{counts['frames']} frames, {counts['bad_checksum']} checksum errors, {counts['resync_bytes']} unparsed bytes"
    )


async def _run_for(reader: Any, limit_s: float | None) -> None:
    try:
        async with asyncio.timeout(limit_s):
            await reader.run()
    except TimeoutError:
        return


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="A recording, or a file of raw bytes.")],
    driver: Annotated[str, typer.Option(help="Driver that decodes it [the recorded one].")] = "",
    as_json: AsJson = False,
    pixels: Annotated[bool, typer.Option(help="Show every pixel of a thermal frame.")] = False,
) -> None:
    """Decode recorded bytes: one line per reading, then the counters; JSON unless written to a terminal."""
    from drivers.readers.wrapping import KNOWN_ONLY
    from drivers.serial_line.recording import open_recording
    from drivers.tools.device_protocols import PROTOCOLS
    from drivers.tools.reading_output import to_dict, to_line
    from drivers.tools.replay import Replay

    show = json.dumps if as_json or not sys.stdout.isatty() else to_line
    with report_device_errors():
        recording = open_recording(file)
        if not (driver or recording.driver):
            raise BadSetting(f"{file} does not name its driver; give it with --driver: {', '.join(PROTOCOLS)}")
        replayed = Replay(_protocol(driver or recording.driver, KNOWN_ONLY))
        for at_s, reading in replayed.readings(recording.pieces()):
            when = {} if recording.is_bare else {"at_s": round(at_s, 3)}
            typer.echo(show({**when, **to_dict(reading, pixels=pixels)}))
    typer.echo(show(replayed.counts))
    if not replayed.fed_bytes:
        raise ended(f"{file} 里没有数据。 {file} contains no data", 1)


@app.command()
def simulate(
    driver: Annotated[str, typer.Argument(help="Driver whose device is simulated.")],
    folder: Annotated[Path, typer.Argument(help="Folder for the port and the link to it.")],
    fault: Annotated[str, typer.Option(help="Fault that alternates, five seconds on and off [none].")] = "",
    seed: Annotated[int, typer.Option(help="The same seed gives the same readings and faults.")] = 1,
) -> None:
    """Simulate a device on a pseudo-terminal, without or with a fault, until Ctrl-C."""
    from drivers.simulated.devices.device_simulator import DRIVERS, simulate_device, toggle_fault
    from drivers.simulated.devices.faults import FAULTS, FaultyWire

    async def both(wire: FaultyWire) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(simulate_device(driver, wire, seed), name=driver)
            if fault:
                tasks.create_task(toggle_fault(wire, FAULTS[fault](), FAULT_S), name=fault)

    with report_device_errors():
        if driver not in DRIVERS:
            raise BadSetting(f"driver {driver!r} is not simulated; accepted: {', '.join(DRIVERS)}")
        if fault and fault not in FAULTS:
            raise BadSetting(f"fault {fault!r} is not known; accepted: {', '.join(FAULTS)}")
        try:
            wire = FaultyWire(folder, seed)
            wire.plug()
        except OSError as exc:
            raise BadSetting(f"cannot create a port in {folder}: {exc.strerror}") from exc
        with wire:
            typer.echo(f'port = "{wire.by_id}"')
            asyncio.run(until_signalled(both(wire)))


def _device(name: str, config: Path, port: str, baud: int | None) -> tuple[str, Any, str, int | None]:
    """Driver, protocol, port and baud rate of the named device; a section of the settings also gives its wrapping."""
    from drivers.readers.wrapping import KNOWN_ONLY
    from drivers.tools.device_protocols import PROTOCOLS, RELAYS
    from edge_agent.box.devices import wrapping_from

    wrapping = KNOWN_ONLY
    if name in PROTOCOLS and port:
        driver, where, rate = name, port, baud
    elif name in PROTOCOLS:
        raise BadSetting(f"{name} 是驱动名，请用 --port 指明端口。 {name} is a driver: give the port with --port")
    else:
        settings = load_settings(config)
        section: Any = getattr(settings, name, None)
        if not hasattr(section, "driver"):
            raise BadSetting(
                f"{name!r} is not a device; accepted: thermometer, ranger, reader, card_reader, {', '.join(PROTOCOLS)}"
            )
        driver, where, wrapping = section.driver, port or section.port, wrapping_from(settings)
        rate = baud or getattr(section, "baud", 0) or None
    if driver == "none":
        raise BadSetting(f'未接设备：[{name}] driver = "none"。 No device is connected: [{name}] driver = "none"')
    if driver in RELAYS:
        raise BadSetting(f"{driver}: a relay sends no data by itself; check it with edge-agent doctor")
    return driver, _protocol(driver, wrapping), where, rate


def _protocol(driver: str, wrapping: Any) -> Any:
    from drivers.tools.device_protocols import PROTOCOLS, protocol_with

    if driver not in PROTOCOLS:
        raise BadSetting(f"driver {driver!r} is unknown here; accepted: {', '.join(PROTOCOLS)}")
    return protocol_with(driver, wrapping)


def _log_to_terminal() -> None:
    log_without_passwords(logging.WARNING, "%(message)s")

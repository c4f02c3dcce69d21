"""The command line `edge-agent`. Each verb imports what it needs when it is called, so that `--help` is fast."""

from __future__ import annotations

import asyncio
import errno
import faulthandler
import json
import logging
import sys
import tempfile
import time
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated, Any

import typer

from config.errors import SettingsError
from config.settings import Settings, load_settings
from edge_agent.commands import calibrate, devices, faces, ledger, models, policy, privacy, prompts, staff
from edge_agent.commands.options import DEFAULT_CONFIG, AsJson, Config, ended, report_errors
from edge_agent.commands.provision import provision
from edge_agent.commands.verb import as_agent, guard
from edge_agent.runtime.process_exit import leave
from edge_agent.runtime.standard_streams import make_usable
from sync.redaction import log_without_passwords
from sync.terminal.closed_output import ends_quietly_without_reader, give_up_output

app = typer.Typer(
    name="edge-agent",
    help="电子哨兵 The agent of one sentinel: measures, identifies, decides, opens the gate and reports.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for family in (models, calibrate, devices, faces, ledger, policy, privacy, prompts, staff):
    app.add_typer(family.app, name=family.__name__.rpartition(".")[2])
app.command()(provision)


FAULTS = ("camera-loss", "thermometer-loss", "platform-loss", "clock-jump", "disk-full")


@app.command()
def run(config: Config = DEFAULT_CONFIG) -> None:
    """Run the agent until it is stopped."""
    from edge_agent.runtime.threads import without_pools

    without_pools()
    from edge_agent.main import USER_ERRORS, run_sentinel
    from sync.signals import until_signalled

    log_without_passwords(logging.INFO, "%(asctime)s %(message)s", "%H:%M:%S")
    faulthandler.enable()  # prints the stack of every thread when the watchdog aborts the process
    with report_errors(unusable=USER_ERRORS):
        asyncio.run(until_signalled(run_sentinel(config)))


@app.command()
def demo(
    passages: Annotated[
        int | None, typer.Option(help="Stop after N passages were committed and acknowledged.", metavar="N", min=1)
    ] = None,
    as_json: AsJson = False,
    kiosk_port: Annotated[int | None, typer.Option(help="Port of the kiosk page [8080]; 0: any free port.")] = None,
    fleet_port: Annotated[int | None, typer.Option(help="Port of the fleet page [8090]; 0: any free port.")] = None,
    detector: Annotated[str, typer.Option(help="Face detector: sentinel, yunet.")] = "sentinel",
    seed: Annotated[int, typer.Option(help="Random seed; changes the simulated people.")] = 1,
    data: Annotated[Path | None, typer.Option(help="Folder for all files [a temporary one].")] = None,
) -> None:
    """Run the whole system on this machine: broker, platform, one sentinel and simulated people."""
    from edge_agent.demo.errors import DemoError
    from edge_agent.demo.supervisor import Demo, DemoOptions
    from sync.signals import until_signalled

    def say(line: str) -> None:
        typer.echo(line, err=as_json)

    default_kiosk, default_fleet = (0, 0) if as_json else (8080, 8090)
    with tempfile.TemporaryDirectory(prefix="sentinel-demo-") as temporary:
        folder = data or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        options = DemoOptions(
            folder=folder.resolve(),
            passages=passages,
            quiet=as_json,
            kiosk_port=default_kiosk if kiosk_port is None else kiosk_port,
            fleet_port=default_fleet if fleet_port is None else fleet_port,
            detector=detector,
            seed=seed,
        )
        with report_errors(DemoError):
            report = asyncio.run(until_signalled(Demo(options, say).run()))
    if report is None:
        say("stopped")
        raise typer.Exit(0 if passages is None else 130)
    typer.echo(json.dumps(report) if as_json else json.dumps(report, indent=2))


@app.command()
def inspect(
    photos: Annotated[list[Path], typer.Argument(help="Pictures to look at.", metavar="PHOTO...")],
    as_json: AsJson = False,
    detector: Annotated[str, typer.Option(help="Face detector: sentinel, yunet, scrfd.")] = "sentinel",
    size: Annotated[int, typer.Option(help="Long side of the model's input.", min=160, max=1280)] = 320,
    min_score: Annotated[
        float | None, typer.Option(help="Omit faces below this score [0.45; with --json 0.05].", min=0, max=1)
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="Model file to use instead of the bundled one.")] = None,
    accept_non_commercial: Annotated[bool, typer.Option(help="Allow weights not licensed for commercial use.")] = False,
) -> None:
    """Detect faces and masks in photos; prints one line per photo."""
    from models.detectors.face import make_detector
    from models.detectors.inspect_picture import INSPECT_SCORE, inspect_picture
    from models.detectors.upright import make_upright_probe
    from models.errors import ModelError, PictureUnreadable

    score = INSPECT_SCORE if as_json and min_score is None else min_score
    with report_errors(unusable=(ModelError,)):
        face_detector = make_detector(
            detector, size=size, score=score, weights=weights, accept_non_commercial=accept_non_commercial
        )
        probe = make_upright_probe()
    unreadable = 0
    for photo in photos:
        try:
            found = inspect_picture(face_detector, photo, probe)
        except PictureUnreadable as exc:
            unreadable += 1
            typer.echo(f"edge-agent: {exc}", err=True)
            continue
        typer.echo(json.dumps(found, ensure_ascii=False) if as_json else _readable(found))
    if unreadable:
        raise typer.Exit(1)


def _readable(found: dict[str, Any]) -> str:
    faces = found["faces"]
    descriptions = ", ".join(
        f"{face['mask'] or 'mask not judged'} at {[round(edge) for edge in face['box']]} ({face['score']:.2f})"
        for face in faces
    )
    count = f"{len(faces)} face{'' if len(faces) == 1 else 's'}"
    line = f"{found['image']}: {count}{': ' + descriptions if descriptions else ''}"
    if damage := found.get("damage"):
        line += f"; 图片似已损坏 the picture looks damaged: {damage}"
    if turn := found.get("turned"):
        line += f"; 人脸倒置 the faces stand upright when the picture is turned by {turn}°"
    return line


@app.command()
def doctor(
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
    gate: Annotated[bool, typer.Option("--gate", help="Open the gate once, after asking.")] = False,
) -> None:
    """Check this box and show each result when it is known, with a remedy for every fault; exit 1 if a check failed."""
    from edge_agent.doctor.report import ReportLine, summary
    from edge_agent.doctor.run_checks import run_checks

    if gate and sys.stdin.isatty():
        gate = typer.confirm("闸机将打开一次，通道内无人吗？ The gate will open once. Is the lane clear?", err=True)
    logging.basicConfig(handlers=[logging.NullHandler()])  # the report shows the lost devices

    def show(line: ReportLine) -> None:
        if not as_json:
            typer.echo(line.text())

    report = asyncio.run(run_checks(config, on_line=show, open_gate=gate))
    typer.echo(json.dumps([line.to_dict() for line in report], ensure_ascii=False) if as_json else summary(report))
    if not all(line.passed for line in report):
        raise typer.Exit(1)


RootOption = Annotated[Path, typer.Option(help="Root of the box's file system.")]
ApplyOption = Annotated[bool, typer.Option("--apply", help="Apply the changes; without it, only show them (dry run).")]


@app.command()
def install(
    wheelhouse: Annotated[Path, typer.Option(help="Folder created by make wheelhouse.")] = Path(
        "/usr/share/edge-agent/wheelhouse"
    ),
    extras: Annotated[
        list[str] | None, typer.Option("--with", help="Extra to install: recognition.", metavar="EXTRA")
    ] = None,
    without: Annotated[list[str] | None, typer.Option("--without", help="Extra to remove.", metavar="EXTRA")] = None,
    root: RootOption = Path("/"),
    for_real: ApplyOption = False,
) -> None:
    """Install the agent on this box: users, environment, settings, units; a dry run without --apply.

    An update keeps the extras of the box.
    """
    from edge_agent.installer import __main__ as installer

    raise typer.Exit(installer.install(root, wheelhouse, for_real=for_real, extras=extras or (), without=without or ()))


@app.command()
def uninstall(
    purge: Annotated[bool, typer.Option("--purge", help="Also delete settings, secrets and records.")] = False,
    root: RootOption = Path("/"),
    for_real: ApplyOption = False,
) -> None:
    """Remove the agent from this box; a dry run without --apply."""
    from edge_agent.installer import __main__ as installer

    raise typer.Exit(installer.uninstall(root, purge=purge, for_real=for_real))


@app.command()
def drill(
    fault: Annotated[str, typer.Argument(help=f"One of {', '.join(FAULTS)}.", metavar="FAULT")],
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Inject a fault into an isolated copy of the agent with this box's policy, and verify the fallback rule.

    Does not affect the running agent, its data or the gate.
    """
    from edge_agent.drill.errors import DrillImpossible
    from edge_agent.drill.faults import drill_folder, play_in
    from edge_agent.drill.report import DrillReport
    from edge_agent.privileges.as_owner import foreign_owner
    from sync.signals import until_signalled

    if fault not in FAULTS:
        raise ended(f"unknown fault {fault!r}; accepted: {', '.join(FAULTS)}", 2)
    logging.basicConfig(handlers=[logging.NullHandler()])  # the drivers would log the injected faults

    def show(report: DrillReport | None) -> None:
        if report is None:
            raise typer.Exit(130)
        typer.echo(json.dumps(report.to_dict(), ensure_ascii=False) if as_json else "\n".join(report.lines()))
        if not report.passed:
            raise typer.Exit(1)

    def drill_here() -> None:
        with report_errors(unusable=(SettingsError, DrillImpossible)):
            report = asyncio.run(until_signalled(play_in(folder, fault, settings)))
        show(report)

    with report_errors(unusable=(SettingsError, DrillImpossible)):
        settings = load_settings(config)
        with drill_folder(fault, foreign_owner(Path(settings.box.data_dir))) as folder:
            as_agent(settings, drill_here)


@app.command()
def status(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show the status of the running agent."""
    from edge_agent.diagnostics.status_client import AgentNotResponding, ask_agent, status_lines

    with report_errors(AgentNotResponding):
        kiosk = load_settings(config).kiosk
        report = ask_agent(kiosk.host, kiosk.port)
    typer.echo(json.dumps(report, ensure_ascii=False) if as_json else "\n".join(status_lines(report)))


@app.command()
def bundle(
    config: Config = DEFAULT_CONFIG,
    out: Annotated[Path | None, typer.Option(help="Output file [./edge-agent-bundle-TIME.tar.gz].")] = None,
) -> None:
    """Pack a support bundle of this box, without secrets and without personal data."""
    from edge_agent.diagnostics.bundle import Bundle, secrets_from, write_bundle
    from edge_agent.diagnostics.bundle_contents import LOG_LINES, collect
    from edge_agent.doctor.run_checks import run_checks
    from edge_agent.platform_link.link_settings import versions
    from edge_agent.privacy.face_finder import make_face_finder
    from edge_agent.privacy.scanner import kinds_in
    from edge_agent.privacy.stored_files import journal_text
    from edge_agent.privileges.as_owner import as_owner_of
    from edge_agent.runtime.service_unit import AGENT_UNIT

    fault, settings = "", Settings()
    try:
        settings = load_settings(config)
    except SettingsError as exc:
        fault = str(exc)
    journal = journal_text(AGENT_UNIT, LOG_LINES)  # the agent cannot read it

    def pack() -> bytes:
        shows_face = make_face_finder()
        bundle = Bundle(secrets_from(settings), lambda data: kinds_in(data, shows_face))
        checks = [line.to_dict() for line in asyncio.run(run_checks(config))]
        collect(bundle, settings, fault, config, checks, versions(), journal)
        for name, why in bundle.left_out.items():
            typer.echo(f"- {name}: 未收入。 Left out: {why}")
        return bundle.packed()

    with report_errors():
        packed = as_agent(settings, pack)
    path = out or Path(f"edge-agent-bundle-{time.strftime('%Y%m%dT%H%M%S')}.tar.gz")
    try:
        with report_errors():
            as_owner_of(path.parent, lambda: write_bundle(path, packed))
    except OSError as exc:
        raise ended(f"{path}: 无法写入。 Cannot be written: {exc.strerror}") from exc
    typer.echo(f"{path}: 已打包，不含密钥和个人信息。 Packed, without secrets and without personal data.")


@app.command()
def version(as_json: AsJson = False) -> None:
    """Print the version."""
    number = installed_version("sentinel-gate")
    typer.echo(json.dumps({"version": number}) if as_json else f"edge-agent {number}")


# Install and uninstall work in folders of root's. Of the others root reads the journal, or writes settings and secrets.
ROOT_VERBS = (install, uninstall, provision, drill, bundle, privacy.scan, privacy.new_key, staff.set_pin)
guard(app, ROOT_VERBS)


def main() -> None:
    """Entry point of the command."""
    make_usable()
    try:
        with ends_quietly_without_reader():
            app()
    except SystemExit as end:
        leave(end.code if isinstance(end.code, int) else 0)
        raise
    except OSError as exc:
        if exc.errno != errno.ENOSPC:
            raise
        give_up_output()
        where = exc.filename or "the output file"
        typer.echo(
            f"edge-agent: 空间已满，请清理后重试。 No space left on {where}: free some space and try again.", err=True
        )
        leave(1)
        raise SystemExit(1) from exc


if __name__ == "__main__":
    main()

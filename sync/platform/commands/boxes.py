"""`edge-platform boxes`: who may speak to this platform."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from sync.platform.commands import options

app = typer.Typer(no_args_is_help=True, help="The boxes that may speak to this platform.")


@app.callback()
def boxes() -> None:
    """The boxes that may speak to this platform."""


@app.command("list")
def list_(data: options.Data = options.DATA, as_json: options.AsJson = False) -> None:
    """Every box with its serial, what it may do, and the days left of its certificate."""
    from datetime import UTC, datetime

    import msgspec

    known = _with_registry(data, lambda registry: registry.change(lambda book: book.boxes()))
    now = datetime.now(UTC)
    rows = [
        {
            "name": box.name,
            "serial": box.serial,
            "status": box.status,
            "certificate_until": box.expires,
            "certificate_days": round((box.expires - now) / timedelta(days=1), 1) if box.expires else None,
        }
        for box in known
    ]
    if as_json:
        typer.echo(msgspec.json.encode(rows))
        return
    for row in rows:
        days = row["certificate_days"]
        left = "-" if days is None else f"{days:g} days"
        typer.echo(f"{row['name']:<24} {row['status']:<9} {left:<12} {row['serial']}")


@app.command()
def token(
    serial: Annotated[str, typer.Argument(help="serial of the box, as it shows it")],
    name: Annotated[
        str, typer.Option(help="what the box will be called: a-z, 0-9 and -", callback=options.name_checked)
    ],
    accept: Annotated[bool, typer.Option("--accept", help="it need not wait for an operator when it comes")] = False,
    hours: Annotated[float, typer.Option(help="until when it must come", min=0.01, max=24)] = 24.0,
    sheet: Annotated[Path | None, typer.Option(help="write a page with the QR code to this HTML file")] = None,
    data: options.Data = options.DATA,
    as_json: options.AsJson = False,
) -> None:
    """Invite a box: a token for its serial that works once, and a sheet for the installer."""
    import msgspec

    from sync.contract.enrolment import Invitation
    from sync.platform.authority.certificates import CaFiles
    from sync.platform.authority.registry import Registry
    from sync.platform.authority.sheet import sheet as sheet_of
    from sync.platform.authority.sheet import spaced
    from sync.storage.atomic_files import replace_whole

    async def work(registry: Registry) -> tuple[Invitation, Any]:
        url = await registry.change(lambda book: book.url())
        made, until = await registry.invite(serial, name, lasts=timedelta(hours=hours), accept=accept)
        return Invitation(url, serial, made, ca_sha256), until

    with options.report_errors():
        ca_sha256 = CaFiles.below(data / "ca").load().sha256
    invitation, until = _with_registry(data, work)
    if as_json:
        said = {"name": name, "serial": serial, "token": invitation.token, "url": invitation.url}
        typer.echo(msgspec.json.encode({**said, "ca_sha256": ca_sha256, "until": until, "code": str(invitation)}))
    else:
        typer.echo(f"口令 token: {spaced(invitation.token)}")
        typer.echo(f"有效期至 use before: {until.astimezone():%Y-%m-%d %H:%M %Z}")
        typer.echo(f"登记地址 address: {invitation.url}\n机构指纹 fingerprint: {ca_sha256}")
    if sheet is not None:
        with options.report_errors():  # only now: the token holds, and nobody could read it out again
            replace_whole(sheet, sheet_of(invitation, name, until).encode())
        if not as_json:
            typer.echo(f"登记单 sheet: {sheet}")


@app.command()
def accept(name: options.Box, data: options.Data = options.DATA, as_json: options.AsJson = False) -> None:
    """Let the box that waits have its certificate."""
    import msgspec

    box = _with_registry(data, lambda registry: registry.accept(name))
    said = {"name": box.name, "serial": box.serial, "status": box.status}
    typer.echo(msgspec.json.encode(said) if as_json else f"{name} 已接受 accepted ({box.serial})")


@app.command()
def revoke(
    name: options.Box,
    broker: Annotated[
        str, typer.Option(help="where the platform's own programs come in, to end the connection of the box")
    ] = "",
    pid_file: Annotated[Path, typer.Option(help="of a mosquitto on this machine, to make it read the list")] = (
        options.PID_FILE
    ),
    ca: options.Ca = None,
    certificate: options.Certificate = None,
    key: options.Key = None,
    data: options.Data = options.DATA,
    as_json: options.AsJson = False,
) -> None:
    """Take a box's certificates away: the brokers' lists are written anew, and the box is thrown out.

    Ends with 1 when something of that is left to do, and says what.
    """
    import msgspec

    from sync.errors import LinkError
    from sync.mqtt.broker_address import BrokerAddress, TlsFiles
    from sync.platform.authority.certificates import CaFiles
    from sync.platform.authority.registry import BoxStatus
    from sync.platform.brokers.kick import kick, reload_mosquitto
    from sync.storage.atomic_files import replace_whole

    files = CaFiles.below(data / "ca")
    left: list[str] = []
    with options.report_errors():
        authority = files.load()
        address = BrokerAddress.from_url(broker, TlsFiles(ca, certificate, key)) if broker else None
        revoked, folders = _with_registry(data, lambda registry: registry.revoke(name))
        listed = authority.revocations(revoked)
        for path in (files.revoked, *(folder / "revoked.pem" for folder in folders)):
            try:
                replace_whole(path, listed, 0o644)
            except OSError as exc:
                left.append(f"名单未写入，请手工复制 not written, copy it by hand: {path}: {exc.strerror}")
        if not reload_mosquitto(pid_file):
            left.append("请让 broker 重读名单 make the broker read the list: systemctl reload mosquitto")
        if address is None:
            left.append("已连接的设备仍在线 a box that is connected stays: give --broker to throw it out")
        else:
            try:
                asyncio.run(kick(address, name))
            except LinkError as exc:
                left.append(f"已连接的设备仍在线，请重试 a box that is connected stays, try again: {exc}")
    if as_json:
        typer.echo(msgspec.json.encode({"name": name, "status": BoxStatus.REVOKED, "left_to_do": left}))
    else:
        typer.echo(f"{name} 已吊销 revoked")
        for line in left:
            typer.echo(line, err=True)
    if left:
        raise typer.Exit(1)


def _with_registry(data: Path, work: Callable[[Any], Awaitable[Any]]) -> Any:
    """What `work` returns, given the register in `data`."""
    from sync.platform.authority.registry import Registry

    async def run() -> Any:
        async with Registry.opened(data / "boxes.db") as registry:
            return await work(registry)

    with options.report_errors():
        if not (data / "boxes.db").exists():
            raise FileNotFoundError(f"{data / 'boxes.db'} is not there: edge-platform ca init makes an authority")
        return asyncio.run(run())

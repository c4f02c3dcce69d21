"""`edge-platform boxes`: the boxes that are allowed to connect."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from sync.platform.commands import options
from sync.platform.commands.output import echo
from sync.terminal.confirmation import Yes, confirm

app = typer.Typer(no_args_is_help=True, help="The boxes of this district.")


@app.callback()
def boxes() -> None:
    """The boxes of this district."""


@app.command("list")
def list_(data: options.Data = options.DATA, as_json: options.AsJson = False) -> None:
    """List every box with its serial, its status and the days until its certificate expires."""
    from datetime import UTC, datetime

    import msgspec

    boxes = _with_registry(data, lambda registry: registry.change(lambda transaction: transaction.boxes()))
    now = datetime.now(UTC)
    rows = [
        {
            "name": box.name,
            "serial": box.serial,
            "status": box.status,
            "certificate_until": box.expires,
            "certificate_days": round((box.expires - now) / timedelta(days=1), 1) if box.expires else None,
        }
        for box in boxes
    ]
    if as_json:
        echo(msgspec.json.encode(rows))
        return
    for row in rows:
        days = row["certificate_days"]
        left = "-" if days is None else f"{days:g} days"
        echo(f"{row['name']:<24} {row['status']:<9} {left:<12} {row['serial']}")


@app.command()
def token(
    serial: Annotated[str, typer.Argument(help="Serial of the box, as on its screen.")],
    name: Annotated[str, typer.Option(help="Name of the box: a-z, 0-9 and -.", callback=options.name_checked)],
    accept: Annotated[
        bool, typer.Option("--accept", help="Issue the certificate without waiting for an operator.")
    ] = False,
    hours: Annotated[float, typer.Option(help="Hours for which the token is valid.", min=0.01, max=24)] = 24.0,
    sheet: Annotated[Path | None, typer.Option(help="Write a page with the QR code to this HTML file.")] = None,
    data: options.Data = options.DATA,
    as_json: options.AsJson = False,
) -> None:
    """Invite a box: print a single-use token for its serial, and write a sheet for the installer."""
    import msgspec

    from sync.contract.enrolment import Invitation
    from sync.platform.authority.certificates import CaFiles
    from sync.platform.authority.registry import Registry
    from sync.platform.authority.sheet import grouped, render_sheet
    from sync.storage.atomic_files import replace_whole

    async def work(registry: Registry) -> tuple[Invitation, Any]:
        url = await registry.change(lambda transaction: transaction.url())
        secret, until = await registry.invite(serial, name, lasts=timedelta(hours=hours), accept=accept)
        return Invitation(url, serial, secret, ca_sha256), until

    with options.report_errors():
        ca_sha256 = CaFiles.below(data / "ca").load().sha256
    invitation, until = _with_registry(data, work)
    if as_json:
        fields = {"name": name, "serial": serial, "token": invitation.token, "url": invitation.url}
        echo(msgspec.json.encode({**fields, "ca_sha256": ca_sha256, "until": until, "code": str(invitation)}))
    else:
        echo(f"口令 token: {grouped(invitation.token)}")
        echo(f"有效期至 use before: {until.astimezone():%Y-%m-%d %H:%M %Z}")
        echo(f"登记地址 address: {invitation.url}", f"机构指纹 fingerprint: {ca_sha256}")
    if sheet is not None:
        with options.report_errors():  # last: the token, which cannot be read back, is printed even if this fails
            replace_whole(sheet, render_sheet(invitation, name, until).encode())
        if not as_json:
            echo(f"登记单 sheet: {sheet}")


@app.command()
def accept(name: options.Box, data: options.Data = options.DATA, as_json: options.AsJson = False) -> None:
    """Accept a pending box, so that it receives its certificate."""
    import msgspec

    box = _with_registry(data, lambda registry: registry.accept(name))
    fields = {"name": box.name, "serial": box.serial, "status": box.status}
    echo(msgspec.json.encode(fields) if as_json else f"{name} 已接受 accepted ({box.serial})")


@app.command()
@options.with_option_groups
def revoke(
    name: options.Box,
    broker: Annotated[
        str, typer.Option(help="Broker address for the platform's programs; used to disconnect the box.")
    ] = "",
    pid_file: Annotated[
        Path, typer.Option(help="PID file of a mosquitto on this machine, which is signalled to reload the list.")
    ] = (options.PID_FILE),
    *,
    tls: options.Tls,
    data: options.Data = options.DATA,
    yes: Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Revoke the certificates of a box: update the revocation lists of the brokers and disconnect the box.

    The exit status is 1 if a step is left to do; the output names it.
    """
    import msgspec

    from sync.errors import LinkError
    from sync.mqtt.broker_address import BrokerAddress
    from sync.platform.authority.certificates import CaFiles
    from sync.platform.authority.registry import BoxStatus, Registry
    from sync.platform.brokers.kick import kick
    from sync.platform.brokers.revocation_lists import RevocationLists

    async def work(registry: Registry) -> Sequence[str]:
        await registry.revoke(name)
        return await RevocationLists(authority, files, registry, pid_file).publish()

    files = CaFiles.below(data / "ca")
    remaining: list[str] = []
    with options.report_errors():
        authority = files.load()
        address = BrokerAddress.from_url(broker, tls.files) if broker else None
        _confirm_revocation(data, name, yes=yes)
        remaining += _with_registry(data, work)
        if address is None:
            remaining.append("已连接的设备仍在线 the box stays connected: give --broker to disconnect it")
        else:
            try:
                asyncio.run(kick(address, name))
            except LinkError as exc:
                remaining.append(f"已连接的设备仍在线，请重试 the box stays connected, try again: {exc}")
    if as_json:
        echo(msgspec.json.encode({"name": name, "status": BoxStatus.REVOKED, "left_to_do": remaining}))
    else:
        echo(f"{name} 已吊销 revoked")
        for line in remaining:
            echo(line, err=True)
    if remaining:
        raise typer.Exit(1)


def _confirm_revocation(data: Path, name: str, *, yes: bool) -> None:
    """Ask about a known box; the registry reports an unknown one."""
    boxes = _with_registry(data, lambda registry: registry.change(lambda transaction: transaction.boxes()))
    for box in boxes:
        if box.name == name:
            confirm(
                f"{name}（序列号 {box.serial}，{box.status}）的证书将被吊销，不能撤销；重新登记后才能再连接。\n"
                f"The certificates of {name} (serial {box.serial}, {box.status}) will be revoked, which cannot be"
                " undone: it connects again only after a new enrolment.",
                yes=yes,
            )


def _with_registry(data: Path, work: Callable[[Any], Awaitable[Any]]) -> Any:
    """The result of `work`, called with the registry in `data`."""
    from sync.platform.authority.registry import Registry

    async def run() -> Any:
        async with Registry.opened(data / "boxes.db") as registry:
            return await work(registry)

    with options.report_errors():
        if not (data / "boxes.db").exists():
            raise FileNotFoundError(
                f"{data / 'boxes.db'} does not exist: create an authority with edge-platform ca init"
            )
        return asyncio.run(run())

"""`edge-platform broker`: what a broker must be told so that it lets the right ones in, and no further."""

from __future__ import annotations

import asyncio
import pwd
import shutil
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sync.platform.commands import options

app = typer.Typer(no_args_is_help=True, help="Configuration of the broker.")


class BrokerKind(StrEnum):
    """Brokers that a configuration can be written for."""

    MOSQUITTO = "mosquitto"
    EMQX = "emqx"


@app.callback()
def broker() -> None:
    """Configuration of the broker."""


@app.command()
def config(
    out: Annotated[Path, typer.Option(help="folder for the files; they replace those written before")],
    host: Annotated[list[str], typer.Option(help="name or address of the broker; may be given often")],
    kind: Annotated[BrokerKind, typer.Option("--for", help="which broker")] = BrokerKind.MOSQUITTO,
    listen: Annotated[str, typer.Option(help="host:port where boxes come in")] = "0.0.0.0:8883",
    platform_listen: Annotated[
        str, typer.Option(help="host:port for the platform's own programs; boxes must not reach it")
    ] = "127.0.0.1:8884",
    state: Annotated[Path, typer.Option(help="where mosquitto keeps what it holds")] = Path("/var/lib/mosquitto"),
    pid_file: Annotated[Path, typer.Option(help="where mosquitto writes its process id")] = options.PID_FILE,
    owner: Annotated[str, typer.Option(help="user of the broker, who gets the key; with root alone")] = "",
    data: options.Data = options.DATA,
) -> None:
    """Write configuration, rules, certificates and the list of the revoked for a broker of this district.

    `boxes revoke` keeps the list in this folder up to date.
    """
    from sync.platform.authority.certificates import CaFiles
    from sync.platform.authority.own import ends, write_server
    from sync.platform.authority.registry import Registry, Revoked
    from sync.platform.brokers import emqx, mosquitto
    from sync.platform.brokers.mosquitto import Ports
    from sync.storage.atomic_files import replace_whole

    async def revoked() -> Revoked:
        async with Registry.opened(data / "boxes.db") as registry:
            return await registry.serve_broker(folder)

    folder = out.resolve()
    if owner:
        _check_user(owner)
    with options.report_errors():
        boxes, own = options.address("--listen", listen), options.address("--platform-listen", platform_listen)
        ports = Ports(boxes[1], boxes[0], own[1], own[0])
        authority = CaFiles.below(data / "ca").load()
        write_server(authority, folder, "broker", host)
        until = ends(folder / "broker.pem")
        texts = {"revoked.pem": authority.revocations(asyncio.run(revoked())).decode()}
        if kind is BrokerKind.MOSQUITTO:
            texts["mosquitto.conf"] = mosquitto.config(folder, state.resolve(), pid_file, ports)
            texts["acl"] = mosquitto.rules(authority.district)
        else:
            texts |= {"emqx.conf": emqx.config(ports), "acl.conf": emqx.rules(authority.district)}
        for name, text in texts.items():
            replace_whole(folder / name, text.encode(), 0o644)
        if owner:
            shutil.chown(folder / "broker.key", owner)
    typer.echo("\n".join(str(folder / name) for name in (*texts, "ca.pem", "broker.pem", "broker.key")))
    typer.echo(f"有效期至 valid until: {until:%Y-%m-%d}\n说明 read on: docs/broker.md")


def _check_user(name: str) -> None:
    try:
        pwd.getpwnam(name)
    except KeyError as exc:
        raise typer.BadParameter(f"there is no user {name!r} on this machine", param_hint="--owner") from exc

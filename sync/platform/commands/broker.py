"""`edge-platform broker`: writes the configuration of a broker."""

from __future__ import annotations

import asyncio
import pwd
import shutil
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sync.platform.commands import options
from sync.platform.commands.output import echo

app = typer.Typer(no_args_is_help=True, help="Configuration of the broker.")


class BrokerKind(StrEnum):
    """Supported brokers."""

    MOSQUITTO = "mosquitto"
    EMQX = "emqx"


@app.callback()
def broker() -> None:
    """Configuration of the broker."""


@app.command()
def config(
    out: Annotated[Path, typer.Option(help="Folder for the files; existing ones are replaced.")],
    host: Annotated[list[str], typer.Option(help="Host name or address of the broker; may be repeated.")],
    kind: Annotated[BrokerKind, typer.Option("--for", help="Broker to configure.")] = BrokerKind.MOSQUITTO,
    listen: Annotated[str, typer.Option(help="host:port for boxes.")] = "0.0.0.0:8883",
    platform_listen: Annotated[
        str, typer.Option(help="host:port for the platform's programs; must not be reachable for boxes.")
    ] = "127.0.0.1:8884",
    state: Annotated[Path, typer.Option(help="Persistence folder of mosquitto.")] = Path("/var/lib/mosquitto"),
    pid_file: Annotated[Path, typer.Option(help="PID file of mosquitto.")] = options.PID_FILE,
    owner: Annotated[
        str, typer.Option(help="User of the broker, who becomes the owner of the key; requires root.")
    ] = "",
    data: options.Data = options.DATA,
) -> None:
    """Write configuration, access rules, certificates and the revocation list of a broker of this district.

    `boxes revoke` keeps the revocation list in this folder up to date.
    """
    from sync.platform.authority.certificates import CaFiles
    from sync.platform.authority.own import expiry, write_server_files
    from sync.platform.authority.registry import Registry, Revoked
    from sync.platform.brokers import emqx, mosquitto
    from sync.platform.brokers.mosquitto import Ports
    from sync.storage.atomic_files import replace_whole

    async def revoked() -> Revoked:
        async with Registry.opened(data / "boxes.db") as registry:
            return await registry.register_broker(folder)

    folder = out.resolve()
    if owner:
        _check_user(owner)
    with options.report_errors():
        boxes, platform = options.address("--listen", listen), options.address("--platform-listen", platform_listen)
        ports = Ports(boxes[1], boxes[0], platform[1], platform[0])
        authority = CaFiles.below(data / "ca").load()
        write_server_files(authority, folder, "broker", host)
        until = expiry(folder / "broker.pem")
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
    echo(*(str(folder / name) for name in (*texts, "ca.pem", "broker.pem", "broker.key")))
    echo(f"有效期至 valid until: {until:%Y-%m-%d}", "说明 see: docs/broker.md")


def _check_user(name: str) -> None:
    try:
        pwd.getpwnam(name)
    except KeyError as exc:
        raise typer.BadParameter(f"user {name!r} does not exist on this machine", param_hint="--owner") from exc

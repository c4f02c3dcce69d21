"""`edge-platform revoke`, `command` and `broadcast`: what the platform orders, signed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import sys
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from sync.platform.commands import options

Wait = Annotated[float, typer.Option(help="seconds to wait for what boxes answer", min=0, max=3600)]


class NotGreen(StrEnum):
    """What a person can be made whose green is taken away."""

    RED = "red"
    YELLOW = "yellow"
    GREY = "grey"


Keys = Annotated[Path | None, typer.Option("--keys", help="folder made by `keys init`; `keys` in --data by default")]


def revoke(
    number_file: Annotated[Path, typer.Option(help="document numbers, one a line; - for standard input")],
    colour: Annotated[NotGreen, typer.Option(help="the colour they get")] = NotGreen.RED,
    community_key_file: options.CommunityKey = None,
    broker: options.Broker = options.BROKER,
    district: options.District = options.DISTRICT,
    data: options.Data = options.DATA,
    keys: Keys = None,
    ca: options.Ca = None,
    certificate: options.Certificate = None,
    key: options.Key = None,
) -> None:
    """Take persons' green away at every gate at once.

    Numbers come from a file or standard input, never as arguments: those stand in process lists and histories.
    """
    from sync.contract.health import Colour
    from sync.platform.directory.importer import person_keys, read_community_key
    from sync.platform.directory.store import DirectoryStore
    from sync.platform.orders.issuer import OrderIssuer
    from sync.platform.orders.keys import KeyFiles

    async def run(orders: OrderIssuer) -> int:
        async with DirectoryStore.opened(data / "directory.db") as source:
            return await orders.revoke(source, wanted, Colour(colour))

    with options.report_errors():
        secret = read_community_key(community_key_file or KeyFiles.below(keys or data / "keys").community)
        wanted = person_keys(_lines(number_file), secret)
        count = with_orders(run, options.PlatformConnection(broker, district, ca, certificate, key), data, keys)
    typer.echo(f"{count} persons are {colour} now")


def command(
    box: options.Box,
    name: Annotated[str, typer.Argument(help="name of the command", callback=options.name_checked)],
    arguments: Annotated[str, typer.Option(help="JSON object")] = "{}",
    wait: Wait = 10.0,
    broker: options.Broker = options.BROKER,
    district: options.District = options.DISTRICT,
    data: options.Data = options.DATA,
    keys: Keys = None,
    ca: options.Ca = None,
    certificate: options.Certificate = None,
    key: options.Key = None,
) -> None:
    """Have a box do something now, and print what it says; ends with 1 when it was not done."""
    import msgspec

    from sync.contract.orders import CommandDone
    from sync.platform.orders.issuer import OrderIssuer

    async def run(orders: OrderIssuer) -> CommandDone | None:
        return await orders.command(box, name, given, wait)

    with options.report_errors():
        given = _arguments(arguments)
        done = with_orders(run, options.PlatformConnection(broker, district, ca, certificate, key), data, keys)
    typer.echo(msgspec.json.encode(done) if done else f"{box} has not answered within {wait:g} s", err=done is None)
    if done is None or not done.done:
        raise typer.Exit(1)


def broadcast(
    text: Annotated[list[str], typer.Option(help="LANGUAGE=TEXT, such as en='Gate closes'; may be given often")] = [],  # noqa: B006
    hours: Annotated[float, typer.Option(help="for how long it holds", min=0.01, max=720)] = 12.0,
    schedule: Annotated[str | None, typer.Option(help="cron line in the box's time; once when left out")] = None,
    emergency: Annotated[bool, typer.Option("--emergency", help="interrupts everything else")] = False,
    withdraw: Annotated[str | None, typer.Option(help="take back the broadcast of this id")] = None,
    broker: options.Broker = options.BROKER,
    district: options.District = options.DISTRICT,
    data: options.Data = options.DATA,
    keys: Keys = None,
    ca: options.Ca = None,
    certificate: options.Certificate = None,
    key: options.Key = None,
) -> None:
    """Have every box say something; prints the id by which it can be taken back."""
    from sync.contract.orders import Broadcast, Priority, Withdrawal
    from sync.platform.orders.issuer import OrderIssuer

    now, lasts = datetime.now(UTC), timedelta(hours=hours)

    async def run(orders: OrderIssuer) -> None:
        await orders.broadcast(message, lasts)

    with options.report_errors():
        message: Broadcast | Withdrawal
        if withdraw is not None:
            message = Withdrawal(withdraw)
        else:
            message = Broadcast(
                broadcast_id=secrets.token_hex(8),
                texts=_texts(text),
                valid_from=now,
                valid_until=now + lasts,
                priority=Priority.EMERGENCY if emergency else Priority.NORMAL,
                schedule=schedule,
            )
        with_orders(run, options.PlatformConnection(broker, district, ca, certificate, key), data, keys)
    typer.echo(message.broadcast_id)


def with_orders(
    work: Callable[[Any], Awaitable[Any]], link: options.PlatformConnection, data: Path, keys: Path | None
) -> Any:
    """What `work` returns, given Orders over a connection of its own."""
    from sync.mqtt.broker_address import BrokerAddress, TlsFiles
    from sync.mqtt.connection import Connection
    from sync.mqtt.packets import Options
    from sync.platform.orders.issuer import OrderIssuer
    from sync.platform.orders.keys import KeyFiles
    from sync.platform.orders.order_log import OrderLog

    secret = KeyFiles.below(keys or data / "keys").signing_key()
    broker = BrokerAddress.from_url(link.broker, TlsFiles(link.ca, link.certificate, link.key))
    name = f"{link.district}.platform.orders.{secrets.token_hex(4)}"

    async def run() -> Any:
        async with (
            Connection.open(Options(broker, name, clean_start=True, session_expiry_s=0)) as connection,
            OrderLog.opened(data / "orders.db", secret) as book,
        ):
            return await work(OrderIssuer(connection, book, link.district))

    return asyncio.run(run())


def _lines(file: Path) -> Iterable[str]:
    return sys.stdin if str(file) == "-" else options.read_text(file).splitlines()


def _arguments(text: str) -> dict[str, Any]:
    with contextlib.suppress(ValueError, RecursionError):
        if isinstance(given := json.loads(text), dict):
            return given
    raise typer.BadParameter("must be a JSON object", param_hint="--arguments")


def _texts(given: list[str]) -> dict[str, str]:
    texts = dict(each.split("=", 1) for each in given if "=" in each)
    if not texts or len(texts) != len(given):
        raise typer.BadParameter("must be LANGUAGE=TEXT, each language once", param_hint="--text")
    return texts

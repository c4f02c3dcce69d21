"""`edge-platform revoke`, `command` and `broadcast`: signed orders to the boxes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from sync.platform.commands import options
from sync.platform.commands.output import echo
from sync.storage.text_file import decode_text

Wait = Annotated[float, typer.Option(help="Seconds to wait for the reports of the boxes.", min=0, max=3600)]
ClockWait = Annotated[
    float, typer.Option("--wait", help="Seconds to wait for boxes whose clock rejects the order.", min=0, max=3600)
]


class NotGreen(StrEnum):
    """Colours that `revoke` can set."""

    RED = "red"
    YELLOW = "yellow"
    GREY = "grey"


@options.with_option_groups
def revoke(
    number_file: Annotated[Path, typer.Option(help="File with one document number per line; - for standard input.")],
    colour: Annotated[NotGreen, typer.Option(help="New colour of these persons.")] = NotGreen.RED,
    community_key_file: options.CommunityKey = None,
    wait: ClockWait = 1.0,
    *,
    connection: options.OrderConnection,
) -> None:
    """Revoke the green code of persons at every gate immediately.

    Document numbers come from a file or standard input, never from arguments, which appear in process lists and shell
    histories. A revocation ends by newer data or by `reinstate`. A person who is not in the directory is revoked for
    when they appear; the exit status is 1 then.
    """
    from sync.contract.health import Colour
    from sync.platform.directory.store import DirectoryStore
    from sync.platform.orders.issuer import OrderIssuer

    async def run(issuer: OrderIssuer, directory: DirectoryStore) -> list[str]:
        return await issuer.revoke(directory, list(persons), Colour(colour))

    with options.report_errors():
        persons = _persons(number_file, community_key_file, connection)
        unknown = _with_directory(run, connection, wait)
    echo(f"{len(persons) - len(unknown)} persons are now {colour}")
    if unknown:
        for key in unknown:
            echo(f"line {persons[key]}: this person is not in the directory; check the number", err=True)
        echo(f"{len(unknown)} persons are not in the directory: kept, {colour} when they appear")
        raise typer.Exit(1)


@options.with_option_groups
def reinstate(
    number_file: Annotated[Path, typer.Option(help="File with one document number per line; - for standard input.")],
    by: Annotated[str, typer.Option(help="Name and office of who orders it; stored with the reason.")],
    reason: Annotated[str, typer.Option(help="Why the revocation ends.")],
    community_key_file: options.CommunityKey = None,
    wait: ClockWait = 1.0,
    *,
    connection: options.OrderConnection,
) -> None:
    """End the revocation of persons by a named order: each has the status from before the revocation again.

    A person who was not in the directory is removed from it. The exit status is 1 if a person is not revoked.
    """
    from sync.platform.directory.store import Authorisation, DirectoryStore
    from sync.platform.orders.issuer import OrderIssuer

    order = Authorisation(_stated("--by", by), _stated("--reason", reason), datetime.now(UTC))

    async def run(issuer: OrderIssuer, directory: DirectoryStore) -> list[str]:
        return await issuer.reinstate(directory, list(persons), order)

    with options.report_errors():
        persons = _persons(number_file, community_key_file, connection)
        others = _with_directory(run, connection, wait)
    echo(f"{len(persons) - len(others)} persons have their earlier status again")
    for key in others:
        echo(f"line {persons[key]}: this person is not revoked; unchanged", err=True)
    if others:
        raise typer.Exit(1)


@options.with_option_groups
def command(
    box: options.Box,
    name: Annotated[str, typer.Argument(help="Name of the command.", callback=options.name_checked)],
    arguments: Annotated[str, typer.Option(help="Arguments as a JSON object.")] = "{}",
    wait: Wait = 10.0,
    *,
    connection: options.OrderConnection,
) -> None:
    """Send a command to a box and print its report; the exit status is 1 if the command was not carried out."""
    import msgspec

    from sync.contract.orders import CommandDone
    from sync.platform.orders.issuer import OrderIssuer

    async def run(issuer: OrderIssuer) -> CommandDone | None:
        return await issuer.command(box, name, parsed, wait)

    with options.report_errors():
        parsed = _arguments(arguments)
        done = with_issuer(run, connection)
    echo(msgspec.json.encode(done) if done else f"{box} has not answered within {wait:g} s", err=done is None)
    if done is not None and done.box_time is not None:
        echo(clock_sentence(box, done.reason, done.box_time), err=True)
    if done is None or not done.done:
        raise typer.Exit(1)


@options.with_option_groups
def broadcast(
    text: Annotated[list[str], typer.Option(help="LANGUAGE=TEXT, such as en='Gate closes'; may be repeated.")] = [],  # noqa: B006 - typer reads it
    hours: Annotated[float, typer.Option(help="Hours for which the broadcast is valid.", min=0.01, max=720)] = 12.0,
    schedule: Annotated[
        str | None, typer.Option(help="Cron expression in the local time of the box; played once if omitted.")
    ] = None,
    emergency: Annotated[bool, typer.Option("--emergency", help="Interrupt every other announcement.")] = False,
    withdraw: Annotated[str | None, typer.Option(help="Withdraw the broadcast with this id.")] = None,
    wait: ClockWait = 1.0,
    *,
    connection: options.OrderConnection,
) -> None:
    """Send a broadcast to every box and print its id, by which it can be withdrawn."""
    from sync.contract.orders import Broadcast, Priority, Withdrawal
    from sync.platform.orders.issuer import OrderIssuer

    now, valid_for = datetime.now(UTC), timedelta(hours=hours)

    async def run(issuer: OrderIssuer) -> None:
        await issuer.listen()
        await issuer.broadcast(message, valid_for)
        report_clocks(await issuer.collect_out_of_time(wait))

    with options.report_errors():
        message: Broadcast | Withdrawal
        if withdraw is not None:
            message = Withdrawal(withdraw)
        else:
            message = Broadcast(
                broadcast_id=secrets.token_hex(8),
                texts=_texts(text),
                valid_from=now,
                valid_until=now + valid_for,
                priority=Priority.EMERGENCY if emergency else Priority.NORMAL,
                schedule=schedule,
            )
        with_issuer(run, connection)
    echo(message.broadcast_id)


def clock_sentence(box: str, reason: str, box_time: datetime, *, done: bool = False) -> str:
    """Why the clock of `box` rejects an order that was sent just now, and what to do."""
    reason = reason if reason in ("early", "expired") else "out of time"
    off_s = (box_time - datetime.now(UTC)).total_seconds()
    effect = (
        ("仍已执行", "it was carried out nevertheless") if done else ("未执行", "it was not carried out: send it again")
    )
    return (
        f"{box}：命令 {reason}，{effect[0]}；本机时钟 {box_time:%Y-%m-%d %H:%M:%S} UTC，"
        f"{'快' if off_s > 0 else '慢'}约 {abs(off_s):.0f} 秒，请校时（timedatectl）。"
        f" {box}: by its clock ({box_time:%Y-%m-%d %H:%M:%S} UTC, about {abs(off_s):.0f} s"
        f" {'ahead' if off_s > 0 else 'behind'}) the order is {reason}; {effect[1]}. Set the clock of the box."
    )


def report_clocks(answers: Mapping[str, Any]) -> None:
    """Print a sentence for each box of `answers`, which are OrderOutOfTime."""
    for box, answer in sorted(answers.items()):
        echo(clock_sentence(box, answer.reason, answer.box_time, done=answer.done), err=True)


def with_issuer(work: Callable[[Any], Awaitable[Any]], connection: options.OrderConnection) -> Any:
    """The result of `work`, called with an OrderIssuer that has a connection of its own."""
    from sync.mqtt.connection import Connection
    from sync.mqtt.packets import Options
    from sync.platform.orders.issuer import OrderIssuer
    from sync.platform.orders.keys import KeyFiles
    from sync.platform.orders.order_log import OrderLog

    signing_key = KeyFiles.below(connection.key_folder).signing_key()
    district = connection.platform.district
    client_id = f"{district}.platform.orders.{secrets.token_hex(4)}"
    mqtt_options = Options(connection.platform.address, client_id, clean_start=True, session_expiry_s=0)

    async def run() -> Any:
        async with (
            Connection.open(mqtt_options) as mqtt,
            OrderLog.opened(connection.data / "orders.db", signing_key) as order_log,
        ):
            return await work(OrderIssuer(mqtt, order_log, district))

    return asyncio.run(run())


def _with_directory(
    work: Callable[[Any, Any], Awaitable[list[str]]], connection: options.OrderConnection, wait_s: float
) -> list[str]:
    """The result of `work`, called with an OrderIssuer and the directory; prints whose clock rejects the order."""
    from sync.platform.directory.store import DirectoryStore
    from sync.platform.orders.issuer import OrderIssuer

    async def run(issuer: OrderIssuer) -> list[str]:
        await issuer.listen()
        async with DirectoryStore.opened(connection.data / "directory.db") as directory:
            result = await work(issuer, directory)
        report_clocks(await issuer.collect_out_of_time(wait_s))
        return result

    return list(with_issuer(run, connection))


def _persons(number_file: Path, key_file: Path | None, connection: options.OrderConnection) -> dict[str, int]:
    """The persons of a number file, each with its line; prints warnings. Raises OSError, ValueError."""
    from sync.platform.directory.importer import read_community_key, read_numbers
    from sync.platform.orders.keys import KeyFiles

    community_key = read_community_key(key_file or KeyFiles.below(connection.key_folder).community)
    numbers = read_numbers(_lines(number_file), community_key)
    for line, text in numbers.warnings:
        echo(f"line {line} warning: {text}", err=True)
    return numbers.lines


def _stated(option: str, text: str) -> str:
    if not text.strip() or len(text) > 200 or not text.isprintable():
        raise typer.BadParameter("must be a text of 1 to 200 printable characters", param_hint=option)
    return text.strip()


def _lines(file: Path) -> Iterable[str]:
    return (
        decode_text(sys.stdin.buffer.read()).splitlines() if str(file) == "-" else options.read_text(file).splitlines()
    )


def _arguments(text: str) -> dict[str, Any]:
    with contextlib.suppress(ValueError, RecursionError):
        if isinstance(parsed := json.loads(text), dict):
            return parsed
    raise typer.BadParameter("must be a JSON object", param_hint="--arguments")


def _texts(values: list[str]) -> dict[str, str]:
    texts = dict(each.split("=", 1) for each in values if "=" in each)
    if not texts or len(texts) != len(values):
        raise typer.BadParameter("must be LANGUAGE=TEXT, each language once", param_hint="--text")
    return texts

"""`edge-platform keys` and `policy`: what makes orders believed, and the rules of admission."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from sync.platform.commands import options
from sync.platform.commands.orders import Keys, Wait, with_orders

keys = typer.Typer(no_args_is_help=True, help="The platform's secrets.")
policy = typer.Typer(no_args_is_help=True, help="The admission policy of the boxes.")


def _boxes(names: list[str]) -> list[str]:
    return [options.name_checked(name) for name in names]


Box = Annotated[list[str], typer.Option("--box", help="only this box; may be given often", callback=_boxes)]


@keys.callback()
def keys_() -> None:
    """The platform's secrets."""


@policy.callback()
def policy_() -> None:
    """The admission policy of the boxes."""


@keys.command()
def init(data: options.Data = options.DATA, keys: Keys = None) -> None:
    """Make the key that signs orders and the community key; nothing that is there is replaced."""
    from sync.platform.orders.keys import KeyFiles

    files = KeyFiles.below(keys or data / "keys")
    with options.report_errors():
        files.create()
    typer.echo(f"secret, signs orders: {files.orders}")
    typer.echo(f"secret, makes person keys: {files.community}")
    typer.echo(f"for every box: {files.orders_public}")


@policy.command()
def publish(
    file: Annotated[Path, typer.Argument(help="TOML as in config/policy.default.toml")],
    box: Box = [],  # noqa: B006 - typer reads it, nobody changes it
    effective: Annotated[datetime | None, typer.Option(help="from when it applies, UTC; at once by default")] = None,
    wait: Wait = 10.0,
    broker: options.Broker = options.BROKER,
    district: options.District = options.DISTRICT,
    data: options.Data = options.DATA,
    store: options.Store = "",
    keys: Keys = None,
    ca: options.Ca = None,
    certificate: options.Certificate = None,
    key: options.Key = None,
    as_json: options.AsJson = False,
) -> None:
    """Sign a policy and give it to boxes, all that ever sent a record or those named, and tell what they say to it."""
    import msgspec

    from sync.contract.orders import Desired
    from sync.platform.orders.issuer import OrderIssuer
    from sync.platform.records.open_store import open_store
    from sync.platform.records.received import today

    async def run(orders: OrderIssuer) -> dict[str, Any]:
        wanted = list(box)
        if not wanted:
            async with open_store(store or str(data / "records.db"), reading=True) as records:
                wanted = sorted((await records.totals(today(), 0)).boxes)
        begins = effective.replace(tzinfo=UTC) if effective else None
        return dict(await orders.desire(wanted, Desired(rules, begins), wait))

    with options.report_errors():
        rules = _rules(file)
        reports = with_orders(run, options.PlatformConnection(broker, district, ca, certificate, key), data, keys)
    refused = {name: report.reason for name, report in reports.items() if report and not report.accepted}
    silent = [name for name, report in reports.items() if report is None]
    if as_json:
        typer.echo(msgspec.json.encode(reports))
    else:
        for name, reason in refused.items():
            typer.echo(f"{name} refused it: {reason}", err=True)
        accepted = len(reports) - len(refused) - len(silent)
        typer.echo(f"{accepted} boxes accepted it, {len(refused)} refused, {len(silent)} have not answered yet")
    if refused:
        raise typer.Exit(1)


def _rules(file: Path) -> dict[str, Any]:
    try:
        rules = tomllib.loads(options.read_text(file))
    except tomllib.TOMLDecodeError as exc:
        raise ValueError(f"{file} is no TOML: {exc}") from exc
    if not rules:
        raise ValueError(f"{file} holds no rules: every box would go on by the defaults")
    return rules

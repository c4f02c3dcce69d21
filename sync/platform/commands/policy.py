"""`edge-platform keys` and `policy`: the keys that sign orders, and the admission policy of the boxes."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from sync.platform.commands import options
from sync.platform.commands.orders import Wait, clock_sentence, with_issuer
from sync.platform.commands.output import echo

keys = typer.Typer(no_args_is_help=True, help="The platform's secrets.")
policy = typer.Typer(no_args_is_help=True, help="The admission policy of the boxes.")


def _boxes(names: list[str]) -> list[str]:
    return [options.name_checked(name) for name in names]


Boxes = Annotated[list[str], typer.Option("--box", help="Only this box; may be repeated.", callback=_boxes)]


@keys.callback()
def keys_() -> None:
    """The platform's secrets."""


@policy.callback()
def policy_() -> None:
    """The admission policy of the boxes."""


@keys.command()
def init(data: options.Data = options.DATA, keys: options.Keys = None) -> None:
    """Create the key that signs orders and the community key; an existing file is never replaced."""
    from sync.platform.orders.keys import KeyFiles

    files = KeyFiles.below(keys or data / "keys")
    with options.report_errors():
        files.create()
    echo(f"secret, signs orders: {files.orders}")
    echo(f"secret, makes person keys: {files.community}")
    echo(f"for every box: {files.orders_public}")


@policy.command()
@options.with_option_groups
def publish(
    file: Annotated[Path, typer.Argument(help="Policy in TOML, as in config/policy.default.toml.")],
    box: Boxes = [],  # noqa: B006 - typer reads it
    effective: Annotated[
        datetime | None, typer.Option(help="Time from which the policy applies, UTC; the default is now.")
    ] = None,
    wait: Wait = 10.0,
    store: options.Store = "",
    as_json: options.AsJson = False,
    *,
    connection: options.OrderConnection,
) -> None:
    """Sign a policy, send it to boxes (all that ever sent a record, or those named) and print their reports."""
    import msgspec

    from sync.contract.orders import Desired
    from sync.platform.orders.issuer import OrderIssuer
    from sync.platform.records.open_store import open_store
    from sync.platform.records.received import today

    async def run(issuer: OrderIssuer) -> dict[str, Any]:
        boxes = list(box)
        if not boxes:
            async with open_store(store or str(connection.data / "records.db"), reading=True) as records:
                boxes = sorted((await records.totals(today(), 0)).boxes)
        desired = Desired(rules, effective.replace(tzinfo=UTC) if effective else None)
        return dict(await issuer.desire(boxes, desired, wait))

    with options.report_errors():
        rules = _rules(file)
        reports = with_issuer(run, connection)
    rejected = {name: report.reason for name, report in reports.items() if report and not report.accepted}
    silent = [name for name, report in reports.items() if report is None]
    if as_json:
        echo(msgspec.json.encode(reports))
    else:
        for name, reason in rejected.items():
            echo(f"{name} rejected the policy: {reason}", err=True)
        for name, report in reports.items():
            if report and report.box_time is not None:
                echo(clock_sentence(name, report.reason, report.box_time), err=True)
        accepted = len(reports) - len(rejected) - len(silent)
        echo(f"{accepted} boxes accepted the policy, {len(rejected)} rejected it, {len(silent)} have not answered")
    if rejected:
        raise typer.Exit(1)


def _rules(file: Path) -> dict[str, Any]:
    """The rules in `file`. Raises OSError, ValueError."""
    try:
        rules = tomllib.loads(options.read_text(file))
    except tomllib.TOMLDecodeError as exc:
        raise ValueError(f"{file} is not valid TOML: {exc}") from exc
    except RecursionError as exc:
        raise ValueError(f"{file} is not valid TOML: nested too deeply") from exc
    if not rules:
        raise ValueError(f"{file} contains no rules: every box would use the defaults")
    return rules

"""`edge-platform ledger`: verifies the records of the boxes."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated

import typer

from sync.platform.commands import options
from sync.platform.commands.output import echo

app = typer.Typer(no_args_is_help=True, help="The records of the boxes.")


@app.callback()
def ledger() -> None:
    """The records of the boxes."""


@app.command()
def verify(
    box: options.Box,
    day: Annotated[
        datetime | None,
        typer.Argument(help="YYYY-MM-DD; every day if omitted.", formats=["%Y-%m-%d"], show_default=False),
    ] = None,
    data: options.Data = options.DATA,
    store: options.Store = "",
    as_json: options.AsJson = False,
) -> None:
    """Verify that the records of a box are complete and unaltered, or report what waits, is lost, missing or altered.

    Records are complete if the box, in its last report, or a later record confirms where they end. The exit status is 0
    if they are complete, otherwise 1.
    """
    import msgspec

    from sync.platform.records.open_store import open_store
    from sync.platform.records.verification import Proof, State, verify

    async def run() -> Proof:
        async with open_store(store or str(data / "records.db"), reading=True) as records:
            return await verify(records, box, day.strftime("%Y-%m-%d") if day else None)

    with options.report_errors():
        proof = asyncio.run(run())
    echo(*([msgspec.json.encode(proof)] if as_json else proof.lines()))
    if proof.state is not State.COMPLETE:
        raise typer.Exit(1)

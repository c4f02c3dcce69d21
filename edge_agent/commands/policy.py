"""`edge-agent policy`: tries an admission policy on recorded passages."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Annotated

import typer

from config.errors import SettingsError
from config.settings import load_settings
from edge_agent.commands.options import DEFAULT_CONFIG, AsJson, Config, report_errors

app = typer.Typer(no_args_is_help=True, help="规则 The admission policy.")


@app.callback()
def policy() -> None:
    """The admission policy."""


@app.command(name="try")
def try_file(
    file: Annotated[Path, typer.Argument(help="The policy to try (TOML).")],
    since: Annotated[str, typer.Option(help="today, yesterday, or an ISO 8601 time.")] = "yesterday",
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show what another policy would have decided on the passages in the ledger, and why."""
    from edge_agent.policy.rules import load_policy
    from edge_agent.policy.what_if import compare_policy
    from edge_agent.privacy.key_file import load_cipher_if_present
    from sync.edge.ledger.history import decided_since
    from sync.errors import StoreFailed

    with report_errors(unusable=(SettingsError, StoreFailed, ValueError)):
        candidate = load_policy(file)
        settings = load_settings(config)
        begin, ledger = parse_since(since, datetime.now().astimezone()), Path(settings.box.data_dir) / "ledger.db"
        decided = decided_since(ledger, begin, settings.box.name, load_cipher_if_present(settings))
        comparison = asyncio.run(compare_policy(candidate, decided))
    typer.echo(json.dumps(comparison.to_dict()) if as_json else "\n".join(lines(comparison.to_dict())))


def parse_since(since: str, now: datetime) -> datetime:
    """The time that `since` means at `now`. Raises ValueError."""
    if since in ("today", "yesterday"):
        day = now.date() - timedelta(days=since == "yesterday")
        return datetime.combine(day, time(), now.tzinfo)
    try:
        begin = datetime.fromisoformat(since)
    except ValueError as exc:
        raise ValueError(f"--since must be today, yesterday or a time such as 2022-04-01T08:00, not {since!r}") from exc
    return begin if begin.tzinfo else begin.replace(tzinfo=now.tzinfo)


def lines(result: dict[str, object]) -> list[str]:
    """The comparison as lines of text."""
    text = [f"policy {result['policy_version']}: {result['changed']} of {result['passages']} passages would differ"]
    if result["too_old"]:
        text.append(f"{result['too_old']} more were recorded by an older version and cannot be tried")
    for title in ("changes", "why"):
        counts = result[title]
        if isinstance(counts, dict):
            text += [f"  {count:6d}  {name}" for name, count in counts.items()]
    examples = result["examples"]
    if isinstance(examples, list):
        text += [
            f"{each['decided']}  {each['then']} ({', '.join(each['reasons_then'])})"
            f" > {each['now']} ({', '.join(each['reasons_now'])})"
            for each in examples
        ]
    return text

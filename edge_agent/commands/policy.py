"""`edge-agent policy`: what a rule would do, before it does it."""

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
    """Say what another policy would have decided on the passages that this box remembers, and why."""
    from edge_agent.policy.rules import load_policy
    from edge_agent.policy.what_if import compare_policy
    from edge_agent.privacy.key_file import load_cipher_if_present
    from sync.edge.ledger.history import decided_since
    from sync.errors import StoreFailed

    with report_errors(unusable=(SettingsError, StoreFailed, ValueError)):
        wanted = load_policy(file)
        settings = load_settings(config)
        begin, ledger = parse_since(since, datetime.now().astimezone()), Path(settings.box.data_dir) / "ledger.db"
        decided = decided_since(ledger, begin, settings.box.name, load_cipher_if_present(settings))
        trial = asyncio.run(compare_policy(wanted, decided))
    typer.echo(json.dumps(trial.to_dict()) if as_json else "\n".join(lines(trial.to_dict())))


def parse_since(since: str, now: datetime) -> datetime:
    """The instant that `since` names, seen from `now`. Raises ValueError."""
    if since in ("today", "yesterday"):
        day = now.date() - timedelta(days=since == "yesterday")
        return datetime.combine(day, time(), now.tzinfo)
    try:
        begin = datetime.fromisoformat(since)
    except ValueError as exc:
        raise ValueError(f"--since must be today, yesterday or a time such as 2022-04-01T08:00, not {since!r}") from exc
    return begin if begin.tzinfo else begin.replace(tzinfo=now.tzinfo)


def lines(trial: dict[str, object]) -> list[str]:
    """The trial for people."""
    told = [f"policy {trial['policy_version']}: {trial['changed']} of {trial['passages']} passages would differ"]
    if trial["too_old"]:
        told.append(f"{trial['too_old']} more were recorded by an older version and cannot be tried")
    for title in ("changes", "why"):
        counts = trial[title]
        if isinstance(counts, dict):
            told += [f"  {count:6d}  {name}" for name, count in counts.items()]
    examples = trial["examples"]
    if isinstance(examples, list):
        told += [
            f"{each['decided']}  {each['then']} ({', '.join(each['reasons_then'])})"
            f" > {each['now']} ({', '.join(each['reasons_now'])})"
            for each in examples
        ]
    return told

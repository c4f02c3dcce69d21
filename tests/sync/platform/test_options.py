"""Option groups: each option is declared once, and a command receives one frozen object."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from sync.platform.commands import options
from sync.platform.commands.options import OrderConnection, PlatformConnection, Tls

received: list[tuple[str, OrderConnection]] = []
app = typer.Typer()


@app.command()
@options.with_option_groups
def verb(name: str, *, connection: OrderConnection) -> None:
    """A command with an option group that contains other groups."""
    received.append((name, connection))


@pytest.mark.parametrize(
    ("text", "found"),
    [("10.0.0.1:8443", ("10.0.0.1", 8443)), ("[::]:8443", ("::", 8443)), ("localhost:0", ("localhost", 0))],
)
def test_where_to_listen(text: str, found: tuple[str, int]) -> None:
    assert options.address("--listen", text) == found


@pytest.mark.parametrize("text", ["8443", ":8443", "::1:8443", "[::1:8443", "h：8443", "h:65536", "h:８", "a b:1", ""])
def test_where_nobody_can_listen(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="must be host:port"):
        options.address("--listen", text)


def test_options_of_nested_groups_arrive_as_one_object() -> None:
    received.clear()
    given = [
        "box-1",
        "--broker",
        "mqtts://h:1",
        "--district",
        "d",
        "--ca",
        "ca.pem",
        "--key",
        "k.pem",
        "--keys",
        "keys",
    ]
    result = CliRunner().invoke(app, given)
    platform = PlatformConnection("mqtts://h:1", "d", Tls(ca=Path("ca.pem"), key=Path("k.pem")))
    assert (result.exit_code, received) == (0, [("box-1", OrderConnection(platform, keys=Path("keys")))])


def test_options_that_are_not_given_have_the_defaults_of_their_group() -> None:
    received.clear()
    result = CliRunner().invoke(app, ["box-1"])
    assert (result.exit_code, received) == (0, [("box-1", OrderConnection())])


def test_an_option_of_a_group_is_checked_as_any_other() -> None:
    received.clear()
    result = CliRunner().invoke(app, ["box-1", "--district", "Not/A/Name"])
    assert (result.exit_code, received) == (2, [])

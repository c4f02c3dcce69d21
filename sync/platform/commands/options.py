"""Options that several commands of `edge-platform` share, and how every command reports an error.

An option group is a frozen dataclass whose fields are options. A command takes a group as one parameter and is
decorated with `with_option_groups`, so that each option is declared once, in its group.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from sync.contract.topics import check_name
from sync.errors import SyncError, UnsafeLink, leaf_exceptions
from sync.mqtt.broker_address import BrokerAddress
from sync.mqtt.tls_files import TlsFiles
from sync.network_address import BadAddress, HostPort
from sync.platform.commands.output import echo
from sync.storage.text_file import read_text_file

DATA = Path("var/platform")
DISTRICT = "demo"
PID_FILE = Path("/run/mosquitto/mosquitto.pid")
LOG = "%(asctime)s %(levelname)s %(message)s"
_USER_ERRORS = (SyncError, OSError, ValueError)


def name_checked(name: str) -> str:
    """`name` of a district or box. Raises BadParameter if it cannot be a level of a topic."""
    try:
        return check_name(name)
    except ValueError as exc:
        raise typer.BadParameter(str(exc)) from exc


District = Annotated[str, typer.Option(help="District name as in the topics: a-z, 0-9 and -.", callback=name_checked)]
Box = Annotated[str, typer.Argument(help="Name of the box.", callback=name_checked)]
Data = Annotated[Path, typer.Option(help="Folder of the databases; created if missing.")]
Store = Annotated[
    str,
    typer.Option(
        help="Record store: postgresql://user@host/name, or an SQLite file; records.db in --data if empty.",
        envvar="EDGE_PLATFORM_STORE",
        show_default=False,
    ),
]
Keys = Annotated[
    Path | None, typer.Option("--keys", help="Folder created by `keys init`; the default is `keys` in --data.")
]
CommunityKey = Annotated[Path | None, typer.Option(help="File with the community key in hex digits.")]
BacklogRate = Annotated[float, typer.Option(help="Backlog records per second of all boxes together.", min=1, max=1e6)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


@dataclass(frozen=True, slots=True)
class Tls:
    """Option group: files for a connection over TLS."""

    ca: Annotated[Path | None, typer.Option(help="PEM of the authority that signed the broker's certificate.")] = None
    certificate: Annotated[Path | None, typer.Option(help="PEM of the client certificate.")] = None
    key: Annotated[Path | None, typer.Option(help="PEM of the private key of the client certificate.")] = None
    key_passphrase: Annotated[Path | None, typer.Option(help="File with the passphrase of an encrypted key.")] = None

    @property
    def files(self) -> TlsFiles:
        return TlsFiles(self.ca, self.certificate, self.key, self.key_passphrase)


@dataclass(frozen=True, slots=True)
class PlatformConnection:
    """Option group: the broker of a district."""

    broker: Annotated[str, typer.Option(help="mqtts://host:port; mqtt:// on this machine only.")] = (
        "mqtt://127.0.0.1:1883"
    )
    district: District = DISTRICT
    tls: Tls = Tls()

    @property
    def address(self) -> BrokerAddress:
        """Raises UnsafeLink for a URL that is not allowed."""
        return BrokerAddress.from_url(self.broker, self.tls.files)


@dataclass(frozen=True, slots=True)
class OrderConnection:
    """Option group: what signing and sending an order needs."""

    platform: PlatformConnection = PlatformConnection()
    data: Data = DATA
    keys: Keys = None

    @property
    def key_folder(self) -> Path:
        return self.keys or self.data / "keys"


def with_option_groups(command: Callable[..., None]) -> Callable[..., None]:
    """`command` for typer: each parameter that is an option group is replaced by the options of the group."""
    parameters = inspect.signature(command, eval_str=True).parameters.values()

    @functools.wraps(command)
    def run(**values: Any) -> None:
        command(**{each.name: _value(each.name, each.annotation, values) for each in parameters})

    expanded = [option for each in parameters for option in _expand(each.name, each.annotation, each.default)]
    run.__signature__ = inspect.Signature(expanded)  # type: ignore[attr-defined]
    run.__annotations__ = {option.name: option.annotation for option in expanded}
    return run


def _expand(name: str, kind: Any, default: Any) -> Iterator[inspect.Parameter]:
    if not is_dataclass(kind):
        yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        return
    hints = get_type_hints(kind, include_extras=True)
    for each in fields(kind):
        yield from _expand(each.name, hints[each.name], each.default)


def _value(name: str, kind: Any, values: dict[str, Any]) -> Any:
    """The value of parameter `name`: one of `values`, or a group that is filled from them."""
    if not is_dataclass(kind):
        return values[name]
    hints = get_type_hints(kind)
    return kind(**{each.name: _value(each.name, hints[each.name], values) for each in fields(kind)})  # type: ignore[operator]


@contextlib.contextmanager
def report_errors() -> Iterator[None]:
    """End the command with a one-line message for an error that the user can fix; let any other exception pass.

    The exit status is 2 for an address that is not allowed, as for any invalid option, and 1 for every other error.
    """
    try:
        yield
    except BrokenPipeError:  # `ends_quietly_without_reader`
        raise
    except _USER_ERRORS as exc:
        raise _report(exc) from exc
    except ExceptionGroup as group:
        user_errors, bugs = group.split(_USER_ERRORS)
        if user_errors is None or bugs is not None:
            raise
        raise _report(next(leaf_exceptions(user_errors))) from group


def _report(exc: Exception) -> typer.Exit:
    """Print the message of `exc`; returns the exit to raise."""
    echo(*f"edge-platform: {_sentence(exc)}".split("\n"), err=True)
    return typer.Exit(2 if isinstance(exc, UnsafeLink) else 1)


def _sentence(exc: Exception) -> str:
    if not isinstance(exc, OSError) or exc.strerror is None:
        return str(exc)
    return exc.strerror if exc.filename is None else f"{exc.filename}: {exc.strerror}"


def address(option: str, text: str) -> tuple[str, int]:
    """Host and port in `text`, the value of `option`; port 0 is any. Raises BadParameter if it is not host:port."""
    try:
        found = HostPort.parse(text, may_choose=True)
    except BadAddress as exc:
        raise typer.BadParameter(f"must be host:port, not {text!r}: {exc}", param_hint=option) from exc
    return found.host, found.port


def read_text(file: Path) -> str:
    """The content of `file`, with or without a byte order mark. Raises OSError; ValueError if it is not text."""
    return read_text_file(file)

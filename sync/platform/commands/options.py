"""Options that several commands of `edge-platform` share, and how all of them end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from sync.contract.topics import check_name
from sync.errors import SyncError, UnsafeLink, leaf_exceptions

T = TypeVar("T")


def name_checked(name: str) -> str:
    """`name` of a district or box; ends the command where it may not stand in a topic."""
    try:
        return check_name(name)
    except ValueError as exc:
        raise typer.BadParameter(str(exc)) from exc


Broker = Annotated[str, typer.Option(help="mqtts://host:port, or mqtt:// on this machine")]
District = Annotated[str, typer.Option(help="district name as in the topics: a-z, 0-9 and -", callback=name_checked)]
Box = Annotated[str, typer.Argument(help="name of the box", callback=name_checked)]
Data = Annotated[Path, typer.Option(help="folder of the databases; made when missing")]
Store = Annotated[
    str,
    typer.Option(
        help="where records lie: postgresql://user@host/name, or an SQLite file; records.db in --data when empty",
        envvar="EDGE_PLATFORM_STORE",
        show_default=False,
    ),
]
Ca = Annotated[Path | None, typer.Option(help="PEM of the authority that signed the broker")]
Certificate = Annotated[Path | None, typer.Option(help="PEM of our own certificate")]
Key = Annotated[Path | None, typer.Option(help="PEM of its key")]
CommunityKey = Annotated[Path | None, typer.Option(help="hex digits; makes person keys of numbers")]
BacklogRate = Annotated[float, typer.Option(help="records of backlog a second, of all boxes together", min=1, max=1e6)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]

_MENDABLE = (SyncError, OSError, ValueError)

BROKER = "mqtt://127.0.0.1:1883"
DISTRICT = "demo"
DATA = Path("var/platform")
PID_FILE = Path("/run/mosquitto/mosquitto.pid")
LOG = "%(asctime)s %(levelname)s %(message)s"


@dataclass(frozen=True, slots=True)
class PlatformConnection:
    """Where a command speaks to the boxes of a district."""

    broker: str
    district: str
    ca: Path | None
    certificate: Path | None
    key: Path | None


@contextlib.contextmanager
def report_errors() -> Iterator[None]:
    """What a person can mend ends the command with one line; a bug is not caught.

    The status is 2 for an address that is never tried, as for any option that cannot be meant, and 1 otherwise.
    """
    try:
        yield
    except _MENDABLE as exc:
        raise _told(exc) from exc
    except ExceptionGroup as group:
        mendable, bugs = group.split(_MENDABLE)
        if mendable is None or bugs is not None:
            raise
        raise _told(next(leaf_exceptions(mendable))) from group


def _told(exc: Exception) -> typer.Exit:
    typer.echo(f"edge-platform: {_sentence(exc)}", err=True)
    return typer.Exit(2 if isinstance(exc, UnsafeLink) else 1)


def _sentence(exc: Exception) -> str:
    if not isinstance(exc, OSError) or exc.strerror is None:
        return str(exc)
    return exc.strerror if exc.filename is None else f"{exc.filename}: {exc.strerror}"


async def until_stopped(work: Coroutine[Any, Any, T]) -> T | None:
    """What `work` returns, or None after SIGINT or SIGTERM, when it has put everything away."""
    running = asyncio.current_task()
    if running is None:
        raise RuntimeError("runs as a task")
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        return await work
    return None


def address(option: str, text: str) -> tuple[str, int]:
    """Host and port of `option`; ends the command when `text` is not host:port."""
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isascii() and port.isdecimal() and int(port) < 65536):
        raise typer.BadParameter(f"must be host:port, not {text!r}", param_hint=option)
    return host.strip("[]"), int(port)


def read_text(file: Path) -> str:
    """What stands in `file`. Raises OSError, and ValueError when it is not UTF-8."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ValueError(f"{file} is no text in UTF-8: save it as such") from exc

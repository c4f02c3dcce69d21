"""Runs work in a folder as the user to whom the folder belongs.

A folder of the agent is full of what the agent's user wants it to be: a name in it may be a link to any file. Root
opens no such name. It starts a child that gives up root for good and does the work; the child's rights are those of the
user who could have done the same without root.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NoReturn

import msgspec

from config.errors import SettingsError
from edge_agent.privileges.account import Account, become, owner_of
from edge_agent.privileges.import_paths import keep_importable, open_import_paths
from sync.errors import SyncError

Work = Callable[[], bytes | None]
"""What the child does; the bytes it returns are all that the parent gets, and must be checked as foreign input."""

_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_FROM_KERNEL = 128  # SI_KERNEL: a key at the terminal, which the child gets too
_BUG = 1


class _Reply(msgspec.Struct):
    """What the child ended with."""

    result: bytes = b""
    settings_error: str | None = None
    sync_error: str | None = None
    os_error: tuple[int | None, str | None, str | None] | None = None


def foreign_owner(folder: Path) -> Account | None:
    """The user that root must become to work in `folder`; None for root's own folders, and for a user without root.

    Raises UntrustedPath, OSError.
    """
    return None if os.geteuid() else owner_of(folder)


def as_owner_of(folder: Path, work: Work, environment: Mapping[str, str] | None = None) -> bytes:
    """Do `work` as the user who decides what is in `folder`: here, or in a child without root's rights.

    `environment` is added to the child's. Raises what `work` raises: SettingsError, SyncError (as that class), OSError;
    SystemExit with the child's exit status where that is not 0. Also UntrustedPath.
    """
    account = foreign_owner(folder)
    return (work() or b"") if account is None else as_account(account, work, environment or {})


def as_account(account: Account, work: Work, environment: Mapping[str, str]) -> bytes:
    """As `as_owner_of`, in a child of `account`."""
    sys.stdout.flush()
    sys.stderr.flush()
    reply = os.memfd_create("reply")
    watched = {signal.SIGCHLD, *_FORWARDED}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    try:
        child = os.fork()
        if child == 0:
            _run(account, work, environment, reply, before)
        status = _wait(child, watched)
        return _result(reply, status)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(reply)


def _wait(child: int, watched: set[signal.Signals]) -> int:
    """The exit status of `child`, to which signals are forwarded; 128 + N after signal N."""
    while True:
        caught = signal.sigwaitinfo(watched)
        if caught.si_signo != signal.SIGCHLD:
            if caught.si_code != _FROM_KERNEL:
                os.kill(child, caught.si_signo)
            continue
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _result(reply: int, status: int) -> bytes:
    if status:
        raise SystemExit(status)
    os.lseek(reply, 0, os.SEEK_SET)
    with os.fdopen(reply, "rb", closefd=False) as file:
        said = msgspec.msgpack.decode(file.read(), type=_Reply)
    if said.settings_error is not None:
        raise SettingsError(said.settings_error)
    if said.sync_error is not None:
        raise SyncError(said.sync_error)
    if said.os_error is not None:
        raise OSError(*said.os_error)
    return said.result


def _run(account: Account, work: Work, environment: Mapping[str, str], reply: int, mask: Iterable[int]) -> NoReturn:
    """The child: becomes `account`, works, leaves its reply and ends."""
    status = _BUG
    try:
        modules = open_import_paths()
        become(account)
        keep_importable(modules)
        os.environ.update(environment)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.write(reply, msgspec.msgpack.encode(_reply_of(work)))
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    except BaseException:  # noqa: BLE001 - reported here, because nothing above may run in the child
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _reply_of(work: Work) -> _Reply:
    try:
        return _Reply(work() or b"")
    except SettingsError as exc:
        return _Reply(settings_error=str(exc))
    except SyncError as exc:
        return _Reply(sync_error=str(exc))
    except OSError as exc:
        return _Reply(os_error=(exc.errno, exc.strerror, exc.filename if isinstance(exc.filename, str) else None))

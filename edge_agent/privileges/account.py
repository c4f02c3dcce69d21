"""The account that decides what is at a path, and becoming it for good."""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import stat
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from config.errors import SettingsError

_MOST_LINKS = 40  # as the kernel
_UMASK = 0o077  # as the service
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38


class UntrustedPath(SettingsError):
    """Root must not use this path: other users can replace what is there."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user: ids, and name and home ("" and / for an id without an entry)."""

    uid: int
    gid: int
    name: str
    home: str


def owner_of(path: Path) -> Account | None:
    """The user who can replace what is at `path` or on the way to it; None where only root can.

    The first entry on the way that root does not own, a symbolic link too, decides. What does not exist yet is decided
    by the folder above. Raises UntrustedPath, OSError.
    """
    for entry, found, is_last in _on_the_way(path):
        if found.st_uid:
            return _checked(path, account_from(found))
        _check_closed(entry, found, is_last=is_last)
    return None


def leads_through(path: Path, account: Account) -> bool:
    """Whether an entry on the way to `path` belongs to `account`. Raises UntrustedPath, OSError."""
    return any(found.st_uid == account.uid for _, found, _ in _on_the_way(path))


def _on_the_way(path: Path) -> Iterator[tuple[Path, os.stat_result, bool]]:
    """Each entry from the root folder to `path`, as far as it exists, and whether it is the last; follows links."""
    here, pending, links = Path("/"), deque((Path.cwd() / path).parts[1:]), 0
    while pending:
        name = pending.popleft()
        entry = here.parent if name == ".." else here / name
        try:
            found = entry.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return
        yield entry, found, not pending
        if not stat.S_ISLNK(found.st_mode):
            here = entry
            continue
        links += 1
        if links > _MOST_LINKS:
            raise UntrustedPath(f"{path}: 符号链接过多 too many symbolic links")
        target = entry.readlink()
        pending.extendleft(reversed(target.parts[1:] if target.is_absolute() else target.parts))
        here = Path("/") if target.is_absolute() else here


def account_from(found: os.stat_result) -> Account:
    """The account of the owner of a file."""
    try:
        entry = pwd.getpwuid(found.st_uid)
    except KeyError:
        return Account(found.st_uid, found.st_gid, "", "/")
    return Account(entry.pw_uid, entry.pw_gid, entry.pw_name, entry.pw_dir)


def become(account: Account) -> None:
    """Make this process one of `account`, with its groups and the service's umask, irrevocably. Raises OSError.

    The process ends when its parent does.
    """
    if account.name:
        os.initgroups(account.name, account.gid)
    else:
        os.setgroups([])
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)
    if os.getresuid() != (account.uid,) * 3 or os.getresgid() != (account.gid,) * 3 or not account.uid:
        raise PermissionError(f"still has rights of another user than {account.uid}")
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((_PR_SET_NO_NEW_PRIVS, 1), (_PR_SET_PDEATHSIG, int(signal.SIGTERM))):
        if libc.prctl(option, value, 0, 0, 0):
            raise OSError(ctypes.get_errno(), f"prctl {option}")
    os.umask(_UMASK)
    for name in [each for each in os.environ if each.startswith("XDG_")]:
        del os.environ[name]
    os.environ.update(HOME=account.home, USER=account.name, LOGNAME=account.name)


def _checked(path: Path, account: Account) -> Account:
    """`account`, unless what is at `path` belongs to a third user, whom neither it nor root can speak for."""
    try:
        last = path.stat()
    except OSError:
        return account
    if last.st_uid not in (0, account.uid):
        raise UntrustedPath(
            f"{path}: 属于用户 {last.st_uid}，却在用户 {account.uid} 的文件夹之下；请更正属主。"
            f" Belongs to user {last.st_uid} below a folder of user {account.uid}: correct the owners"
        )
    return account


def _check_closed(folder: Path, found: os.stat_result, *, is_last: bool) -> None:
    """Raise UntrustedPath for a folder of root's in which others can replace files."""
    if not stat.S_ISDIR(found.st_mode) or found.st_mode & stat.S_ISVTX:
        return
    by_group = is_last and found.st_gid and found.st_mode & stat.S_IWGRP
    if by_group or found.st_mode & stat.S_IWOTH:
        raise UntrustedPath(
            f"{folder}: 属于 root，但其他用户可写（{stat.S_IMODE(found.st_mode):04o}）；请更正：chown 给服务用户，或"
            f" chmod go-w {folder}。 Belongs to root, but others can write to it: give it to the user of the service"
            f" (chown), or chmod go-w {folder}"
        )

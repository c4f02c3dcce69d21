"""How every verb of `edge-agent` runs: one that root starts continues as the user of the folder that it works in."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import typer
from typer.core import TyperCommand

from config.credentials import PREFIX, secret_path
from config.errors import SettingsError
from config.settings import Settings, load_settings
from edge_agent.commands.options import ended, report_errors
from edge_agent.privileges.account import Account, leads_through
from edge_agent.privileges.as_owner import Work, as_account, as_owner_of, foreign_owner
from edge_agent.privileges.hand_over import readable_copies

# Parameters by their names: the settings, folders and files that a verb writes, files that it reads.
_CONFIG = "config"
_WRITTEN: dict[str, Callable[[Path], Path]] = {
    "data": lambda folder: folder,
    "folder": lambda folder: folder,
    "new_file": lambda file: file.parent,
}
_READ = ("file", "photo", "photos", "picture", "thermal")


class OwnerVerb(TyperCommand):
    """A verb that works in the folder of the agent, or reads files."""

    def invoke(self, ctx: Any) -> Any:
        """Run the verb, as the user to whom the folder that it works in belongs."""
        work = partial(super().invoke, ctx)
        with report_errors():
            folder, settings = self.folder(ctx.params)
            account = None if folder is None else foreign_owner(folder)
        if account is None:
            return work()
        with files_handed_over(account, ctx.params), secrets_handed_over(account, settings) as environment:
            _work_as(account, work, environment)
        return None

    def folder(self, given: dict[str, Any]) -> tuple[Path | None, Settings | None]:
        """The folder that this verb works in, and the settings whose secrets it may need.

        Without a folder a file of another user that it reads.
        """
        for name, folder_of in _WRITTEN.items():
            if given.get(name) is not None:
                return folder_of(given[name]), None
        if _CONFIG not in given:
            return next((path for path in _read_files(given) if foreign_owner(path)), None), None
        if foreign_owner(given[_CONFIG].parent):
            return given[_CONFIG].parent, None  # these settings are not root's: they name no secret of root's
        settings = settings_or_defaults(given[_CONFIG])
        return Path(settings.box.data_dir), settings


class RootVerb(OwnerVerb):
    """A verb that needs root for a part of its work, and does the other part through `as_agent`.

    Settings in a folder of another user are not root's: then nothing needs root.
    """

    def folder(self, given: dict[str, Any]) -> tuple[Path | None, Settings | None]:
        """The folder of the settings."""
        return (given[_CONFIG].parent if _CONFIG in given else None), None


def guard(app: typer.Typer, root_verbs: Collection[Callable[..., Any]]) -> None:
    """Let every verb of `app` run as an OwnerVerb, and those of `root_verbs` as a RootVerb."""
    for command in app.registered_commands:
        command.cls = RootVerb if command.callback in root_verbs else OwnerVerb
    for group in app.registered_groups:
        if group.typer_instance is not None:
            guard(group.typer_instance, root_verbs)


def as_agent(settings: Settings, work: Work) -> bytes:
    """Do `work` as the owner of the data folder, with the secrets that the settings name. Raises as `as_owner_of`."""
    folder = Path(settings.box.data_dir)
    account = foreign_owner(folder)
    if account is None:
        return as_owner_of(folder, work)
    with secrets_handed_over(account, settings) as environment:
        return _work_as(account, work, environment)


def _work_as(account: Account, work: Callable[[], Any], environment: dict[str, str]) -> bytes:
    """`as_account`; a file that `account` may not open is reported. Raises typer.Exit."""
    try:
        return as_account(account, partial(_finished, work), environment)
    except PermissionError as exc:
        user = account.name or account.uid
        raise ended(
            f"{exc.filename}: 用户 {user} 无权访问，本命令以其身份运行；若由 root 写入，请用 chown 交还。\n"
            f"{exc.filename}: no permission for the user {user}, as whom this command works. If root wrote the file"
            " earlier, give it to that user with chown."
        ) from exc


def settings_or_defaults(config: Path) -> Settings:
    """The settings; the defaults where they cannot be read: the verb itself reports why."""
    try:
        return load_settings(config)
    except SettingsError:
        return Settings()


@contextlib.contextmanager
def secrets_handed_over(account: Account, settings: Settings | None) -> Iterator[dict[str, str]]:
    """The environment with copies of the systemd credentials that `settings` name, during the block."""
    if settings is None:
        yield {}
        return
    values = [value for section in msgspec.to_builtins(settings).values() for value in section.values()]
    named = {value for value in values if isinstance(value, str) and value.startswith(PREFIX)}
    files = {value.removeprefix(PREFIX): secret_path(value) for value in named}
    with readable_copies(account, files, secret=True) as copies:
        yield {"CREDENTIALS_DIRECTORY": str(copies)}


@contextlib.contextmanager
def files_handed_over(account: Account, given: dict[str, Any]) -> Iterator[None]:
    """During the block the files in `given` that a verb reads are copies that `account` can read.

    A file in a folder of `account` stays where it is: root does not open it.
    """
    with contextlib.ExitStack() as copies:
        for name in _READ:
            named = [copies.enter_context(_copy(account, path)) for path in _read_files(given, [name])]
            if named:
                given[name] = named[0] if isinstance(given[name], Path) else named
        yield


def _read_files(given: dict[str, Any], names: Collection[str] = _READ) -> list[Path]:
    """The paths in `given` of files that a verb reads; a parameter has one or several."""
    values = [given.get(name) for name in names]
    return [path for value in values for path in ([value] if isinstance(value, Path) else value or ())]


@contextlib.contextmanager
def _copy(account: Account, path: Path) -> Iterator[Path]:
    if leads_through(path, account) or not path.is_file():
        yield path
        return
    with readable_copies(account, {path.name: path}, secret=False) as folder:
        yield folder / path.name


def _finished(work: Callable[[], Any]) -> bytes | None:
    """The result of `work`; what typer ends a verb with becomes an exit status."""
    try:
        result = work()
    except typer.Exit as end:
        raise SystemExit(end.exit_code) from end
    except typer.BadParameter as exc:
        exc.show()
        raise SystemExit(exc.exit_code) from exc
    except typer.Abort as exc:
        typer.echo("Aborted!", err=True)
        raise SystemExit(1) from exc
    return result if isinstance(result, bytes) else None

"""Writes docs/cli.md: every verb of both commands with its arguments and options.

    python -m bench.cli_reference

The text comes from the signatures of the verbs, not from printed help: the width of a terminal does not matter.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Iterator
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any

import typer
from typer.models import ArgumentInfo, OptionInfo

from edge_agent.commands.cli import app as agent
from sync.platform.commands.cli import app as platform

_ROOT = Path(__file__).parents[1]
PAGE = _ROOT / "docs" / "cli.md"
COMMANDS = {"edge-agent": agent, "edge-platform": platform}
_HEAD = """# Commands

`make docs` writes this page from the code; do not edit it. Every verb has `--help`; those that
scripts read have `--json`. Exit status: 0 success, 1 failure, 2 an invalid command line or settings file.
"""
_KINDS = {int: "N", float: "X", Path: "PATH", datetime: "DATE", str: "TEXT"}


def verbs(app: typer.Typer, name: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Each verb of `app` with its full name, in the order of the code."""
    for entry in app.registered_commands:
        if entry.callback:
            yield f"{name} {entry.name or entry.callback.__name__.replace('_', '-')}", entry.callback
    for group in app.registered_groups:
        if group.typer_instance:
            yield from verbs(group.typer_instance, f"{name} {group.name}")


class Parameter:
    """An argument or option of a verb, as its signature declares it."""

    def __init__(self, name: str, annotation: Any, default: Any) -> None:
        self._name = name
        kind, *extras = typing.get_args(annotation)
        self._info = next(each for each in extras if isinstance(each, OptionInfo | ArgumentInfo))
        inner = [each for each in typing.get_args(kind) if each is not types.NoneType]
        self._several = typing.get_origin(kind) in (list, tuple)
        self._kind: Any = inner[0] if inner else kind
        if typing.get_origin(self._kind) is list:
            self._several, self._kind = True, typing.get_args(self._kind)[0]
        first = self._info.default  # in Annotated, typer takes the first name of an option for its default
        self._names = [*([first] if isinstance(first, str) else []), *(self._info.param_decls or ())]
        self.required = default is inspect.Parameter.empty
        self._default = default
        self.is_argument = isinstance(self._info, ArgumentInfo)

    def names(self) -> list[str]:
        """The names of an option as they are typed."""
        plain = self._name.replace("_", "-")
        return self._names or [f"--{plain}", *([f"--no-{plain}"] if self._kind is bool else [])]

    def shown(self) -> str:
        """What is typed for it."""
        if self.is_argument:
            name = self._info.metavar or self._name.upper()
            return f"{name}..." if self._several and not name.endswith("...") else name
        names = ", ".join(self.names())
        return names if self._kind is bool else f"{names} {self._value()}"

    def _value(self) -> str:
        if self._info.metavar:
            return str(self._info.metavar)
        if issubclass(self._kind, Enum):
            return r"\|".join(each.value for each in self._kind)
        return _KINDS[self._kind]

    def row(self) -> str:
        """Its line of the table."""
        return f"| `{self.shown()}` | {self._meaning()} | {self._default_shown()} |"

    def _meaning(self) -> str:
        parts = [self._info.help or ""]
        least, most = self._info.min, self._info.max
        if least is not None or most is not None:
            parts.append(f"({'' if least is None else f'{least:g}'}…{'' if most is None else f'{most:g}'})")
        if self._info.envvar:
            parts.append(f"(environment: `{self._info.envvar}`)")
        return " ".join(filter(None, parts)).replace("|", r"\|")

    def _default_shown(self) -> str:
        if self.required:
            return "required"
        if self._default in (None, False, "") or isinstance(self._default, list):
            return ""
        if isinstance(self._default, Path) and self._default.is_relative_to(_ROOT):
            return f"`{self._default.relative_to(_ROOT)}`"
        return f"`{self._default.value if isinstance(self._default, Enum) else self._default}`"


def parameters(verb: Callable[..., Any]) -> list[Parameter]:
    """The arguments and options of `verb`, in the order of its signature."""
    hints = typing.get_type_hints(verb, include_extras=True)
    signature = inspect.signature(verb).parameters
    return [Parameter(name, hints[name], each.default) for name, each in signature.items()]


def section(name: str, verb: Callable[..., Any]) -> str:
    """One verb: heading, help, table of its arguments and options."""
    found = parameters(verb)
    typed = [each.shown() if each.required else f"[{each.shown()}]" for each in found if each.is_argument]
    rows = [each.row() for each in found]
    table = ["", "| argument, option | meaning | default |", "| --- | --- | --- |", *rows] if rows else []
    return "\n".join([f"### {' '.join([name, *typed])}", "", " ".join((verb.__doc__ or "").split()), *table]) + "\n"


def reference() -> str:
    """The whole page."""
    parts = [_HEAD]
    for name, app in COMMANDS.items():
        parts.append(f"## {name}\n\n{app.info.help}\n")
        parts += [section(verb, callback) for verb, callback in verbs(app, name)]
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")

"""`python3 -m edge_agent.installer`: runs `edge-agent install` and `uninstall` from the wheel on a bare box."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_agent.installer.environment import EXTRAS, extras_in_use
from edge_agent.installer.errors import InstallError, NotUndone
from edge_agent.installer.plan import HOME, elsewhere, install_steps, uninstall_steps
from edge_agent.installer.service import reload_on_failure
from edge_agent.installer.step import InstallStep, apply, preview

WHEELHOUSE = Path("/usr/share/edge-agent/wheelhouse")
ROOT = Path("/")


def install(
    root: Path, wheelhouse: Path, *, for_real: bool, extras: Sequence[str] = (), without: Sequence[str] = ()
) -> int:
    """Install the agent on a box; returns the exit status. Installed extras are kept, except those of `without`."""
    os.umask(0o022)  # the service user must be able to read the installed files
    try:
        box = box_at(root)
        wanted = chosen_extras(box, extras, without)
        with reload_on_failure(box):
            changed = carry_out(install_steps(box, wheelhouse, wanted), for_real=for_real)
    except (InstallError, OSError) as exc:
        return failed(exc)
    if for_real and changed:
        say("下一步 next: edge-agent provision; edge-agent doctor（docs/install.md）")
        say("屏幕 screen: systemctl enable --now sentinel-kiosk")
    return 0


def uninstall(root: Path, *, purge: bool, for_real: bool) -> int:
    """Remove the agent from a box; returns the exit status."""
    left = elsewhere(root) if purge else []
    try:
        carry_out(uninstall_steps(box_at(root), purge=purge), for_real=for_real)
    except (InstallError, OSError) as exc:
        return failed(exc)
    if not purge:
        say("配置和记录保留 settings and records are kept; --purge 一并删除 removes them too")
    for path in left:
        say(f"! 设置指向别处，请手工删除 named in the settings and not removed; remove it by hand: {path}")
    say("服务用户 edge-agent、sentinel-kiosk 保留 the service users are kept: docs/install.md")
    return 0


def chosen_extras(box: Path, added: Sequence[str], without: Sequence[str]) -> tuple[str, ...]:
    """The extras to install: installed and requested ones. Raises InstallError for an unknown extra."""
    for extra in (*added, *without):
        if extra not in EXTRAS:
            raise InstallError(f"没有选装组件 {extra}，只有 there is no extra {extra}, only: {', '.join(EXTRAS)}")
    had = extras_in_use(box / HOME.relative_to("/"))
    return tuple(sorted({*had, *added} - set(without)))


def box_at(root: Path) -> Path:
    """The resolved root of the box's file system. Raises InstallError if there is no such folder."""
    if not root.is_dir():
        raise InstallError(f"--root {root}: 没有这个文件夹 is not a folder")
    return root.resolve()


def carry_out(steps: list[InstallStep], *, for_real: bool) -> bool:
    """Apply the steps or preview them; returns whether there was anything to do."""
    changed = apply(steps, say) if for_real else preview(steps, say)
    if not changed:
        say("无需改动 nothing to do")
    elif not for_real:
        say("以上为预演，加 --apply 执行 / this was a dry run: add --apply to apply it")
    return changed


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def failed(why: Exception) -> int:
    """Report the error, its reason first; returns the exit status."""
    state = "未完成 not done" if isinstance(why, NotUndone) else "未完成，已恢复原状 not done, all changes were undone"
    sys.stderr.write(f"edge-agent: {why}\nedge-agent: {state}\n说明 guide: docs/install.md\n")
    return 1


def command_line() -> argparse.ArgumentParser:
    """The parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="install.sh", description="电子哨兵安装程序 Installs or removes the agent on this box."
    )
    parser.add_argument("verb", choices=["install", "uninstall"])
    parser.add_argument("--apply", action="store_true", help="apply the changes; without it, only show them (dry run)")
    parser.add_argument("--root", type=Path, default=ROOT, help="root of the box's file system")
    parser.add_argument("--wheelhouse", type=Path, default=WHEELHOUSE, help="folder created by make wheelhouse")
    parser.add_argument(
        "--with", dest="extras", action="append", default=[], choices=EXTRAS, help="install: add an extra"
    )
    parser.add_argument("--without", action="append", default=[], choices=EXTRAS, help="install: remove an extra")
    parser.add_argument("--purge", action="store_true", help="uninstall: also delete settings, secrets and records")
    return parser


def main() -> int:
    """Entry point."""
    given = command_line().parse_args()
    if given.verb == "install":
        return install(given.root, given.wheelhouse, for_real=given.apply, extras=given.extras, without=given.without)
    return uninstall(given.root, purge=given.purge, for_real=given.apply)


if __name__ == "__main__":
    sys.exit(main())

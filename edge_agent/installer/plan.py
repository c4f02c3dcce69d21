"""The steps that install the agent on a bare box, and those that remove it."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from typing import Any

from edge_agent.installer.accounts import Accounts, Folders
from edge_agent.installer.environment import Environment, Wheelhouse
from edge_agent.installer.files import CopyFile, Remove, SymbolicLink
from edge_agent.installer.service import Reload, Stop
from edge_agent.installer.step import InstallStep
from edge_agent.runtime.service_unit import AGENT_UNIT, KIOSK_UNIT
from sync.storage.text_file import read_text_file

HOME = Path("/opt/edge-agent")
DECLARED = {  # static files of the package, and their places on the box
    "sysusers.conf": "etc/sysusers.d/60-sentinel.conf",
    "tmpfiles.conf": "etc/tmpfiles.d/60-sentinel.conf",
    "60-sentinel.rules": "etc/udev/rules.d/60-sentinel.rules",
    "journald.conf": "etc/systemd/journald.conf.d/60-sentinel.conf",
    "system.conf": "etc/systemd/system.conf.d/60-sentinel.conf",
    AGENT_UNIT: f"etc/systemd/system/{AGENT_UNIT}",
    KIOSK_UNIT: f"etc/systemd/system/{KIOSK_UNIT}",
}
ENABLED = f"etc/systemd/system/multi-user.target.wants/{AGENT_UNIT}"
COMMAND = "usr/local/bin/edge-agent"
SETTINGS = "etc/edge-agent/sentinel.toml"
SECRETS = ("at-rest.key", "community.key", "box.key", "staff.pin")
STORES = ("etc/credstore", "etc/credstore.encrypted")
DATA = ("var/lib/edge-agent", "etc/edge-agent", *(f"{store}/edge-agent.{name}" for store in STORES for name in SECRETS))


def install_steps(root: Path, wheelhouse: Path, extras: Sequence[str] = ()) -> list[InstallStep]:
    """The steps in order; systemd is reloaded last. Raises InstallError for an unusable wheelhouse."""
    wheels = Wheelhouse(wheelhouse, extras)
    with_extras = f"（{'、'.join(extras)}）" if extras else "", f" with {', '.join(extras)}" if extras else ""
    units = package_file("systemd")
    settings = package_file("config").joinpath("sentinel.example.toml").read_bytes()
    copies = [
        CopyFile(f"写入 /{place}", f"write /{place}", units.joinpath(name).read_bytes(), root / place)
        for name, place in DECLARED.items()
    ]
    return [
        *copies,
        Accounts("建立服务用户", "create the service users", root / DECLARED["sysusers.conf"], root),
        CopyFile("写入配置样例", f"write /{SETTINGS} from the example", settings, root / SETTINGS, keep=True),
        Folders("建立目录和权限", "create the folders and set their owners", root / DECLARED["tmpfiles.conf"], root),
        Environment(
            f"离线安装程序{with_extras[0]}", f"install the agent{with_extras[1]} into {HOME}", wheels, HOME, root
        ),
        SymbolicLink(
            "提供命令 edge-agent", f"provide the command /{COMMAND}", root / COMMAND, f"{HOME}/venv/bin/edge-agent"
        ),
        SymbolicLink("开机自动运行", "start at boot", root / ENABLED, f"/{DECLARED[AGENT_UNIT]}"),
        reload_step(root),
    ]


def uninstall_steps(root: Path, *, purge: bool) -> list[InstallStep]:
    """Remove all but the service users, whose ids may own other files; `purge` also removes settings and records."""
    places = [ENABLED, COMMAND, str(PurePosixPath(HOME).relative_to("/")), *reversed(DECLARED.values())]
    places += DATA if purge else ()
    removals = [Remove(f"删除 /{place}", f"remove /{place}", root / place) for place in places]
    return [
        Stop("停止服务", "stop the services", root),
        *removals,
        reload_step(root),
    ]


def elsewhere(root: Path) -> list[str]:
    """Paths in the settings of a box that `purge` does not remove; none if the settings cannot be read."""
    try:
        sections = tomllib.loads(read_text_file(root / SETTINGS))
    except (OSError, ValueError):
        return []
    named = [
        PurePosixPath(str(value))
        for section in sections.values()
        if isinstance(section, dict)
        for key, value in section.items()
        if key == "data_dir" or key.endswith("_file")
    ]
    removed = [PurePosixPath("/") / place for place in DATA]
    return [
        str(path) for path in named if path.is_absolute() and not any(path.is_relative_to(place) for place in removed)
    ]


def reload_step(root: Path) -> InstallStep:
    """The last step of installation and removal."""
    return Reload(
        "通知 systemd 和 udev", "reload systemd and udev", root, [root / place for place in DECLARED.values()]
    )


def package_file(name: str) -> Traversable:
    """A folder of this package, which may be inside a wheel."""
    inside: Any = resources.files("edge_agent")
    found: Traversable = inside.parent / name
    return found

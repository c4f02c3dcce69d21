"""The installer on a root of its own: what it does, does not do twice, and takes back."""

import configparser
import hashlib
import os
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.installer.__main__ import chosen_extras, install, uninstall
from edge_agent.installer.environment import CHECKSUMS, Environment, Wheelhouse, extras_in_use
from edge_agent.installer.errors import InstallError
from edge_agent.installer.files import CopyFile, Remove, SymbolicLink
from edge_agent.installer.plan import ENABLED, SETTINGS, install_steps, uninstall_steps
from edge_agent.installer.step import InstallStep, apply

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to other users")


class Unneeded(InstallStep):
    """In the place of the environment: a root without Python cannot have one."""

    def is_done(self) -> bool:
        return True

    def do(self) -> None:
        raise AssertionError

    def undo(self) -> None:
        raise AssertionError


class Fails(InstallStep):
    """A step that gets half way."""

    def is_done(self) -> bool:
        return False

    def do(self) -> None:
        raise InstallError("the disk is full")

    def undo(self) -> None:
        return


@pytest.fixture
def wheelhouse(tmp_path: Path) -> Path:
    """A wheelhouse with a wheel that cannot be installed."""
    folder = tmp_path / "wheelhouse"
    folder.mkdir()
    with zipfile.ZipFile(folder / "pip-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("pip/__main__.py", "raise SystemExit('no room')")
    return seal(folder)


PIP = """
import sys, zipfile
from pathlib import Path

[packages] = [Path(each) for each in sys.path if each.endswith("site-packages")]
for wheel in [word for word in sys.argv if word.endswith(".whl")]:
    zipfile.ZipFile(wheel).extractall(packages)
command = packages.parents[2] / "bin" / "edge-agent"
command.write_text("#!/bin/sh\\n")
command.chmod(0o755)
"""


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A wheelhouse whose pip unpacks wheels, with an extra."""
    folder = tmp_path / "whole"
    folder.mkdir()
    with zipfile.ZipFile(folder / "pip-1-py3-none-any.whl", "w") as packed:
        packed.writestr("pip/__main__.py", PIP)
    with zipfile.ZipFile(folder / "sentinel_gate-1-py3-none-any.whl", "w") as packed:
        for place in ("__init__.py", "installer/__init__.py", "installer/bytecode.py", "tests/test_it.py"):
            packed.writestr(f"edge_agent/{place}", "")
    (folder / "recognition").mkdir()
    with zipfile.ZipFile(folder / "recognition" / "insightface-1-py3-none-any.whl", "w") as packed:
        packed.writestr("insightface/__init__.py", "")
    seal(folder / "recognition")
    return seal(folder)


def seal(folder: Path) -> Path:
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in folder.glob("*.whl")]
    (folder / CHECKSUMS).write_text("\n".join(lines) + "\n", encoding="ascii")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A box with one user."""
    etc = tmp_path / "root" / "etc"
    etc.mkdir(parents=True)
    (etc / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (etc / "group").write_text("root:x:0:\ndialout:x:20:\nvideo:x:44:\naudio:x:29:\n")
    return tmp_path / "root"


def steps(root: Path, wheelhouse: Path, last: InstallStep | None = None) -> list[InstallStep]:
    """The plan without the environment; `last` in its place."""
    other = last or Unneeded("", "")
    return [other if isinstance(step, Environment) else step for step in install_steps(root, wheelhouse)]


def tree(root: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Every file of a box with mode, owner and content."""

    def entries() -> Iterator[tuple[str, tuple[int, int, int, bytes]]]:
        for path in sorted(root.rglob("*")):
            info = path.lstat()
            content = path.read_bytes() if stat.S_ISREG(info.st_mode) else b""
            says = str(path.readlink()).encode() if path.is_symlink() else content
            yield str(path.relative_to(root)), (info.st_mode, info.st_uid, info.st_gid, says)

    return dict(entries())


def owner(path: Path, root: Path) -> tuple[str, str, int]:
    """User and group by the box's own names, and the mode."""
    names = [
        {line.split(":")[2]: line.split(":")[0] for line in (root / "etc" / name).read_text().splitlines()}
        for name in ("passwd", "group")
    ]
    info = path.stat()
    return names[0][str(info.st_uid)], names[1][str(info.st_gid)], stat.S_IMODE(info.st_mode)


def test_a_rehearsal_says_everything_in_both_languages_and_changes_nothing(
    root: Path, wheelhouse: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(root)
    assert install(root, wheelhouse, for_real=False) == 0
    assert tree(root) == before
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "以上为预演，加 --apply 执行 / this was a dry run: add --apply to apply it"
    assert (
        len([line for line in lines if line.startswith("→ 将执行：") and "would do: " in line])
        == len(install_steps(root, wheelhouse)) - 1
    )  # no systemd runs there


def test_it_makes_users_folders_settings_and_units_and_a_second_time_has_nothing_to_do(
    root: Path, wheelhouse: Path
) -> None:
    assert apply(steps(root, wheelhouse), lambda _: None)
    assert owner(root / "etc/edge-agent", root) == ("root", "edge-agent", 0o750)
    assert owner(root / SETTINGS, root) == ("root", "edge-agent", 0o640)
    assert owner(root / "etc/credstore", root) == ("root", "root", 0o700)
    assert owner(root / "var/lib/edge-agent", root) == ("edge-agent", "edge-agent", 0o700)
    groups = (root / "etc/group").read_text()
    for group in ("dialout", "video", "audio"):
        assert any(line.startswith(f"{group}:") and line.endswith("edge-agent") for line in groups.splitlines()) or (
            f"{group}:x:" in groups and "edge-agent,sentinel-kiosk" in groups
        )
    manager = configparser.ConfigParser()
    manager.read(root / "etc/systemd/system.conf.d/60-sentinel.conf")
    assert manager["Manager"]["RuntimeWatchdogSec"] == "30s"
    assert str((root / ENABLED).readlink()) == "/etc/systemd/system/edge-agent.service"
    before = tree(root)
    assert not apply(steps(root, wheelhouse), lambda _: None)
    assert tree(root) == before


def test_settings_that_somebody_edited_stay_and_a_changed_piece_is_named(root: Path, wheelhouse: Path) -> None:
    apply(steps(root, wheelhouse), lambda _: None)
    (root / SETTINGS).write_text("[box]\nname = 'gate-7'\n")
    (root / "etc/udev/rules.d/60-sentinel.rules").write_text("# an older one\n")
    said: list[str] = []
    assert apply(steps(root, wheelhouse), said.append)
    assert [line for line in said if line.startswith("✓")] == [
        "✓ 写入 /etc/udev/rules.d/60-sentinel.rules / write /etc/udev/rules.d/60-sentinel.rules"
    ]
    assert (root / SETTINGS).read_text() == "[box]\nname = 'gate-7'\n"


def test_a_failure_in_the_middle_leaves_nothing(root: Path, wheelhouse: Path) -> None:
    (root / "etc/udev/rules.d").mkdir(parents=True)
    (root / "etc/udev/rules.d/60-sentinel.rules").write_text("# an older one\n")
    before = tree(root)
    with pytest.raises(InstallError, match="the disk is full"):
        apply(steps(root, wheelhouse, Fails("", "")), lambda _: None)
    assert tree(root) == before


def test_an_environment_that_cannot_be_filled_leaves_the_one_before(
    tmp_path: Path, wheelhouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "opt"
    (home / "venv-old").mkdir(parents=True)
    (home / "venv").symlink_to("venv-old")
    step = Environment("", "", Wheelhouse(wheelhouse), home, Path("/"))
    before = tree(home)
    with pytest.raises(InstallError, match="no room"):
        apply([step], lambda _: None)
    assert tree(home) == before


def environment(whole: Path, home: Path, *extras: str) -> Environment:
    return Environment("", "", Wheelhouse(whole, extras), home, Path("/"))


def packages(home: Path) -> Path:
    [found] = (home / "venv").resolve().glob("lib/python3*/site-packages")
    return found


def test_an_extra_is_added_kept_and_taken_away(tmp_path: Path, whole: Path) -> None:
    home = tmp_path / "opt"
    assert apply([environment(whole, home)], lambda _: None)
    assert not (packages(home) / "insightface").exists()
    assert not (packages(home) / "edge_agent" / "tests").exists()
    assert not (packages(home) / "pip").exists()
    assert not apply([environment(whole, home)], lambda _: None)
    assert extras_in_use(home) == ()
    assert apply([environment(whole, home, "recognition")], lambda _: None)
    assert (packages(home) / "insightface").exists()
    assert extras_in_use(home) == ("recognition",)
    assert not apply([environment(whole, home, "recognition")], lambda _: None)
    assert apply([environment(whole, home)], lambda _: None)
    assert not (packages(home) / "insightface").exists()
    assert len(list(home.glob("venv-*"))) == 1


def test_an_extra_that_cannot_be_filled_leaves_the_environment_before(tmp_path: Path, whole: Path) -> None:
    home = tmp_path / "opt"
    apply([environment(whole, home)], lambda _: None)
    before = tree(home)
    with (whole / "recognition" / "insightface-1-py3-none-any.whl").open("ab") as wheel:
        wheel.write(b"x")
    with pytest.raises(InstallError, match=r"insightface-1-py3-none-any\.whl: 文件损坏 is damaged"):
        apply([environment(whole, home, "recognition")], lambda _: None)
    assert tree(home) == before


def test_an_update_keeps_the_extras_of_the_box_unless_told_otherwise(root: Path, tmp_path: Path, whole: Path) -> None:
    assert chosen_extras(root, (), ()) == ()
    apply([environment(whole, root / "opt/edge-agent", "recognition")], lambda _: None)
    assert chosen_extras(root, (), ()) == ("recognition",)
    assert chosen_extras(root, (), ("recognition",)) == ()
    with pytest.raises(InstallError, match="there is no extra tea, only: recognition"):
        chosen_extras(root, ("tea",), ())


def test_a_wheelhouse_without_the_extra_is_said_so(
    root: Path, wheelhouse: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(root)
    assert install(root, wheelhouse, for_real=True, extras=["recognition"]) == 1
    said = capsys.readouterr().err
    assert "不含选装组件 recognition" in said
    assert "has no extra recognition: use a wheelhouse with it" in said
    assert tree(root) == before


def test_a_rehearsal_names_the_extra(root: Path, whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert install(root, whole, for_real=False, extras=["recognition"]) == 0
    assert "离线安装程序（recognition） / would do: install the agent with recognition into" in capsys.readouterr().out


def test_a_damaged_wheel_is_refused_by_name(root: Path, wheelhouse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (wheelhouse / "pip-1-py3-none-any.whl").open("ab") as wheel:
        wheel.write(b"x")
    before = tree(root)
    assert install(root, wheelhouse, for_real=True) == 1
    assert "pip-1-py3-none-any.whl: 文件损坏 is damaged" in capsys.readouterr().err
    assert tree(root) == before


def test_what_is_no_wheelhouse_is_said_so(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert install(root, tmp_path, for_real=True) == 1
    assert "is not a wheelhouse" in capsys.readouterr().err


def test_a_file_system_that_is_none_is_said_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert uninstall(tmp_path / "absent", purge=False, for_real=True) == 1
    assert "absent: 没有这个文件夹 is not a folder" in capsys.readouterr().err


def test_uninstall_keeps_settings_and_records_unless_told_otherwise(
    root: Path, wheelhouse: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    apply(steps(root, wheelhouse), lambda _: None)
    (root / "var/lib/edge-agent/ledger.db").write_text("records")
    (root / "etc/credstore.encrypted").mkdir()
    for store in ("credstore", "credstore.encrypted"):
        (root / "etc" / store / "edge-agent.at-rest.key").write_text("key")
        (root / "etc" / store / "of-another").write_text("key")
    assert uninstall(root, purge=False, for_real=True) == 0
    kept = [f"etc/{store}/edge-agent.at-rest.key" for store in ("credstore", "credstore.encrypted")]
    left = [path for path in tree(root) if "sentinel" in path or "edge-agent" in path]
    assert left == [*kept, "etc/edge-agent", SETTINGS, "var/lib/edge-agent", "var/lib/edge-agent/ledger.db"]
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "配置和记录保留 settings and records are kept; --purge 一并删除 removes them too",
        "服务用户 edge-agent、sentinel-kiosk 保留 the service users are kept: docs/install.md",
    ]
    assert uninstall(root, purge=True, for_real=True) == 0
    assert "settings and records" not in capsys.readouterr().out
    assert "edge-agent" in (root / "etc/passwd").read_text()
    assert (root / "etc/credstore.encrypted/of-another").exists()
    assert [path for path in tree(root) if "sentinel" in path or "edge-agent" in path] == []
    assert not apply(uninstall_steps(root, purge=True), lambda _: None)


def test_what_the_settings_name_elsewhere_is_listed_for_the_hand(
    root: Path, wheelhouse: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    apply(steps(root, wheelhouse), lambda _: None)
    (root / SETTINGS).write_text(
        '[box]\nname = "gate-7"\ndata_dir = "/data/sentinel"\n[privacy]\nkey_file = "credential:at-rest.key"\n'
        '[platform]\nkey_file = "/var/lib/edge-agent/identity/current/key.pem"\nca_file = "/data/ca.pem"\n'
    )
    for for_real in (False, True):
        assert uninstall(root, purge=True, for_real=for_real) == 0
        told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("!")]
        assert [line.rpartition(": ")[2] for line in told] == ["/data/sentinel", "/data/ca.pem"]


def test_a_removal_that_fails_gives_everything_back(root: Path, wheelhouse: Path) -> None:
    apply(steps(root, wheelhouse), lambda _: None)
    before = tree(root)
    with pytest.raises(InstallError):
        apply([*uninstall_steps(root, purge=True), Fails("", "")], lambda _: None)
    assert tree(root) == before


def test_single_steps_take_back_what_they_did(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("before")
    (tmp_path / "link").symlink_to("there")
    before = tree(tmp_path)
    for step in (
        CopyFile("", "", b"after", tmp_path / "there"),
        CopyFile("", "", b"after", tmp_path / "a" / "b" / "new"),
        SymbolicLink("", "", tmp_path / "link", "elsewhere"),
        SymbolicLink("", "", tmp_path / "c" / "link", "elsewhere"),
        Remove("", "", tmp_path / "there"),
    ):
        step.do()
        assert tree(tmp_path) != before
        step.undo()
        assert tree(tmp_path) == before

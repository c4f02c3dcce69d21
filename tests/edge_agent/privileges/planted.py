"""A box whose data folder belongs to another user, who planted links in it to what only root may open."""

from __future__ import annotations

import ast
import ctypes
import importlib
import os
import select
import shutil
import signal
import stat
import struct
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from edge_agent.commands import cli
from models.packs.manifest import read_manifest
from sync.storage.atomic_files import write_new
from tests.limits import HANG_S

ROOT = Path(__file__).parents[3]
AGENT = 65_123  # a user without an entry
MARK = "known-to-root-alone"
STOP_S = 4.0
_COMPARED_BYTES = 1 << 20
_ENDLESS = ("run", "devices simulate", "devices watch")
_SUFFIXES = ("", ".previous", "-wal", "-shm", "-journal", ".copy")
_INNER = ("current", "next", "place.json", "current/key.pem", "next/key.pem", "next/certificate.pem")
_OPENED = {0x20: "opened", 0x2: "changed", 0x4: "attributes changed", 0x100: "made", 0x200: "deleted", 0x40: "moved"}
_EVENT = struct.Struct("iIII")


@cache
def names_in_data_dir() -> frozenset[str]:
    """Every name that the product joins to the data folder, from its source."""
    found: set[str] = set()
    for path in [*ROOT.glob("edge_agent/**/*.py"), *ROOT.glob("sync/edge/**/*.py"), *ROOT.glob("models/**/*.py")]:
        if "training" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)):
                continue
            if "data_dir" in ast.unparse(node.left):
                found |= _value(node.right, path)
    return frozenset(found)


def _value(node: ast.expr, path: Path) -> set[str]:
    if isinstance(node, ast.Constant):
        return {str(node.value)}
    if isinstance(node, ast.Name) and node.id.isupper():
        module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        return {str(value)} if (value := getattr(module, node.id, None)) else set()  # else imported when used
    return set()


@dataclass(frozen=True)
class World:
    """The folders of one box; `data` is the agent's, the others are root's."""

    home: Path

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def outside(self) -> Path:
        return self.home / "outside"

    @property
    def config(self) -> Path:
        return self.home / "etc" / "sentinel.toml"

    @property
    def work(self) -> Path:
        return self.home / "root"

    @property
    def store(self) -> Path:
        return self.home / "store"


@contextmanager
def world() -> Iterator[World]:
    """An installed box below /tmp, where another user can reach its folder."""
    home = Path(tempfile.mkdtemp(prefix="verbs-"))
    try:
        box = World(home)
        home.chmod(0o755)
        for folder, mode in ((box.data, 0o700), (box.outside, 0o700), (box.config.parent, 0o755)):
            folder.mkdir()
            folder.chmod(mode)
        for folder in (box.work, box.store):
            folder.mkdir(mode=0o700)
        for name in ("at-rest.key", "community.key"):
            write_new(box.store / name, b"5a" * 32)
        os.chown(box.data, AGENT, AGENT)
        box.config.write_text(
            f'[box]\ndata_dir = "{box.data}"\n[platform]\nurl = "mqtt://127.0.0.1:9"\n[kiosk]\nport = 1\n'
            '[camera]\nsource = "/dev/absent"\n[speaker]\noutput = "null"\n[recognition]\nenabled = true\n'
        )
        yield box
    finally:
        shutil.rmtree(home)


def plant_files(box: World) -> None:
    """Links to files of root's at every name, and in the agent's own folders."""
    for name in sorted(names_in_data_dir()):
        if "." in name:
            for each in (*(f"{name}{suffix}" for suffix in _SUFFIXES), f".{name}.new"):
                _link(box, box.data / each, _secret(box, each))
    for folder in ("identity", "models", "broadcasts"):
        (box.data / folder).mkdir(mode=0o700)
    for each in _INNER:
        path = box.data / "identity" / each
        path.parent.mkdir(exist_ok=True, mode=0o700)
        if not path.is_dir() and each not in ("current", "next"):
            _link(box, path, _secret(box, path.name))
    for pack in read_manifest():
        for each in (pack.file, f"{pack.file}.part", f"{pack.file}.zip.part"):
            _link(box, box.data / "models" / each, _secret(box, each, pack.bytes))
    _give(box)


def plant_folders(box: World) -> None:
    """Links to folders of root's at the names of folders, and at those of files links to files that root could make."""
    tree = box.outside / "tree"
    tree.mkdir(mode=0o700)
    for name in (*_INNER, *(pack.file for pack in read_manifest())):
        (tree / Path(name).parent).mkdir(exist_ok=True)
        if not (tree / name).is_dir() and name not in ("current", "next"):
            (tree / name).write_text(MARK)
    for name in sorted(names_in_data_dir()):
        _link(box, box.data / name, box.outside / f"made-{name}" if "." in name else tree)
    _give(box)


def _secret(box: World, name: str, size_bytes: int = len(MARK)) -> Path:
    """A file of root's; where a pack is looked for of the size of the pack, so that its checksum would be computed."""
    path = box.outside / name
    path.write_text(MARK)
    os.truncate(path, size_bytes)
    path.chmod(0o600)
    return path


def _link(box: World, path: Path, target: Path) -> None:
    path.symlink_to(target)
    os.lchown(path, AGENT, AGENT)


def _give(box: World) -> None:
    for path in box.data.rglob("*"):
        os.lchown(path, AGENT, AGENT)


def state(folder: Path) -> dict[str, tuple[object, ...]]:
    """Owner, mode, size, times of change and the beginning of the content of everything in `folder`."""
    found = {}
    for path in (folder, *sorted(folder.rglob("*"))):
        status = path.lstat()
        content = b""
        if stat.S_ISREG(status.st_mode):
            with path.open("rb") as file:
                content = file.read(_COMPARED_BYTES)
        times = status.st_mtime_ns, status.st_ctime_ns
        facts = (status.st_uid, status.st_gid, status.st_mode, status.st_size, *times, content)
        found[str(path.relative_to(folder))] = facts
    return found


@contextmanager
def watched(folder: Path) -> Iterator[list[str]]:
    """What was done to the files below `folder` during the block, filled in at its end."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = libc.inotify_init1(os.O_NONBLOCK)
    below = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    places = {libc.inotify_add_watch(handle, bytes(path), sum(_OPENED)): path for path in below}
    assert handle >= 0
    assert all(number > 0 for number in places)
    events: list[str] = []
    try:
        yield events
        try:
            data = os.read(handle, 1 << 20)
        except BlockingIOError:
            return
        while data:
            number, mask, _, size = _EVENT.unpack_from(data)
            name = data[_EVENT.size : _EVENT.size + size].rstrip(b"\0").decode()
            what = ", ".join(text for bit, text in _OPENED.items() if mask & bit)
            events.append(f"{places[number] / name}: {what}")
            data = data[_EVENT.size + size :]
    finally:
        os.close(handle)


def run_verb(box: World, words: Sequence[str], typed: str = "") -> tuple[int, str]:
    """Exit status and output of `edge-agent WORDS`, run by root in its own process; an endless one is stopped."""
    said, given = box.work / "said", box.work / "typed"
    given.write_text(typed)
    child = os.fork()
    if child == 0:
        _become_the_verb(box, words, given, said)
    handle = os.pidfd_open(child)
    try:
        stop_s = STOP_S if " ".join(words).startswith(_ENDLESS) else HANG_S
        for stop, limit_s in ((signal.SIGTERM, stop_s), (signal.SIGKILL, HANG_S)):
            if _ends(handle, limit_s):
                break
            os.kill(child, stop)
        _, status = os.waitpid(child, 0)
    finally:
        os.close(handle)
    return os.waitstatus_to_exitcode(status), said.read_text(errors="replace")


def _ends(handle: int, limit_s: float) -> bool:
    waiter = select.poll()
    waiter.register(handle, select.POLLIN)
    return bool(waiter.poll(limit_s * 1000))


def _become_the_verb(box: World, words: Sequence[str], given: Path, said: Path) -> None:
    status = 70
    try:
        os.setsid()
        os.chdir(box.work)
        os.environ["CREDENTIALS_DIRECTORY"] = str(box.store)
        os.environ["no_proxy"] = "*"
        os.environ.pop("PYTEST_CURRENT_TEST", None)
        os.dup2(os.open(given, os.O_RDONLY), 0)
        out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.stdin, sys.stdout = os.fdopen(0, "r"), os.fdopen(1, "w", buffering=1)
        sys.stderr = os.fdopen(2, "w", buffering=1)
        sys.argv = ["edge-agent", *words]
        cli.main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - reported, because the test itself goes on in the parent
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)

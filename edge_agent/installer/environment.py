"""The agent's own environment, made from a wheelhouse: a folder of wheels with their sums. No network is asked.

What an extra needs beyond the rest lies in a folder of its name inside of the wheelhouse, with sums of its own.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from edge_agent.installer.errors import InstallError
from edge_agent.installer.files import made_folders, remove_folders
from edge_agent.installer.step import InstallStep, run
from sync.storage.atomic_files import replace_link

SUMS = "SHA256SUMS"
EXTRAS = ("recognition",)
_COMPLETE = "complete"  # in an environment that was filled; says which extras are in it

#: of the packages, what no box runs: 12 MB
_LEFT_OUT = ("**/tests", "onnxruntime/quantization", "onnxruntime/tools", "onnxruntime/transformers")


class Wheelhouse:
    """A folder made by `make wheelhouse`, with what `extras` need. Raises InstallError if it is none or lacks one."""

    def __init__(self, folder: Path, extras: Sequence[str] = ()) -> None:
        self.folder = folder.resolve()
        self.extras = tuple(sorted(extras))
        listed = {"": _listed(self.folder, f"{folder}: 不是离线安装包文件夹 is no wheelhouse")}
        for extra in self.extras:
            lacks = (
                f"{folder}: 不含选装组件 {extra}，请用含有它的安装包，或加 --without {extra}"
                f" has no extra {extra}: bring the wheelhouse that has it, or add --without {extra}"
            )
            listed[extra] = _listed(self.folder / extra, lacks)
        self.edition = hashlib.sha256("".join(listed.values()).encode()).hexdigest()[:12]
        self._sums = {
            str(Path(place) / name): digest
            for place, lines in listed.items()
            for digest, name in (line.split() for line in lines.splitlines())
        }

    @property
    def wheels(self) -> list[Path]:
        """Every wheel."""
        return [self.folder / name for name in sorted(self._sums) if name.endswith(".whl")]

    @property
    def pip(self) -> Path:
        """The wheel of pip, which is run out of it and not installed."""
        [pip] = [wheel for wheel in self.wheels if wheel.name.startswith("pip-")]
        return pip

    def check(self) -> None:
        """Raises InstallError for the first file that is missing or damaged."""
        for name, digest in self._sums.items():
            try:
                found = hashlib.sha256((self.folder / name).read_bytes()).hexdigest()
            except OSError as exc:
                raise InstallError(f"{self.folder / name}: {exc.strerror}: 请重新复制 copy the folder again") from exc
            if found != digest:
                raise InstallError(f"{self.folder / name}: 文件损坏 is damaged: 请重新复制 copy the folder again")


def _listed(folder: Path, lacks: str) -> str:
    """The sums of a folder of wheels, as they stand there. Raises InstallError."""
    try:
        return (folder / SUMS).read_text(encoding="ascii")
    except OSError as exc:
        raise InstallError(f"{lacks} ({SUMS}: {exc.strerror})") from exc


def extras_in_use(home: Path) -> tuple[str, ...]:
    """The extras of the environment in use, of which `home` is the folder as seen from here; none without one."""
    try:
        return tuple((home / "venv" / _COMPLETE).read_text(encoding="ascii").split())
    except OSError:
        return ()


class Environment(InstallStep):
    """A virtual environment of its own for every edition, and a link to the one in use.

    An update is a turn of the link; the edition before it is kept until the update is through.
    """

    def __init__(self, zh: str, en: str, wheelhouse: Wheelhouse, home: Path, root: Path) -> None:
        """`home` is where environments lie, as the box sees it; `root` is where the box's file system lies."""
        super().__init__(zh, en)
        self._wheelhouse = wheelhouse
        self._root = root
        self._home = home
        self._folder = self._here(home / f"venv-{wheelhouse.edition}")
        self._link = self._here(home / "venv")
        self._complete = self._folder / _COMPLETE
        self._before: str | None = None
        self._made: list[Path] = []

    def is_done(self) -> bool:
        """Whether this edition is complete and in use."""
        return self._complete.exists() and self._link.is_symlink() and str(self._link.readlink()) == self._folder.name

    def do(self) -> None:
        """Make the environment, fill it, turn the link."""
        self._before = str(self._link.readlink()) if self._link.is_symlink() else None
        self._wheelhouse.check()
        self._made = made_folders(self._link.parent)
        if not self._complete.exists():
            shutil.rmtree(self._folder, ignore_errors=True)
            self._fill()
        replace_link(self._link, self._folder.name)

    def undo(self) -> None:
        """Turn the link back and remove the edition."""
        if self._before is not None:
            replace_link(self._link, self._before)
        else:
            self._link.unlink(missing_ok=True)
        if self._before != self._folder.name:
            shutil.rmtree(self._folder, ignore_errors=True)
        remove_folders(self._made)

    def settle(self) -> None:
        """Remove the editions before this one."""
        for other in self._link.parent.glob("venv-*"):
            if other != self._folder:
                shutil.rmtree(other)

    def _fill(self) -> None:
        inside = self._home / self._folder.name
        pip = self._wheelhouse.pip
        wheels = [wheel.relative_to(self._wheelhouse.folder) for wheel in self._wheelhouse.wheels if wheel != pip]
        self._run("python3", "-m", "venv", "--without-pip", inside)
        with_wheels = self._seen_from_inside()
        try:
            self._run(
                *(inside / "bin" / "python", with_wheels / pip.name / "pip", "--isolated", "install", "--quiet"),
                *("--no-index", "--no-deps", "--no-cache-dir", "--no-compile", "--disable-pip-version-check"),
                *(with_wheels / wheel for wheel in wheels),
            )
            self._leave_out()
            self._run(inside / "bin" / "edge-agent", "version")
            self._run(inside / "bin" / "python", "-m", "edge_agent.installer.bytecode")
        finally:
            if self._root != Path("/"):
                shutil.rmtree(self._here(with_wheels), ignore_errors=True)
        self._complete.write_text(" ".join(self._wheelhouse.extras), encoding="ascii")

    def _leave_out(self) -> None:
        for packages in self._folder.glob("lib/python3*/site-packages"):
            for pattern in _LEFT_OUT:
                for folder in sorted(packages.glob(pattern), reverse=True):
                    shutil.rmtree(folder)

    def _seen_from_inside(self) -> Path:
        """Where the wheels lie for a command that runs on the box's file system; a copy where that is not ours."""
        if self._root == Path("/"):
            return self._wheelhouse.folder
        copy = self._home / "wheelhouse"
        shutil.copytree(self._wheelhouse.folder, self._here(copy), dirs_exist_ok=True)
        return copy

    def _here(self, path: Path) -> Path:
        return self._root / path.relative_to("/")

    def _run(self, *command: str | Path) -> None:
        run(*(() if self._root == Path("/") else ("chroot", self._root)), *command)

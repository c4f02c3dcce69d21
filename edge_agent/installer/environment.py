"""The agent's virtual environment, installed offline from a wheelhouse: a folder of wheels with their checksums.

The additional wheels of an extra are in a folder of its name inside the wheelhouse, with their own checksums.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from edge_agent.installer.command import run
from edge_agent.installer.errors import InstallError
from edge_agent.installer.files import made_folders, remove_folders
from edge_agent.installer.step import InstallStep
from sync.storage.atomic_files import replace_link

CHECKSUMS = "SHA256SUMS"
EXTRAS = ("recognition",)
_COMPLETE = "complete"  # marks a complete environment; contains the names of its extras

#: parts of the packages that no box runs: 12 MB
_LEFT_OUT = ("**/tests", "onnxruntime/quantization", "onnxruntime/tools", "onnxruntime/transformers")


class Wheelhouse:
    """A folder created by `make wheelhouse`, with the wheels of `extras`. Raises InstallError if one is missing."""

    def __init__(self, folder: Path, extras: Sequence[str] = ()) -> None:
        self.folder = folder.resolve()
        self.extras = tuple(sorted(extras))
        listed = {"": _listed(self.folder, f"{folder}: 不是离线安装包文件夹 is not a wheelhouse")}
        for extra in self.extras:
            missing = (
                f"{folder}: 不含选装组件 {extra}，请用含有它的安装包，或加 --without {extra}"
                f" has no extra {extra}: use a wheelhouse with it, or add --without {extra}"
            )
            listed[extra] = _listed(self.folder / extra, missing)
        self.edition = hashlib.sha256("".join(listed.values()).encode()).hexdigest()[:12]
        self._checksums = {
            str(Path(place) / name): digest
            for place, lines in listed.items()
            for digest, name in (line.split() for line in lines.splitlines())
        }

    @property
    def wheels(self) -> list[Path]:
        """The wheels, by name."""
        return [self.folder / name for name in sorted(self._checksums) if name.endswith(".whl")]

    @property
    def pip(self) -> Path:
        """The wheel of pip, which is run from its wheel and not installed."""
        [pip] = [wheel for wheel in self.wheels if wheel.name.startswith("pip-")]
        return pip

    def check(self) -> None:
        """Verify every checksum. Raises InstallError for the first missing or damaged file."""
        for name, digest in self._checksums.items():
            try:
                found = hashlib.sha256((self.folder / name).read_bytes()).hexdigest()
            except OSError as exc:
                raise InstallError(f"{self.folder / name}: {exc.strerror}: 请重新复制 copy the folder again") from exc
            if found != digest:
                raise InstallError(f"{self.folder / name}: 文件损坏 is damaged: 请重新复制 copy the folder again")


def _listed(folder: Path, lacks: str) -> str:
    """The list of checksums in a folder of wheels. Raises InstallError."""
    try:
        return (folder / CHECKSUMS).read_text(encoding="ascii")
    except OSError as exc:
        raise InstallError(f"{lacks} ({CHECKSUMS}: {exc.strerror})") from exc


def extras_in_use(home: Path) -> tuple[str, ...]:
    """The extras of the environment in use below `home`; none without an environment."""
    try:
        return tuple((home / "venv" / _COMPLETE).read_text(encoding="ascii").split())
    except OSError:
        return ()


class Environment(InstallStep):
    """One virtual environment per edition, and a symbolic link to the one in use.

    An update replaces the link; the previous edition is kept until all steps have succeeded.
    """

    def __init__(self, zh: str, en: str, wheelhouse: Wheelhouse, home: Path, root: Path) -> None:
        """`home` is the folder of the environments as a path on the box; `root` is the root of its file system."""
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
        """Whether this edition is complete and the link points to it."""
        return self._complete.exists() and self._link.is_symlink() and str(self._link.readlink()) == self._folder.name

    def do(self) -> None:
        """Create the environment, install the wheels, replace the link."""
        self._before = str(self._link.readlink()) if self._link.is_symlink() else None
        self._wheelhouse.check()
        self._made = made_folders(self._link.parent)
        if not self._complete.exists():
            shutil.rmtree(self._folder, ignore_errors=True)
            self._install()
        replace_link(self._link, self._folder.name)

    def undo(self) -> None:
        """Restore the link and remove this edition."""
        if self._before is not None:
            replace_link(self._link, self._before)
        else:
            self._link.unlink(missing_ok=True)
        if self._before != self._folder.name:
            shutil.rmtree(self._folder, ignore_errors=True)
        remove_folders(self._made)

    def settle(self) -> None:
        """Remove the other editions."""
        for other in self._link.parent.glob("venv-*"):
            if other != self._folder:
                shutil.rmtree(other)

    def _install(self) -> None:
        inside = self._home / self._folder.name
        pip = self._wheelhouse.pip
        wheels = [wheel.relative_to(self._wheelhouse.folder) for wheel in self._wheelhouse.wheels if wheel != pip]
        self._run("python3", "-m", "venv", "--without-pip", inside)
        folder = self._wheels_on_box()
        try:
            self._run(
                *(inside / "bin" / "python", folder / pip.name / "pip", "--isolated", "install", "--quiet"),
                *("--no-index", "--no-deps", "--no-cache-dir", "--no-compile", "--disable-pip-version-check"),
                *(folder / wheel for wheel in wheels),
            )
            self._leave_out()
            self._run(inside / "bin" / "edge-agent", "version")
            self._run(inside / "bin" / "python", "-m", "edge_agent.installer.bytecode")
        finally:
            if self._root != Path("/"):
                shutil.rmtree(self._here(folder), ignore_errors=True)
        self._complete.write_text(" ".join(self._wheelhouse.extras), encoding="ascii")

    def _leave_out(self) -> None:
        for packages in self._folder.glob("lib/python3*/site-packages"):
            for pattern in _LEFT_OUT:
                for folder in sorted(packages.glob(pattern), reverse=True):
                    shutil.rmtree(folder)

    def _wheels_on_box(self) -> Path:
        """The folder of the wheels as a path on the box; a copy if the box has another root."""
        if self._root == Path("/"):
            return self._wheelhouse.folder
        copy = self._home / "wheelhouse"
        shutil.copytree(self._wheelhouse.folder, self._here(copy), dirs_exist_ok=True)
        return copy

    def _here(self, path: Path) -> Path:
        return self._root / path.relative_to("/")

    def _run(self, *command: str | Path) -> None:
        run(*(() if self._root == Path("/") else ("chroot", self._root)), *command)

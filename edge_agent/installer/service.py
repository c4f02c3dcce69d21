"""Steps about a systemd that runs; on another root, or where there is none, they have nothing to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_agent.installer.step import InstallStep, run

AGENT = "edge-agent.service"
UNITS = (AGENT, "sentinel-kiosk.service")
_RUNS = "active,activating,deactivating,reloading"  # one that falls again and again is activating most of the time


def is_running(root: Path) -> bool:
    """Whether systemd runs on the box whose file system is at `root`."""
    return root == Path("/") and Path("/run/systemd/system").is_dir()


def tell() -> None:
    """Have systemd, its journal and udev read their files anew, udev also for what is plugged in already."""
    run("systemctl", "daemon-reload")
    run("systemctl", "try-restart", "systemd-journald.service")
    if Path("/run/udev/control").exists():  # a container has no udev of its own
        run("udevadm", "control", "--reload")
        run("udevadm", "trigger", "--subsystem-match=usb", "--subsystem-match=tty")


@contextmanager
def reread_if_undone(root: Path) -> Iterator[None]:
    """Where the block fails, and took its files back, systemd reads those that are there again."""
    try:
        yield
    except BaseException:
        if is_running(root):
            tell()
        raise


class Reload(InstallStep):
    """Files changed: systemd and udev read them, and an agent that runs begins anew."""

    def __init__(self, zh: str, en: str, root: Path, files: list[Path]) -> None:
        """`files` are those that systemd and udev read."""
        super().__init__(zh, en)
        self._root = root
        self._files = files
        self._stamps = self._look()

    def is_done(self) -> bool:
        """Whether nothing changed since this plan was made, or there is nobody to tell."""
        return not is_running(self._root) or (self._look() == self._stamps and not self._needs_reload())

    def do(self) -> None:
        """Tell them."""
        tell()
        if any(path.exists() for path in self._files):  # else it was taken off, and nobody knows its name any more
            run("systemctl", "try-restart", AGENT)

    def undo(self) -> None:
        """Nothing: the files are not back yet (`reread_if_undone`)."""
        return

    def _look(self) -> list[int | None]:
        return [path.stat().st_mtime_ns if path.exists() else None for path in self._files]

    def _needs_reload(self) -> bool:
        return "yes" in run("systemctl", "show", "--property=NeedDaemonReload", "--value", *UNITS)


class Stop(InstallStep):
    """Stops the services."""

    def __init__(self, zh: str, en: str, root: Path) -> None:
        super().__init__(zh, en)
        self._root = root
        self._stopped: list[str] = []

    def is_done(self) -> bool:
        """Whether none of them runs or is about to."""
        return not self._active()

    def do(self) -> None:
        """Stop those that run."""
        self._stopped = self._active()
        run("systemctl", "stop", *self._stopped)

    def undo(self) -> None:
        """Start them again, as the files say that are back."""
        if self._stopped:
            run("systemctl", "daemon-reload")
            run("systemctl", "start", *self._stopped)

    def _active(self) -> list[str]:
        if not is_running(self._root):
            return []
        told = run("systemctl", "list-units", "--plain", "--no-legend", f"--state={_RUNS}", *UNITS)
        return [line.split()[0] for line in told.splitlines() if line.strip()]

"""Steps that control the running systemd; without it, or on another root, they have nothing to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_agent.installer.command import run
from edge_agent.installer.step import InstallStep
from edge_agent.runtime.service_unit import AGENT_UNIT, KIOSK_UNIT

UNITS = (AGENT_UNIT, KIOSK_UNIT)
_RUNNING_STATES = "active,activating,deactivating,reloading"  # a unit that keeps crashing is mostly activating


def is_running(root: Path) -> bool:
    """Whether systemd runs on this machine and `root` is its root."""
    return root == Path("/") and Path("/run/systemd/system").is_dir()


def reload_all() -> None:
    """Reload systemd, journald and udev, and apply the udev rules to connected devices."""
    run("systemctl", "daemon-reexec")  # reads units and system.conf; daemon-reload would leave the hardware watchdog
    run("systemctl", "try-restart", "systemd-journald.service")
    if Path("/run/udev/control").exists():  # a container has no udev
        run("udevadm", "control", "--reload")
        run("udevadm", "trigger", "--subsystem-match=usb", "--subsystem-match=tty")


@contextmanager
def reload_on_failure(root: Path) -> Iterator[None]:
    """Reload the restored files if the block fails and undoes its steps."""
    try:
        yield
    except BaseException:
        if is_running(root):
            reload_all()
        raise


class Reload(InstallStep):
    """Reloads systemd and udev after their files changed, and restarts a running agent."""

    def __init__(self, zh: str, en: str, root: Path, files: list[Path]) -> None:
        """`files` are the files that systemd and udev read."""
        super().__init__(zh, en)
        self._root = root
        self._files = files
        self._mtimes_ns = self._current_mtimes_ns()

    def is_done(self) -> bool:
        """Whether no file changed since this step was created, or systemd does not run."""
        return not is_running(self._root) or (self._current_mtimes_ns() == self._mtimes_ns and not self._needs_reload())

    def do(self) -> None:
        """Reload, and restart the agent."""
        reload_all()
        if any(path.exists() for path in self._files):  # otherwise the unit was removed and its name is unknown
            run("systemctl", "try-restart", AGENT_UNIT)

    def undo(self) -> None:
        """Do nothing: the files are not restored yet (`reload_on_failure`)."""
        return

    def _current_mtimes_ns(self) -> list[int | None]:
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
        """Whether no service is running or starting."""
        return not self._active()

    def do(self) -> None:
        """Stop the running services."""
        self._stopped = self._active()
        run("systemctl", "stop", *self._stopped)

    def undo(self) -> None:
        """Start the stopped services again from the restored files."""
        if self._stopped:
            run("systemctl", "daemon-reload")
            run("systemctl", "start", *self._stopped)

    def _active(self) -> list[str]:
        if not is_running(self._root):
            return []
        listed = run("systemctl", "list-units", "--plain", "--no-legend", f"--state={_RUNNING_STATES}", *UNITS)
        return [line.split()[0] for line in listed.splitlines() if line.strip()]

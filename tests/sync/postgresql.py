"""A PostgreSQL cluster for tests, on a socket in a temporary folder."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_names = itertools.count(1)


def programs() -> Path:
    """Folder of the programs of the newest server on Debian; FileNotFoundError if there is none."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not versions:
        raise FileNotFoundError("PostgreSQL is not installed: apt-get install postgresql")
    return versions[-1].parent


class Cluster:
    """A running server; `new_database` gives an empty database's URL."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._programs = programs()

    def start(self) -> None:
        data = self._home / "data"
        self._run("initdb", "-D", str(data), "-A", "trust", "-U", "postgres", "--no-locale", "-E", "UTF8", "--no-sync")
        with (data / "postgresql.conf").open("a") as settings:
            settings.write(f"listen_addresses = ''\nunix_socket_directories = '{self._home}'\n")
            settings.write("dynamic_shared_memory_type = mmap\n")  # files of the folder, which goes with a killed run
        self._control("-l", str(self._home / "log"), "start")

    def stop(self) -> None:
        self._control("-m", "immediate", "stop")

    def new_database(self) -> str:
        name = f"test_{next(_names)}"
        self._run("createdb", "-h", str(self._home), "-U", "postgres", name)
        return f"postgresql://postgres@/{name}?host={self._home}"

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "-D", str(self._home / "data"), "-w", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        # The server does not run as root.
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        subprocess.run(
            [*as_user, self._programs / program, *arguments], check=True, stdout=subprocess.DEVNULL, cwd=self._home
        )


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A cluster within the block, in /tmp because the path of a socket must be short."""
    home = Path(tempfile.mkdtemp(prefix="pg-"))
    if os.geteuid() == 0:
        owner = pwd.getpwnam("postgres")
        os.chown(home, owner.pw_uid, owner.pw_gid)
    started = Cluster(home)
    try:
        started.start()
        try:
            yield started
        finally:
            started.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)

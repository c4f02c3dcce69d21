"""What real_systemd.sh measures inside of its container, after the installer's morning. Prints one JSON.

python real_systemd_box.py MORNING.log     # as root, by the city's environment
python real_systemd_box.py probe FILE      # as the agent, in its sandbox: what it may do there, into FILE
"""

import ctypes
import errno
import json
import mmap
import os
import re
import signal
import socket
import stat
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

UNIT = "edge-agent.service"
STATE = Path("/var/lib/edge-agent")
SECRETS = Path("/run/credentials") / UNIT
KEPT = ("/etc/edge-agent", "/etc/credstore/edge-agent.at-rest.key", "/var/lib/edge-agent/ledger.db")
KIOSK = ("127.0.0.1", 8080)
KILLS, BAD_STARTS = 10, 10
LOOK_S, LIMIT_S = 0.02, 120.0


def told(*command: str | Path) -> str:
    """What a command prints, whatever its exit code."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def shown(key: str) -> str:
    """A property of the unit."""
    return told("systemctl", "show", f"--property={key}", "--value", UNIT)


def until(is_so: Callable[[], bool]) -> float:
    """Seconds until it is so."""
    began_s = time.monotonic()
    while not is_so():
        if time.monotonic() - began_s > LIMIT_S:
            raise TimeoutError(f"not within {LIMIT_S} s: {told('journalctl', '--unit', UNIT, '--lines=20')}")
        time.sleep(LOOK_S)
    return round(time.monotonic() - began_s, 2)


def status() -> dict[str, Any]:
    """What the agent says of itself; empty while it says nothing."""
    try:
        with socket.create_connection(KIOSK, timeout=5) as link:
            link.sendall(b"GET /api/status HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
            answer = link.makefile("rb").read()
        said: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    except (OSError, ValueError):
        return {}
    return said


def serves() -> bool:
    """Whether every part is well and the next person can be served."""
    view = status().get("view", {})
    parts = view.get("parts", [])
    return view.get("stage") == "idle" and bool(parts) and all(part["state"] == "ok" for part in parts)


def restarted() -> float:
    """Start the agent anew, which forgives the starts before; seconds until READY."""
    began_s = time.monotonic()
    subprocess.run(["systemctl", "restart", UNIT], check=True)
    took_s = time.monotonic() - began_s
    until(serves)
    return round(took_s, 2)


def killed(how: signal.Signals) -> tuple[float, float]:
    """Seconds until systemd has another process, and until that one serves."""
    pid = shown("MainPID")
    began_s = time.monotonic()
    os.kill(int(pid), how)
    gone_s = until(lambda: shown("MainPID") != pid)
    until(lambda: shown("MainPID") not in (pid, "0") and serves())
    return gone_s, round(time.monotonic() - began_s, 2)


def kills() -> dict[str, Any]:
    """kill -9, again and again; half way the starts are forgiven, or the last would be one in safe mode."""
    taken = []
    for nth in range(KILLS):
        if nth % (BAD_STARTS // 2) == 0:
            restarted()
        taken.append(killed(signal.SIGKILL)[1])
    return {"median_s": round(statistics.median(taken), 2), "max_s": max(taken), "all_s": taken}


def stopped() -> dict[str, Any]:
    """kill -STOP: the watchdog bites."""
    restarted()
    time.sleep(3)
    gone_s, serving_s = killed(signal.SIGSTOP)
    journal = told("journalctl", "--unit", UNIT, "--output=cat", "--lines=500")
    return {"ended_after_s": gone_s, "serving_after_s": serving_s, "by_watchdog": "result 'watchdog'" in journal}


def safe_mode() -> dict[str, Any]:
    """Ten starts that end at once lead to safe mode, a restart by hand out of it."""
    restarted()
    for _ in range(BAD_STARTS):
        pid = shown("MainPID")
        os.kill(int(pid), signal.SIGKILL)
        until(lambda pid=pid: shown("MainPID") not in (pid, "0"))
        until(lambda: shown("ActiveState") == "active")
    until(lambda: bool(status()))
    return {"safe_mode": status().get("safe_mode"), "active": shown("ActiveState"), "restart_s": restarted()}


def secrets() -> dict[str, Any]:
    """Whose the secrets are, and who else can read them or the records."""
    user = shown("User")
    nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "cat"]
    files = [*SECRETS.iterdir(), *Path("/etc/credstore").glob("edge-agent.*"), STATE / "ledger.db"]
    mode = {str(file): f"{file.owner()} {file.stat().st_mode & 0o7777:o}" for file in files}
    read = [str(file) for file in files if not subprocess.run([*nobody, file], capture_output=True).returncode]
    return {"user": user, "files": mode, "read_by_nobody": read}


def memory() -> dict[str, int]:
    """Resident memory in MB: the agent's own, and pages of files that lie in the cache anyway."""
    lines = Path(f"/proc/{shown('MainPID')}/status").read_text().splitlines()
    rows = dict(line.split(":", 1) for line in lines)
    return {key: int(rows[key].split()[0]) // 1000 for key in ("VmRSS", "RssAnon", "RssFile")}


def forget_files() -> None:
    """Drop the program's files from the cache, as a box that was switched off has."""
    os.sync()
    for file in (each for folder in ("/opt/edge-agent", "/usr/lib") for each in Path(folder).rglob("*")):
        if file.is_file() and not file.is_symlink():
            handle = os.open(file, os.O_RDONLY)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)


def memories() -> dict[str, Any]:
    """The same agent twice: its files fresh from the installation, and read from the disk as it needs them."""
    restarted()
    fresh = memory()
    subprocess.run(["systemctl", "stop", UNIT], check=True)
    forget_files()
    restarted()
    return {"files_just_installed": fresh, "files_read_as_needed": memory()}


def sandbox() -> dict[str, str]:
    """The unit as it is, with a probe in the agent's place."""
    for name, major, minor in (("ttyS9", 4, 73), ("sentinel-mem", 1, 1), ("sentinel-input", 13, 64)):
        os.mknod(f"/dev/{name}", stat.S_IFCHR, os.makedev(major, minor))
        Path("/dev", name).chmod(0o666)
    text = Path("/etc/systemd/system", UNIT).read_text(encoding="utf-8")
    command = f"ExecStart=/opt/edge-agent/venv/bin/python {__file__} probe {STATE}/probe.json"
    text = re.sub(r"^ExecStart=.*$", command, text, flags=re.M)
    text = re.sub(r"^(Type=notify|Restart=.*|RestartSec=.*|WatchdogSec=.*)$", "", text, flags=re.M)
    probe = Path("/run/systemd/system/probe.service")
    probe.write_text(text.replace("[Service]", "[Service]\nType=oneshot"), encoding="utf-8")
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    subprocess.run(["systemctl", "start", probe.name], check=True)
    found: dict[str, str] = json.loads((STATE / "probe.json").read_text(encoding="utf-8"))
    (STATE / "probe.json").unlink()
    probe.unlink()
    return found


def tried(action: Callable[[], object]) -> str:
    """What came of it: done, or the name of the error."""
    try:
        action()
    except OSError as exc:
        return errno.errorcode[exc.errno or 0]
    return "done"


def camera_file() -> None:
    """Write a video file and read it back, as the camera driver does."""
    import cv2
    import numpy as np

    file = str(STATE / "film.avi")
    film = cv2.VideoWriter(file, cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(10):
        film.write(np.zeros((48, 64, 3), np.uint8))
    film.release()
    read, _ = cv2.VideoCapture(file).read()
    Path(file).unlink()
    if not read:
        raise OSError(errno.EIO, "no frame")


def sound() -> None:
    """Play into a card that is none: the library's thread calls back into Python."""
    import miniaudio

    asked = []

    def silence() -> Any:
        wanted = yield b""
        while True:
            asked.append(wanted)
            wanted = yield bytes(2 * wanted)

    with miniaudio.PlaybackDevice(nchannels=1, backends=[miniaudio.Backend.NULL]) as card:
        pull = silence()
        next(pull)
        card.start(pull)
        time.sleep(0.5)
    if not asked:
        raise OSError(errno.EIO, "no callback")


def probe() -> dict[str, str]:
    """What the agent may do where it runs. A device that is allowed and not there answers EIO or ENXIO, never EPERM."""
    libc = ctypes.CDLL(None, use_errno=True)

    def call(name: str, *arguments: int) -> None:
        if getattr(libc, name)(*arguments) < 0:
            raise OSError(ctypes.get_errno(), name)

    def opened(path: str) -> None:
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY))

    [street] = [path for path in Path("/run/street").iterdir() if path.name == "thermometer"]
    actions: dict[str, Callable[[], object]] = {
        "a serial line of the street (pty)": lambda: opened(str(street)),
        "a serial port (ttyS)": lambda: opened("/dev/ttyS9"),
        "the memory of the box (/dev/mem)": lambda: opened("/dev/sentinel-mem"),
        "a keyboard (input)": lambda: opened("/dev/sentinel-input"),
        "video from a file": camera_file,
        "sound": sound,
        "write its records": lambda: (STATE / "probe").touch() or (STATE / "probe").unlink(),
        "write its settings": lambda: Path("/etc/edge-agent/probe").touch(),
        "write its program": lambda: Path("/opt/edge-agent/probe").touch(),
        "read root's secrets": lambda: list(Path("/etc/credstore").iterdir()),
        "read its own secrets": lambda: (Path(os.environ["CREDENTIALS_DIRECTORY"]) / "staff.pin").read_bytes(),
        "change its own secrets": lambda: (Path(os.environ["CREDENTIALS_DIRECTORY"]) / "staff.pin").write_bytes(b""),
        "look into homes": lambda: list(Path("/root").iterdir()),
        "writable code": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC),
        "a raw packet": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
        "a netlink socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
        "a user namespace": lambda: call("unshare", 0x10000000),
        "trace another process": lambda: call("ptrace", 0x4206, 1, 0, 0),
        "set the clock": lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()),
        "be another user": lambda: os.setuid(0),
        "see other users' processes": lambda: Path("/proc/1").stat(),
    }
    return {name: tried(action) for name, action in actions.items()}


def doctor() -> dict[str, str]:
    """What doctor says of the checks that have to do with systemd."""
    sheet = json.loads(told("edge-agent", "doctor", "--json"))
    mine = ("rights", "permissions", "units", "watchdog", "thermometer", "camera", "speaker")
    return {line["check"]: f"{line['status']}: {line['found']}" for line in sheet if line["check"] in mine}


def exposure(*options: str) -> str:
    """The last line of systemd-analyze security."""
    return re.sub(
        r".*: ([0-9.]+) .*", r"\1", told("systemd-analyze", "security", "--no-pager", *options).splitlines()[-1]
    )


def left() -> dict[str, Any]:
    """What still runs or lies there once the agent was taken off."""
    return {
        "load_state": shown("LoadState"),
        "processes": told("find", "/proc", "-maxdepth", "1", "-user", "edge-agent", "-name", "[0-9]*").splitlines(),
        "program": Path("/opt/edge-agent").exists(),
        "kept": [path for path in KEPT if Path(path).exists()],
    }


def uninstalled() -> dict[str, Any]:
    """Taken off while it runs; and again, from a box whose agent falls at every start."""
    install = ("sh", "/root/wheelhouse/install.sh")
    subprocess.run([*install, "uninstall", "--apply"], check=True, stdout=sys.stderr)
    running = left()
    subprocess.run([*install, "install", "--apply"], check=True, stdout=sys.stderr)
    Path("/etc/credstore/edge-agent.at-rest.key").rename("/root/at-rest.key")
    subprocess.run(["systemctl", "start", "--no-block", UNIT], check=True)
    until(lambda: int(shown("NRestarts") or 0) >= 2)
    state = shown("ActiveState")
    subprocess.run([*install, "uninstall", "--apply"], check=True, stdout=sys.stderr)
    return {"running": running, state: left()}


def measured(morning: str) -> dict[str, Any]:
    """All figures, in an order in which none spoils another."""
    until(serves)
    journal = told("journalctl", "--boot", "--unit=systemd-journald", "--output=cat")
    return {
        "load": [round(load, 1) for load in os.getloadavg()],
        "systemd": told("systemctl", "--version").split()[1],
        "morning_s": float(re.findall(r"^([0-9.]+) s: from a bare box", Path(morning).read_text(), flags=re.M)[0]),
        "start_to_ready_s": restarted(),
        "type": shown("Type"),
        "journal_bound": re.findall(r"System Journal .* max ([0-9.]+\w)", journal)[-1],
        "exposure_running": exposure(UNIT),
        "exposure_offline": exposure("--offline=true", f"/etc/systemd/system/{UNIT}"),
        "doctor": doctor(),
        "secrets": secrets(),
        "sandbox": sandbox(),
        "memory_mb": memories(),
        "kill_9": kills(),
        "kill_stop": stopped(),
        "ten_bad_starts": safe_mode(),
        "uninstall": uninstalled(),
    }


if __name__ == "__main__":
    if sys.argv[1] == "probe":
        Path(sys.argv[2]).write_text(json.dumps(probe()), encoding="utf-8")
    else:
        print(json.dumps(measured(sys.argv[1]), ensure_ascii=False, indent=1))

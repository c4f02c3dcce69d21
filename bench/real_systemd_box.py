"""The measurements of real_systemd.sh inside the container, after bare_box_morning.sh. Prints JSON.

python real_systemd_box.py MORNING.log     # as root, in the environment of the platform
python real_systemd_box.py probe FILE      # as the agent, in its sandbox: write permitted actions to FILE
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


def output_of(*command: str | Path) -> str:
    """The output of a command, regardless of its exit code."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def unit_property(key: str) -> str:
    """A property of the unit."""
    return output_of("systemctl", "show", f"--property={key}", "--value", UNIT)


def until(condition: Callable[[], bool]) -> float:
    """Wait until `condition` is true; returns the seconds."""
    began_s = time.monotonic()
    while not condition():
        if time.monotonic() - began_s > LIMIT_S:
            raise TimeoutError(f"not within {LIMIT_S} s: {output_of('journalctl', '--unit', UNIT, '--lines=20')}")
        time.sleep(LOOK_S)
    return round(time.monotonic() - began_s, 2)


def status() -> dict[str, Any]:
    """The status of the agent; empty while it does not respond."""
    try:
        with socket.create_connection(KIOSK, timeout=5) as link:
            link.sendall(b"GET /api/status HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
            answer = link.makefile("rb").read()
        report: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    except (OSError, ValueError):
        return {}
    return report


def serves() -> bool:
    """Whether every part is working and the next person can be served."""
    view = status().get("view", {})
    parts = view.get("parts", [])
    return view.get("stage") == "idle" and bool(parts) and all(part["state"] == "ok" for part in parts)


def restarted() -> float:
    """Restart the agent, which resets the crash counter; returns the seconds until READY."""
    began_s = time.monotonic()
    subprocess.run(["systemctl", "restart", UNIT], check=True)
    took_s = time.monotonic() - began_s
    until(serves)
    return round(took_s, 2)


def killed(how: signal.Signals) -> tuple[float, float]:
    """Send a signal; returns the seconds until systemd starts another process, and until that process serves."""
    pid = unit_property("MainPID")
    began_s = time.monotonic()
    os.kill(int(pid), how)
    gone_s = until(lambda: unit_property("MainPID") != pid)
    until(lambda: unit_property("MainPID") not in (pid, "0") and serves())
    return gone_s, round(time.monotonic() - began_s, 2)


def kills() -> dict[str, Any]:
    """Repeated kill -9. The crash counter is reset half way; otherwise the last start is in safe mode."""
    taken = []
    for nth in range(KILLS):
        if nth % (BAD_STARTS // 2) == 0:
            restarted()
        taken.append(killed(signal.SIGKILL)[1])
    return {"median_s": round(statistics.median(taken), 2), "max_s": max(taken), "all_s": taken}


def stopped() -> dict[str, Any]:
    """kill -STOP: the watchdog ends the process."""
    restarted()
    time.sleep(3)
    gone_s, serving_s = killed(signal.SIGSTOP)
    journal = output_of("journalctl", "--unit", UNIT, "--output=cat", "--lines=500")
    return {"ended_after_s": gone_s, "serving_after_s": serving_s, "by_watchdog": "result 'watchdog'" in journal}


def safe_mode() -> dict[str, Any]:
    """Ten starts that end immediately lead to safe mode; a manual restart ends it."""
    restarted()
    for _ in range(BAD_STARTS):
        pid = unit_property("MainPID")
        os.kill(int(pid), signal.SIGKILL)
        until(lambda pid=pid: unit_property("MainPID") not in (pid, "0"))
        until(lambda: unit_property("ActiveState") == "active")
    until(lambda: bool(status()))
    return {"safe_mode": status().get("safe_mode"), "active": unit_property("ActiveState"), "restart_s": restarted()}


def secrets() -> dict[str, Any]:
    """Owner and mode of secrets and records, and which of them another user can read."""
    user = unit_property("User")
    as_other_user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "cat"]
    files = [*SECRETS.iterdir(), *Path("/etc/credstore").glob("edge-agent.*"), STATE / "ledger.db"]
    mode = {str(file): f"{file.owner()} {file.stat().st_mode & 0o7777:o}" for file in files}
    read = [str(file) for file in files if not subprocess.run([*as_other_user, file], capture_output=True).returncode]
    return {"user": user, "files": mode, "read_by_nobody": read}


def memory() -> dict[str, int]:
    """Resident memory in MB: total, anonymous pages, and pages of files in the page cache."""
    lines = Path(f"/proc/{unit_property('MainPID')}/status").read_text().splitlines()
    rows = dict(line.split(":", 1) for line in lines)
    return {key: int(rows[key].split()[0]) // 1000 for key in ("VmRSS", "RssAnon", "RssFile")}


def forget_files() -> None:
    """Drop the files of the program from the page cache, as after a reboot."""
    os.sync()
    for file in (each for folder in ("/opt/edge-agent", "/usr/lib") for each in Path(folder).rglob("*")):
        if file.is_file() and not file.is_symlink():
            handle = os.open(file, os.O_RDONLY)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)


def memories() -> dict[str, Any]:
    """Memory with the files of the program in the page cache, and after they were dropped from it."""
    restarted()
    fresh = memory()
    subprocess.run(["systemctl", "stop", UNIT], check=True)
    forget_files()
    restarted()
    return {"files_just_installed": fresh, "files_read_as_needed": memory()}


def sandbox() -> dict[str, str]:
    """Run the probe with the settings of the unit."""
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
    """The result of `action`: done, or the name of the error."""
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
    """Play to a null device, whose thread calls back into Python."""
    import miniaudio

    requested = []

    def silence() -> Any:
        wanted = yield b""
        while True:
            requested.append(wanted)
            wanted = yield bytes(2 * wanted)

    with miniaudio.PlaybackDevice(nchannels=1, backends=[miniaudio.Backend.NULL]) as card:
        pull = silence()
        next(pull)
        card.start(pull)
        time.sleep(0.5)
    if not requested:
        raise OSError(errno.EIO, "no callback")


def probe() -> dict[str, str]:
    """What the agent can do in its sandbox. An allowed device that is absent returns EIO or ENXIO, never EPERM."""
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
    """The results of doctor for checks related to systemd."""
    sheet = json.loads(output_of("edge-agent", "doctor", "--json"))
    related = ("rights", "permissions", "units", "watchdog", "thermometer", "camera", "speaker")
    return {line["check"]: f"{line['status']}: {line['found']}" for line in sheet if line["check"] in related}


def exposure(*options: str) -> str:
    """The last line of systemd-analyze security."""
    return re.sub(
        r".*: ([0-9.]+) .*", r"\1", output_of("systemd-analyze", "security", "--no-pager", *options).splitlines()[-1]
    )


def left() -> dict[str, Any]:
    """Remaining processes and files after the removal of the agent."""
    return {
        "load_state": unit_property("LoadState"),
        "processes": output_of(
            "find", "/proc", "-maxdepth", "1", "-user", "edge-agent", "-name", "[0-9]*"
        ).splitlines(),
        "program": Path("/opt/edge-agent").exists(),
        "kept": [path for path in KEPT if Path(path).exists()],
    }


def uninstalled() -> dict[str, Any]:
    """Uninstall a running agent, and an agent that fails at every start."""
    install = ("sh", "/root/wheelhouse/install.sh")
    subprocess.run([*install, "uninstall", "--apply"], check=True, stdout=sys.stderr)
    running = left()
    subprocess.run([*install, "install", "--apply"], check=True, stdout=sys.stderr)
    Path("/etc/credstore/edge-agent.at-rest.key").rename("/root/at-rest.key")
    subprocess.run(["systemctl", "start", "--no-block", UNIT], check=True)
    until(lambda: int(unit_property("NRestarts") or 0) >= 2)
    state = unit_property("ActiveState")
    subprocess.run([*install, "uninstall", "--apply"], check=True, stdout=sys.stderr)
    return {"running": running, state: left()}


def measured(morning: str) -> dict[str, Any]:
    """All measurements, in an order in which none affects another."""
    until(serves)
    journal = output_of("journalctl", "--boot", "--unit=systemd-journald", "--output=cat")
    return {
        "load": [round(load, 1) for load in os.getloadavg()],
        "systemd": output_of("systemctl", "--version").split()[1],
        "morning_s": float(re.findall(r"^([0-9.]+) s: from a bare box", Path(morning).read_text(), flags=re.M)[0]),
        "start_to_ready_s": restarted(),
        "type": unit_property("Type"),
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

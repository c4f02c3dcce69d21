"""The static files in systemd/: accepted by systemd, locked down, and in step with the agent."""

import re
import subprocess
from pathlib import Path

import pytest

from config.credentials import PREFIX
from config.settings import Settings
from edge_agent.runtime.watchdog import LIMIT, LOOK_EVERY_S

UNITS = Path(__file__).parents[1] / "systemd"
AGENT = (UNITS / "edge-agent.service").read_text(encoding="utf-8")
EXPOSURE_CAP = 15  # tenths


@pytest.mark.parametrize("name", sorted(unit.name for unit in UNITS.glob("*.service")))
def test_systemd_accepts_the_unit(name: str, tmp_path: Path) -> None:
    text = (UNITS / name).read_text(encoding="utf-8")
    unit = tmp_path / name  # what it starts is not installed here
    unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.M), encoding="utf-8")
    (tmp_path / "edge-agent.service").write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", AGENT, flags=re.M))
    shown = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    told = [line for line in (shown.stdout + shown.stderr).splitlines() if name in line]
    assert told == []


def test_the_agent_is_locked_down_and_keeps_serial_camera_and_sound() -> None:
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_CAP}"]
    shown = subprocess.run([*command, str(UNITS / "edge-agent.service")], capture_output=True, text=True)
    assert shown.returncode == 0, shown.stdout[-200:] + shown.stderr
    for kind in ("ttyUSB", "ttyACM", "ttyS", "ttyAMA", "video4linux", "alsa"):
        assert f"DeviceAllow=char-{kind} rw" in AGENT
    assert "\nSystemCallFilter=~@privileged @resources\n" in AGENT
    assert "\nSystemCallFilter=sched_setscheduler\n" in AGENT  # asked for by miniaudio's thread, or no card opens
    declared = (UNITS / "sysusers.conf").read_text(encoding="utf-8")
    assert all(f"\nm edge-agent {group}\n" in declared for group in ("dialout", "video", "audio"))


def test_drivers_are_loaded_before_the_agent_starts_for_systemd_allows_no_kind_that_is_not_there_yet() -> None:
    loaded = " ".join(f"modprobe@{driver}.service" for driver in ("usbserial", "cdc_acm", "videodev", "snd"))
    assert f"\nWants={loaded}\nAfter={loaded}\n" in AGENT


def test_the_screen_keeps_its_sockets_where_its_sandbox_lets_it_write() -> None:
    kiosk = (UNITS / "sentinel-kiosk.service").read_text(encoding="utf-8")
    assert "\nProtectHome=yes\n" in kiosk  # it hides /run/user, where the session has them
    assert re.search(r"^ExecStart=\S+ HOME=%t/(\S+) XDG_RUNTIME_DIR=%t/\1 .*?^RuntimeDirectory=\1$", kiosk, re.M | re.S)


def test_a_loop_that_stands_still_is_noticed_before_systemd_bites() -> None:
    [watchdog_s] = re.findall(r"^WatchdogSec=(\d+)$", AGENT, flags=re.M)
    assert int(watchdog_s) >= LIMIT * LOOK_EVERY_S


def test_every_secret_that_the_settings_name_is_loaded() -> None:
    settings = Settings()
    named = {settings.directory.community_key_file, settings.staff.pin_hash_file, settings.privacy.key_file}
    for value in named:
        name = value.removeprefix(PREFIX)
        assert f"\nLoadCredential={name}:edge-agent.{name}\n" in AGENT

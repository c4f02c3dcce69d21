"""A bare box becomes one of the district's: against a real authority, with a real device on a pty."""

from __future__ import annotations

import asyncio
import json
import secrets
import stat
import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from config.errors import SettingsError
from config.settings import Settings, ThermometerDriver, load_settings
from drivers.simulated.devices.device_simulator import simulate_device
from drivers.simulated.devices.faults import FaultyWire
from drivers.tools.probe import probe_all, proposed_settings
from edge_agent.commands.cli import app
from edge_agent.provision.answers import Answers, load_answers
from edge_agent.provision.provisioning import Provisioned, establish, finish, make_plan
from edge_agent.provision.serial import box_serial
from edge_agent.provision.settings_file import checked_settings, sections_from, toml_from
from edge_agent.readiness.can_run import find_faults
from sync.errors import EnrolmentPending, EnrolmentRefused, StoreFailed
from sync.mqtt.broker_address import BrokerAddress
from sync.mqtt.tls_files import TlsFiles
from tests.limits import HANG_S
from tests.sync.authority import town as authority

SERIAL = "SN-1"
ON_THIS_MACHINE = "mqtt://127.0.0.1:1883"  # needs no certificate


class Box:
    """A box that was installed and knows nothing yet."""

    def __init__(self, folder: Path) -> None:
        self.etc, self.data = folder / "etc", folder / "data"
        self.etc.mkdir()
        self.config = self.etc / "sentinel.toml"
        self.community_key = folder / "stick" / "community.key"
        self.signing_key = folder / "stick" / "signing.pem"
        self.community_key.parent.mkdir()
        self.community_key.write_text(secrets.token_hex(32), encoding="ascii")
        public = Ed25519PrivateKey.generate().public_key()
        self.signing_key.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))

    def answers(self, **changes: object) -> Answers:
        said = {
            "checkpoint": "南门 South gate",
            "lane": "2",
            "direction": "out",
            "platform_url": "mqtts://platform.example:8883",
            "community_key": str(self.community_key),
            "signing_key": str(self.signing_key),
            "staff_pin": "918273",
            "settings": {
                "box": {"data_dir": str(self.data)},
                "directory": {"community_key_file": str(self.etc / "community.key")},
                "staff": {"pin_hash_file": str(self.etc / "staff.pin")},
                "privacy": {"key_file": str(self.etc / "at-rest.key")},
            },
        }
        return msgspec.convert(said | changes, Answers)

    async def provision(
        self, answers: Answers, find_devices: Callable[[], Awaitable[str]] | None = None, limit_s: float = HANG_S
    ) -> Provisioned:
        waits: list[float] = []
        plan = make_plan(answers, self.config, serial=SERIAL)
        return finish(plan, await establish(plan, find_devices or nothing, on_waiting=waits.append, limit_s=limit_s))


def set_to(*, box: Box | None = None, **sections: dict[str, object]) -> dict[str, object]:
    """An answer with these sections of the settings, and with the paths of `box`."""
    return {"settings": {**({} if box is None else box.answers().settings), **sections}}


async def nothing() -> str:
    return ""


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


async def test_a_box_becomes_one_of_the_district(box: Box, tmp_path: Path) -> None:
    async with authority(tmp_path / "platform") as town:
        invitation = await town.invite(SERIAL, "gate-7")
        done = await box.provision(box.answers(invitation=str(invitation)))
    settings = load_settings(box.config)
    assert settings == done.settings
    assert (settings.box.district, settings.box.name) == ("demo", "gate-7")
    assert (settings.box.checkpoint, settings.box.lane, settings.box.direction) == ("南门 South gate", "2", "out")
    assert done.until is not None
    platform = settings.platform
    BrokerAddress.from_url(
        platform.url, TlsFiles(*map(Path, (platform.ca_file, platform.cert_file, platform.key_file)))
    )
    for secret in (platform.key_file, settings.directory.community_key_file, settings.privacy.key_file):
        assert stat.S_IMODE(Path(secret).stat().st_mode) == 0o600
    assert stat.S_IMODE(box.config.stat().st_mode) == 0o640
    assert Path(settings.directory.community_key_file).read_text().strip() == box.community_key.read_text()
    assert Path(platform.signing_key_file).read_bytes() == box.signing_key.read_bytes()
    assert "918273" not in "".join(path.read_text() for path in box.etc.iterdir() if path.is_file())


async def test_a_second_run_changes_what_is_answered_and_keeps_the_rest(box: Box, tmp_path: Path) -> None:
    async with authority(tmp_path / "platform") as town:
        await box.provision(box.answers(invitation=str(await town.invite(SERIAL, "gate-7"))))
    before, sealed_with = box.config.read_bytes(), (box.etc / "at-rest.key").read_bytes()
    await box.provision(Answers(checkpoint="North gate"))
    settings = load_settings(box.config)
    assert (settings.box.checkpoint, settings.box.name) == ("North gate", "gate-7")
    assert settings.platform.url == "mqtts://platform.example:8883"
    assert (box.etc / "at-rest.key").read_bytes() == sealed_with
    assert box.config.with_name("sentinel.toml.previous").read_bytes() == before


async def test_the_same_answers_twice_change_nothing(box: Box, tmp_path: Path) -> None:
    async with authority(tmp_path / "platform") as town:
        answers = box.answers(invitation=str(await town.invite(SERIAL, "gate-7")))
        first = await box.provision(answers)
        written = box.config.read_bytes()
        again = await box.provision(answers)
    assert (again.settings, again.until) == (first.settings, first.until)
    assert box.config.read_bytes() == written
    said = tomllib.loads(written.decode())
    assert said["box"].keys() == {"district", "name", "checkpoint", "lane", "direction", "data_dir"}
    assert said["thermometer"]["driver"] == Settings().thermometer.driver


@pytest.mark.parametrize(("section", "driver"), [("thermometer", "gy-mcu90614"), ("ranger", "evo-mini")])
async def test_what_is_plugged_in_is_found_and_set(box: Box, tmp_path: Path, section: str, driver: str) -> None:
    with FaultyWire(tmp_path / "wires", seed=1) as wire:
        wire.plug()

        async def find_devices() -> str:
            return proposed_settings(await probe_all([str(wire.by_id)]))

        sensor = asyncio.create_task(simulate_device(driver, wire, 1))
        done = await box.provision(box.answers(platform_url=ON_THIS_MACHINE), find_devices)
        sensor.cancel()
        await asyncio.gather(sensor, return_exceptions=True)
    assert done.found[section]["driver"] == driver
    assert getattr(load_settings(box.config), section).driver == driver


async def test_an_answer_goes_before_what_was_found(box: Box) -> None:
    async def find_devices() -> str:
        return '[thermometer]\ndriver = "optris"\nport = "/dev/a"\nbaud = 9600\n'

    settings = {**box.answers().settings, "thermometer": {"port": "/dev/b"}}
    answers = box.answers(settings=settings, platform_url=ON_THIS_MACHINE)
    done = await box.provision(answers, find_devices)
    assert (done.settings.thermometer.driver, done.settings.thermometer.port) == ("optris", "/dev/b")
    again = await box.provision(box.answers(probe=False, platform_url=ON_THIS_MACHINE), find_devices)
    assert again.found == {}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"settings": {"camera": {"fps": 900}}}, "fps"),
        ({"settings": {"camera": {"fsp": 9}}}, "did you mean fps"),
        ({"community_key": "/nowhere"}, "/nowhere"),
        ({"signing_key": "/nowhere"}, "/nowhere"),
        ({}, "no certificate: run edge-agent provision with the enrolment sheet"),
        ({"platform_url": "mqtt://10.0.0.1:1883"}, "loopback only"),
        ({"platform_url": "mqtts://box:hunter2@platform.example"}, "must not contain a user name"),
        ({"platform_url": "mqtts://platform.example：8883"}, "full-width"),
        ({"platform_url": "mqtts://[::1"}, "HOST:PORT"),
        ({"platform_url": "mqtts://platform.example:0"}, "1 to 65535"),
        ({"community_key": ""}, "community_key_file"),
        (set_to(thermometer={"port": "usb:1a86"}), "invalid port name 'usb:1a86'"),
        (set_to(thermometer={"driver": "pyrousb", "baud": 115200}), "baud 115200 is not supported by pyrousb"),
        (set_to(camera={"source": "RTSP://admin:hunter2@10.0.0.9/live"}), r"\[camera\]: the camera source"),
        (set_to(ranger={"driver": "tof10120", "port": "usb@x"}), r"\[ranger\]: invalid port name"),
        (set_to(gate={"driver": "lcus", "port": "usb:zz"}), r"\[gate\]: invalid port name"),
        (set_to(reader={"baud": 500}), "baud 500"),
        (set_to(policy={"file": "/nowhere/policy.toml"}), "/nowhere/policy.toml"),
        (set_to(kiosk={"host": "0.0.0.0"}), "must stay on this machine"),  # noqa: S104
        (set_to(recognition={"enabled": True, "pack": "sface"}), r"\[recognition\] pack"),
        (set_to(vision={"detector": "yunet"}), r"\[vision\] detector"),
    ],
)
async def test_what_is_wrong_is_found_before_anything_is_written(
    box: Box, changes: dict[str, object], named: str
) -> None:
    with pytest.raises(SettingsError, match=named) as caught:
        await box.provision(box.answers(**changes))
    assert "hunter2" not in str(caught.value)
    assert list(box.etc.iterdir()) == []
    assert not box.data.exists()


async def test_every_fault_is_said_at_once(box: Box) -> None:
    changes = set_to(gate={"driver": "lcus", "port": "usb:zz"}, policy={"file": "/nowhere"}, camera={"source": "a://"})
    with pytest.raises(SettingsError) as caught:
        await box.provision(box.answers(**changes))
    said = str(caught.value).splitlines()
    assert [
        word for word in ("[camera]", "[gate]", "/nowhere", "[platform]") if any(word in line for line in said)
    ] == [
        "[camera]",
        "[gate]",
        "/nowhere",
        "[platform]",
    ]


@pytest.mark.parametrize("driver", get_args(ThermometerDriver))
async def test_the_defaults_fit_every_thermometer(box: Box, driver: str) -> None:
    answers = box.answers(platform_url=ON_THIS_MACHINE, **set_to(box=box, thermometer={"driver": driver}))
    done = await box.provision(answers)
    assert find_faults(done.settings) == []


async def test_the_rate_of_another_driver_is_not_kept(box: Box) -> None:
    answers = {"platform_url": ON_THIS_MACHINE}
    await box.provision(box.answers(**answers, **set_to(box=box, thermometer={"driver": "optris", "baud": 115200})))
    done = await box.provision(box.answers(**answers, **set_to(box=box, thermometer={"driver": "pyrousb"})))
    assert done.settings.thermometer.baud == 0


async def test_who_may_not_write_is_told_before_the_token_is_shown(box: Box, tmp_path: Path) -> None:
    async with authority(tmp_path / "platform") as town:
        answers = box.answers(invitation=str(await town.invite(SERIAL, "gate-7")))
        box.etc.rename(tmp_path / "away")
        with pytest.raises(SettingsError, match="install first"):
            await box.provision(answers)
    assert not box.data.exists()


async def test_a_disk_that_does_not_take_the_key_is_named(box: Box, tmp_path: Path) -> None:
    box.data.mkdir()
    (box.data / "identity").touch()
    async with authority(tmp_path / "platform") as town:
        with pytest.raises(StoreFailed, match="identity"):
            await box.provision(box.answers(invitation=str(await town.invite(SERIAL, "gate-7"))))


async def test_a_sheet_for_another_box_is_refused_unless_the_label_says_so(box: Box, tmp_path: Path) -> None:
    async with authority(tmp_path / "platform") as town:
        invitation = str(await town.invite("SN-2", "gate-8"))
        with pytest.raises(SettingsError, match="SN-2"):
            await box.provision(box.answers(invitation=invitation))
        assert list(box.etc.iterdir()) == []
        done = await box.provision(box.answers(invitation=invitation, serial="SN-2"))
    assert done.settings.box.name == "gate-8"


async def test_a_box_that_waited_in_vain_goes_on_with_its_key(box: Box, tmp_path: Path) -> None:
    async with authority(tmp_path / "platform") as town:
        answers = box.answers(invitation=str(await town.invite(SERIAL, "gate-7", accept=False)))
        with pytest.raises(EnrolmentPending):
            await box.provision(answers, limit_s=0.0)
        assert not box.config.exists()
        await town.registry.accept("gate-7")
        assert (await box.provision(answers)).settings.box.name == "gate-7"
        another = Box(_fresh(tmp_path))
        with pytest.raises(EnrolmentRefused, match="token"):
            await another.provision(another.answers(invitation=answers.invitation))


def _fresh(tmp_path: Path) -> Path:
    folder = tmp_path / "another"
    folder.mkdir()
    return folder


def test_secrets_in_answers_are_not_shown(box: Box) -> None:
    assert "918273" not in repr(box.answers())


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("lane = '1'", "checkpoint"),
        ("checkpoint = 'a'\nstaff_pin = '123456'", "PIN"),
        ("checkpoint = 'a'\ninvitation = 'https://example'", "登记"),
        ("checkpoint = 'a'\nplatform_url = 'http://x'", "platform_url"),
        ("checkpoint = 'a'\nlanes = '1'", "lanes"),
        ("checkpoint = ", "TOML"),
    ],
)
def test_a_wrong_answer_is_named(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "answers.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=named):
        load_answers(path)


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80),
    st.lists(st.sampled_from(["yue", "en", "zh-CN"]), max_size=3),
    st.floats(1, 60),
    st.booleans(),
)
def test_settings_survive_being_written(checkpoint: str, also: list[str], fps: float, mirror: bool) -> None:
    sections = {
        "box": {"checkpoint": checkpoint},
        "announcer": {"also": also},
        "camera": {"fps": fps},
        "thermometer": {"mirror": mirror},
    }
    settings = checked_settings(sections)
    assert settings.box.checkpoint == checkpoint
    assert checked_settings(sections_from(settings)) == settings
    assert checked_settings({}) == Settings()
    assert "mirror" not in toml_from(sections_from(settings)) or not mirror


@pytest.mark.parametrize(
    ("files", "serial"),
    [
        ({"proc/device-tree/serial-number": "10000000a1b2c3d4\0"}, "10000000a1b2c3d4"),
        ({"sys/class/dmi/id/product_serial": "PF-0042\n", "etc/machine-id": "ab12\n"}, "PF-0042"),
        ({"sys/class/dmi/id/product_serial": "Default string\n", "sys/class/dmi/id/board_serial": "B7\n"}, "B7"),
        ({"sys/devices/soc0/serial_number": "1A2B3C\n", "etc/machine-id": "ab12\n"}, "1A2B3C"),
        (
            {
                "sys/class/dmi/id/board_serial": "Default_string\n",
                "sys/class/dmi/id/product_uuid": "4c4c4544-0042-3510-8052-b4c04f4a3132\n",
            },
            "4c4c4544-0042-3510-8052-b4c04f4a3132",
        ),
        ({"etc/machine-id": "0f5a7f2e1d0b4a6d9c8e7b6a5f4e3d2c\n"}, ""),
        *(
            ({f"sys/class/dmi/id/{name}": f"{value}\n", "etc/machine-id": "ab12\n"}, "")
            for name, value in [
                ("product_serial", "Default-string"),
                ("product_serial", "System_Serial_Number"),
                ("product_serial", "To-be-filled-by-O.E.M."),
                ("product_serial", "123456789"),
                ("board_serial", "Not-Applicable"),
                ("board_serial", "BaseBoard_Serial_Number"),
                ("product_uuid", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF"),
                ("product_uuid", "00000000-0000-0000-0000-000000000000"),
                ("product_uuid", "03000200-0400-0500-0006-000700080009"),
            ]
        ),
        ({"proc/device-tree/serial-number": "0000000000000000\0"}, ""),
        ({}, ""),
    ],
)
def test_the_serial_of_a_box(tmp_path: Path, files: dict[str, str], serial: str) -> None:
    for place, text in files.items():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(text)
    assert box_serial(tmp_path) == serial


def test_answers_may_be_typed(box: Box) -> None:
    """Settings that only a file can give stay as they were."""
    box.config.write_text(toml_from(box.answers().settings), encoding="utf-8")
    typed = ["South gate", "2", "in", "yue", ON_THIS_MACHINE, "", str(box.community_key), "", "918273", "n"]
    done = CliRunner().invoke(app, ["provision", "--config", str(box.config), "--json"], input="\n".join([*typed, ""]))
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout.splitlines()[-1])
    assert (said["checkpoint"], said["certificate_until"], said["started"]) == ("South gate", None, False)
    settings = load_settings(box.config)
    assert (settings.speaker.language, settings.platform.url) == ("yue", ON_THIS_MACHINE)


def test_a_fault_is_told_in_a_sentence(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["provision", "--answers", str(tmp_path / "none.toml")])
    assert done.exit_code == 2
    assert "none.toml" in done.output

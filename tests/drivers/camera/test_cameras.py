from __future__ import annotations

from pathlib import Path

import pytest

from drivers.audio.cards import list_sound_cards
from drivers.camera.camera import make_camera
from drivers.camera.cameras import list_cameras, resolve_camera
from drivers.camera.video_capture import Source
from drivers.errors import BadSetting, DeviceLost
from drivers.serial_line.ports import stable_name
from drivers.tools.camera_probe import CameraFound, proposed_camera


def plug(root: Path, number: int, port: str, serial: str, *, index: int = 0, product: str = "c270") -> None:
    """A node of a USB camera in the sysfs below `root`."""
    usb = root / "sys/devices/usb1" / port
    interface = usb / f"{port}:1.0"
    interface.mkdir(parents=True, exist_ok=True)
    for name, text in (("idVendor", "046d"), ("idProduct", "0825"), ("serial", serial)):
        (usb / name).write_text(f"{text}\n", encoding="ascii")
    node = root / f"sys/class/video4linux/video{number}"
    node.mkdir(parents=True)
    (node / "index").write_text(f"{index}\n", encoding="ascii")
    (node / "name").write_text(f"{product}\n", encoding="ascii")
    (node / "device").symlink_to(interface)
    (root / "dev/v4l/by-id").mkdir(parents=True, exist_ok=True)
    (root / f"dev/video{number}").touch()


def test_a_camera_keeps_its_name_when_its_number_changes(tmp_path: Path) -> None:
    plug(tmp_path, 0, "1-1", "AAA")
    plug(tmp_path, 1, "1-1", "AAA", index=1)  # metadata, no pictures
    plug(tmp_path, 2, "1-2", "BBB")
    assert [camera.device for camera in list_cameras(tmp_path)] == ["/dev/video0", "/dev/video2"]
    for name in ("usb:046d:0825:BBB", "usb@1-2"):
        assert resolve_camera(name, tmp_path) == "/dev/video2"
    other = tmp_path / "after the next start"
    plug(other, 0, "1-2", "BBB")
    plug(other, 4, "1-1", "AAA")
    for name in ("usb:046d:0825:BBB", "usb@1-2"):
        assert resolve_camera(name, other) == "/dev/video0"


def test_two_cameras_of_one_kind_are_told_apart_or_refused(tmp_path: Path) -> None:
    plug(tmp_path, 0, "1-1", "")
    plug(tmp_path, 2, "1-2.4", "")
    with pytest.raises(DeviceLost, match=r"usb:046d:0825 matches /dev/video0 and /dev/video2"):
        resolve_camera("usb:046d:0825", tmp_path)
    with pytest.raises(DeviceLost, match="no port matches"):
        resolve_camera("usb:046d:0826", tmp_path)
    cameras = list_cameras(tmp_path)
    names = [stable_name(camera, cameras) for camera in cameras]
    assert [resolve_camera(name, tmp_path) for name in names] == ["/dev/video0", "/dev/video2"]


def test_a_camera_with_a_udev_link_is_named_by_it(tmp_path: Path) -> None:
    plug(tmp_path, 0, "1-1", "AAA")
    (tmp_path / "dev/v4l/by-id/usb-046d_AAA-video-index0").symlink_to("../../video0")
    (camera,) = list_cameras(tmp_path)
    assert stable_name(camera, [camera]) == "/dev/v4l/by-id/usb-046d_AAA-video-index0"
    assert camera.product == "c270"


def test_a_camera_that_is_not_on_usb_has_only_its_path(tmp_path: Path) -> None:
    node = tmp_path / "sys/class/video4linux/video10"
    node.mkdir(parents=True)
    (camera,) = list_cameras(tmp_path)
    assert (camera.device, camera.vendor_id, camera.serial) == ("/dev/video10", None, "")
    assert list_cameras(tmp_path / "nothing") == []


@pytest.mark.parametrize("text", ["usb:046d:0825", "usb:046d:0825:AAA", "usb@1-1.2", "/dev/v4l/by-path/pci-0"])
def test_a_persistent_name_is_a_source(text: str) -> None:
    assert Source.parse(text) == Source(device=text)


@pytest.mark.parametrize("text", ["usb:046d", "usb@", "usb:zzzz:0825"])
def test_half_a_name_is_refused(text: str) -> None:
    with pytest.raises(BadSetting, match="invalid port name"):
        make_camera(source=text)


def test_the_cards_that_can_play_are_listed(tmp_path: Path) -> None:
    folder = tmp_path / "proc/asound"
    (folder / "card0/pcm0p").mkdir(parents=True)
    (folder / "card1/pcm0c").mkdir(parents=True)
    text = " 0 [PCH            ]: HDA-Intel - HDA Intel PCH\n                      at 0x1\n"
    text += " 1 [Mic            ]: USB-Audio - Mic\n"
    (folder / "cards").write_text(text, encoding="ascii")
    assert [(card.device, card.product) for card in list_sound_cards(tmp_path)] == [
        ("hw:0", "PCH: HDA-Intel - HDA Intel PCH")
    ]
    assert list_sound_cards(tmp_path / "nothing") == []


def test_the_first_camera_that_delivers_is_proposed() -> None:
    found = [CameraFound(f"usb@1-{n}", f"/dev/video{n}", "c270", n > 0, "") for n in range(3)]
    assert proposed_camera(found) == '[camera]\nsource = "usb@1-1"\n# source = "usb@1-2"\n'
    assert proposed_camera(found[:1]) == ""

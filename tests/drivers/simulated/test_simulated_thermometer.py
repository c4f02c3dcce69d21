"""The simulated GY-MCU90640: frames and commands of the maker's manual, and the position of a warm face."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from drivers.simulated.devices.gy_mcu90640_module import FRAME_SIZE, ThermalModule, encode_frame
from drivers.simulated.devices.thermal_scene import SimulatedThermometer, ThermalScene, WarmFace
from drivers.simulated.devices.wire import PtyWire
from tests.limits import HANG_S

FACE = WarmFace(centre_x=0.3, centre_y=0.5, width=0.25, height=0.45, skin_max_c=35.6)


def pixels_of(frame: bytes) -> NDArray[np.float64]:
    """The 24x32 values in the module's order, after the checks of header and checksum."""
    words = np.frombuffer(frame, "<u2").astype(np.int64)
    assert len(frame) == FRAME_SIZE
    assert frame[:4] == b"\x5a\x5a\x02\x06"
    assert words[:-1].sum() % 65536 == words[-1]
    return np.frombuffer(frame[4:1540], "<i2").reshape(24, 32) / 100


def test_worked_frames_of_the_manual() -> None:
    even = encode_frame(np.full((24, 32), 36.5), 25.0)
    assert even[:6].hex(" ") == "5a 5a 02 06 42 0e"
    assert even[-6:].hex(" ") == "42 0e c4 09 20 30"
    mixed_c = np.full(768, 30.0)
    mixed_c[[0, 767]] = -5.0, 36.94
    mixed = encode_frame(mixed_c, -1.5)
    assert mixed[:8].hex(" ") == "5a 5a 02 06 0c fe b8 0b"
    assert mixed[-8:].hex(" ") == "b8 0b 6e 0e 6a ff d0 7c"
    assert len(even) == len(mixed) == FRAME_SIZE


@given(st.binary(min_size=1536, max_size=1536), st.integers(-4000, 8500))
def test_frames_carry_every_value(words: bytes, ambient: int) -> None:
    frame = encode_frame(np.frombuffer(words, "<i2") / 100, ambient / 100)
    assert frame[4:1540] == words
    assert pixels_of(frame).shape == (24, 32)
    assert int.from_bytes(frame[1540:1542], "little", signed=True) == ambient


def test_a_frame_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="768"):
        encode_frame(np.zeros(767), 25.0)


@pytest.mark.parametrize(
    ("command", "setting", "value"),
    [
        ("A5 15 01 BB", "baud", 9600),
        ("A5 15 03 BD", "baud", 460800),
        ("A5 25 00 CA", "rate_hz", 0.5),
        ("A5 25 01 CB", "rate_hz", 1.0),
        ("A5 25 02 CC", "rate_hz", 2.0),
        ("A5 25 03 CD", "rate_hz", 4.0),
        ("A5 25 04 CE", "rate_hz", 8.0),
        ("A5 35 01 DB", "automatic", False),
        ("A5 35 02 DC", "automatic", True),
        ("A5 45 62 4C", "emissivity_percent", 98),
    ],
)
def test_commands_of_the_manual(command: str, setting: str, value: float) -> None:
    module = ThermalModule()
    assert module.feed(bytes.fromhex(command)) == b""
    assert getattr(module.settings, setting) == value
    assert module.bad_commands == 0
    module.power_up()
    assert module.settings == ThermalModule().settings


def test_settings_saved_to_flash_survive_a_restart_and_emissivity_is_reported() -> None:
    module = ThermalModule()
    assert module.feed(bytes.fromhex("A5 55 01 FB")).hex(" ") == "5a 5a 5f 13"
    module.feed(bytes.fromhex("A5 25 01 CB A5 65 01 0B"))
    module.power_up()
    assert module.settings.rate_hz == 1.0


@given(st.lists(st.sampled_from([b"\xa5\x25\x01\xcb", b"\xa5", b"\x00\xff", b"\xa5\x55\x01\xfb"])), st.data())
def test_torn_commands_mean_the_same_as_whole_ones(parts: list[bytes], data: st.DataObject) -> None:
    stream, whole, torn = b"".join(parts), ThermalModule(), ThermalModule()
    answer, rest, torn_answer = whole.feed(stream), stream, b""
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        torn_answer += torn.feed(rest[:size])
        rest = rest[size:]
    assert (torn_answer, torn.settings, torn.bad_commands) == (answer, whole.settings, whole.bad_commands)


def test_the_face_is_warm_where_it_stands_and_nowhere_else() -> None:
    scene = ThermalScene(seed=3)
    empty, occupied = scene.picture(None), scene.picture(FACE)
    assert empty.mean() == pytest.approx(24.0, abs=0.05)
    assert empty.std() == pytest.approx(0.1, abs=0.02)
    assert occupied.max() == pytest.approx(35.6, abs=0.4)
    row, column = np.unravel_index(occupied.argmax(), occupied.shape)
    assert abs((column + 0.5) / 32 - 0.3) < 0.12
    assert abs((row + 0.5) / 24 - 0.5) < 0.2
    assert np.all(occupied[:, 20:] < 25.0)


async def test_it_sends_mirrored_frames_and_obeys_over_the_wire(tmp_path: Path) -> None:
    thermometer = SimulatedThermometer(PtyWire(tmp_path / "thermometer"), lambda: FACE, seed=1)
    thermometer.plug()
    host = os.open(thermometer.wire.link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    running = asyncio.create_task(thermometer.run())
    try:
        frame = await _read(host, FRAME_SIZE)
        assert pixels_of(frame)[:, 16:].max() > 34.0  # the face stands at the viewer's left
        assert pixels_of(frame)[:, :12].max() < 25.0
        os.write(host, bytes.fromhex("A5 35 01 DB"))
        while thermometer.module.settings.automatic:  # a frame may be under way
            await _read(host, 1)
        thermometer.unplug()
        thermometer.plug()
        assert thermometer.module.settings.automatic
    finally:
        running.cancel()
        os.close(host)
        thermometer.unplug()


async def _read(fd: int, size: int) -> bytes:
    """Exactly `size` bytes of a port."""
    loop, data = asyncio.get_running_loop(), b""
    async with asyncio.timeout(HANG_S):
        while len(data) < size:
            ready = asyncio.Event()
            loop.add_reader(fd, ready.set)
            try:
                await ready.wait()
            finally:
                loop.remove_reader(fd)
            data += os.read(fd, size - len(data))
    return data

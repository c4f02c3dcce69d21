from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.thermometers import gy_mcu90640 as array
from drivers.thermometers.gy_mcu90614 import CONTINUOUS, QUERY, GyMcu90614
from drivers.thermometers.gy_mcu90640 import GyMcu90640
from tests.drivers.driver_bench import array_frame, noisy_frame, pieces, spot_frame

CUTS = st.lists(st.integers(0, 20_000), max_size=12)


def test_array_frame_of_one_temperature() -> None:
    frame = bytes.fromhex("5A5A0206") + bytes.fromhex("420E") * 768 + bytes.fromhex("C409 2030")
    (reading,) = GyMcu90640().feed(frame, 7.0)
    assert reading.pixels_c.shape == (24, 32)
    assert reading.pixels_c.dtype == np.float32
    assert np.all(reading.pixels_c == np.float32(36.5))
    assert (reading.ambient_c, reading.taken_at_s) == (25.0, 7.0)


def test_array_frame_with_values_below_zero() -> None:
    frame = bytes.fromhex("5A5A0206 0CFE") + bytes.fromhex("B80B") * 766 + bytes.fromhex("6E0E 6AFF D07C")
    (reading,) = GyMcu90640().feed(frame, 0.0)
    pixels = reading.pixels_c
    assert (pixels[0, 0], pixels[23, 31]) == (np.float32(-5.0), np.float32(36.94))
    assert np.all(pixels.ravel()[1:-1] == np.float32(30.0))
    assert reading.ambient_c == -1.5


def test_mirror_reverses_each_row() -> None:
    frame = array_frame(list(range(768)), 2500)
    (plain,), (mirrored,) = GyMcu90640().feed(frame, 0.0), GyMcu90640(mirror=True).feed(frame, 0.0)
    assert (plain.pixels_c[0, 0], plain.pixels_c[1, 0]) == (np.float32(0.0), np.float32(0.32))
    assert (mirrored.pixels_c[0, 31], mirrored.pixels_c[1, 31]) == (np.float32(0.0), np.float32(0.32))
    assert np.array_equal(mirrored.pixels_c, plain.pixels_c[:, ::-1])


@pytest.mark.parametrize("length", [1536, 1540])
def test_a_frame_of_another_length_is_not_read(length: int) -> None:
    frame = bytearray(array_frame([3650] * 768, 2500))
    frame[2:4] = length.to_bytes(2, "little")
    frame[-2:] = (sum(np.frombuffer(frame[:-2], "<u2").tolist()) & 0xFFFF).to_bytes(2, "little")
    parser = GyMcu90640()
    assert parser.feed(bytes(frame), 0.0) == []
    assert parser.counters["frames"] == 0


def test_array_commands() -> None:
    rates = [array.set_rate(rate_hz).hex() for rate_hz in (0.5, 1, 2, 4, 8)]
    assert rates == ["a52500ca", "a52501cb", "a52502cc", "a52503cd", "a52504ce"]
    assert array.AUTOMATIC.hex() == "a53502dc"
    assert (array.set_emissivity(0.95).hex(), array.set_emissivity(0.98).hex()) == ("a5455f49", "a545624c")
    assert array.READ_EMISSIVITY.hex() == "a55501fb"
    with pytest.raises(ValueError, match="at most 1"):
        array.set_emissivity(1.01)


@pytest.mark.parametrize(
    ("frame", "object_c", "ambient_c"),
    [
        ("5A5A4504 0D7A 09C4 51", 34.50, 25.00),
        ("5A5A4504 FDF8 FECA BA", -5.20, -3.10),
        ("5A5A4504 0C78 0D19 A7", 31.92, 33.53),
    ],
)
def test_spot_frames(frame: str, object_c: float, ambient_c: float) -> None:
    (reading,) = GyMcu90614().feed(bytes.fromhex(frame), 1.0)
    assert (reading.object_c, reading.ambient_c, reading.taken_at_s) == (object_c, ambient_c, 1.0)


def test_spot_commands_carry_their_sums() -> None:
    for command in (CONTINUOUS, QUERY):
        assert sum(command[:2]) & 0xFF == command[2]


@given(CUTS)
def test_however_the_bytes_are_cut_the_frames_are_the_same(cuts: list[int]) -> None:
    parser = GyMcu90640()
    stream = b"".join(noisy_frame(seed) for seed in range(3))
    readings = [reading for piece in pieces(stream, cuts) for reading in parser.feed(piece, 0.0)]
    assert len(readings) == 3
    assert {name: count for name, count in parser.counters.items() if count} == {"frames": 3}


@given(
    st.lists(st.binary(max_size=40) | st.integers(0, 1543).map(lambda end: noisy_frame(9)[:end]), max_size=4),
    CUTS,
)
def test_every_good_frame_after_garbage_is_found(garbage: list[bytes], cuts: list[int]) -> None:
    parser = GyMcu90640()
    stream = b"".join(junk + noisy_frame(seed) for seed, junk in enumerate(garbage))
    readings = [reading for piece in pieces(stream, cuts) for reading in parser.feed(piece, 0.0)]
    assert len(readings) == len(garbage)
    assert parser.counters["resync_bytes"] == sum(map(len, garbage))


@given(st.integers(0, 1543), st.integers(1, 255), CUTS)
def test_a_changed_byte_gives_no_reading(place: int, change: int, cuts: list[int]) -> None:
    frame = bytearray(noisy_frame(1))
    frame[place] ^= change
    parser = GyMcu90640()
    good = noisy_frame(2)
    readings = [reading for piece in pieces(bytes(frame) + good, cuts) for reading in parser.feed(piece, 0.0)]
    assert len(readings) == 1
    assert parser.counters["frames"] == 1
    # A changed length can make the first four bytes a reply about emissivity, which gives no reading either.
    assert parser.counters["resync_bytes"] == len(frame) - 4 * parser.counters["other_frames"]


CELSIUS = st.integers(-4000, 12_000)


@given(st.lists(st.tuples(CELSIUS, CELSIUS, st.binary(max_size=12).filter(lambda b: 0x5A not in b))), CUTS)
def test_spot_frames_between_garbage(readings: list[tuple[int, int, bytes]], cuts: list[int]) -> None:
    parser = GyMcu90614()
    stream = b"".join(junk + spot_frame(object_, ambient) for object_, ambient, junk in readings)
    found = [reading for piece in pieces(stream, cuts) for reading in parser.feed(piece, 0.0)]
    assert [(reading.object_c, reading.ambient_c) for reading in found] == [(o / 100, a / 100) for o, a, _ in readings]
    assert parser.counters["resync_bytes"] == sum(len(junk) for *_, junk in readings)


@given(CELSIUS, CELSIUS, st.integers(4, 8), st.integers(1, 255))
def test_a_changed_byte_gives_no_spot_reading(object_: int, ambient: int, place: int, change: int) -> None:
    frame = bytearray(spot_frame(object_, ambient))
    frame[place] ^= change
    parser = GyMcu90614()
    assert [*parser.feed(bytes(frame), 0.0), *parser.feed(b"", 0.0)] == []
    assert parser.counters["bad_checksum"] == 1


@given(st.lists(st.sampled_from([b"\x5a", b"\x5a\x5a\x02\x06", b"\x5a\x5a\x45\x04", b"\x02\x06\x5a"]) | st.binary()))
def test_any_bytes_are_survived_with_a_bounded_buffer(chunks: list[bytes]) -> None:
    for parser, size in ((GyMcu90640(), 1544), (GyMcu90614(), 9)):
        for chunk in chunks:
            parser.feed(chunk, 0.0)
            assert len(parser._buffer) < size

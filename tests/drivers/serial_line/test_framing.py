"""Properties of the parser of every family, for any damage of the line."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.serial_line.framing import Parser
from drivers.simulated.devices import sensor_frames
from drivers.thermometers.optris import QUERY_HEAD, QUERY_TARGET, Optris
from drivers.tools.reading_output import PlainValues, to_dict
from tests.drivers.driver_bench import pieces
from tests.drivers.families import BY_DRIVER, FAMILIES, Family, mutated, pool

CUTS = st.lists(st.integers(0, 20_000), max_size=8)
EVERY = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.driver)
STRONG = pytest.mark.parametrize("family", [it for it in FAMILIES if it.strong], ids=lambda family: family.driver)
SUMMED = [it for it in FAMILIES if it.driver not in ("optris", "tof10120", "qr-line")]
LONGEST_FRAME = 2321


def fed(parser: Parser[Any], data: bytes, cuts: list[int], at_s: float = 0.0) -> list[PlainValues]:
    """The readings of `data`, split at `cuts` and followed by silence."""
    chunks = [*pieces(data, cuts), b""]
    return [to_dict(reading, pixels=True) for chunk in chunks for reading in parser.feed(chunk, at_s)]


@EVERY
@settings(max_examples=25)
@given(cuts=CUTS)
def test_however_the_bytes_are_cut_the_readings_are_the_same(family: Family, cuts: list[int]) -> None:
    parser, frames = family.parser(), pool(family.driver)
    assert fed(parser, b"".join(frames), cuts) == [family.values(frame) for frame in frames]
    assert parser.counters["frames"] == len(frames)
    assert parser.counters["bad_checksum"] == parser.counters["resync_bytes"] == 0


@STRONG
@settings(max_examples=40)
@given(seed=st.integers(0, 2**32), cuts=CUTS)
def test_every_good_frame_between_damaged_ones_is_found_and_nothing_else(
    family: Family, seed: int, cuts: list[int]
) -> None:
    rng = random.Random(seed)
    parser, frames = family.parser(), pool(family.driver)[:3]
    values = fed(parser, b"".join(mutated(frame, rng) + frame for frame in frames), cuts)
    sent = [family.values(frame) for frame in frames]
    assert [reading for number, reading in enumerate(values) if reading not in values[:number]] == sent


@EVERY
@settings(max_examples=40)
@given(seed=st.integers(0, 2**32), cuts=CUTS)
def test_after_silence_a_good_frame_is_always_found(family: Family, seed: int, cuts: list[int]) -> None:
    rng = random.Random(seed)
    parser, frames = family.parser(), pool(family.driver)
    fed(parser, b"".join(mutated(rng.choice(frames), rng) for _ in range(3)), cuts)
    fed(parser, rng.randbytes(rng.randrange(3000)), cuts)
    assert fed(parser, frames[0], cuts, at_s=60.0) == [family.values(frames[0])]


@pytest.mark.parametrize("family", SUMMED, ids=lambda family: family.driver)
@settings(max_examples=60)
@given(place=st.integers(0, 5000), change=st.integers(1, 255))
def test_one_changed_byte_never_gives_a_number_that_was_not_sent(family: Family, place: int, change: int) -> None:
    frame = bytearray(pool(family.driver)[0])
    sent = family.values(bytes(frame))
    frame[place % len(frame)] ^= change
    assert [values for values in fed(family.parser(), bytes(frame), []) if values != sent] == []


@EVERY
@settings(max_examples=25)
@given(chunks=st.lists(st.binary(max_size=3000), max_size=6), seed=st.integers(0, 2**32))
def test_any_bytes_are_survived_and_memory_is_bounded(family: Family, chunks: list[bytes], seed: int) -> None:
    rng = random.Random(seed)
    parser = family.parser()
    for chunk in chunks:
        parser.feed(chunk + mutated(pool(family.driver)[0], rng), 0.0)
        assert len(getattr(parser, "_buffer", b"")) < LONGEST_FRAME
        assert len(getattr(parser, "_line", b"")) <= 512


FRAMED = [it for it in FAMILIES if it.driver not in ("optris", "tof10120", "qr-line", "sam-v", "lcus", "evo-mini")]


@pytest.mark.parametrize("family", FRAMED, ids=lambda family: family.driver)
def test_a_truncated_frame_is_resynchronised_and_a_damaged_one_has_a_bad_checksum(family: Family) -> None:
    first, second, third, *_ = pool(family.driver)
    cut = first[: len(first) - 2]
    damaged = second[:-1] + bytes((second[-1] ^ 1,))
    parser = family.parser()
    values = fed(parser, b"\0\0" + cut + first + damaged + third + second[:5], [])
    assert values == [family.values(first), family.values(third)]
    assert parser.counters["frames"] == 2
    assert parser.counters["bad_checksum"] == 1
    assert parser.counters["resync_bytes"] == 2 + len(cut) + len(damaged) + 5


def test_a_truncated_frame_with_a_matching_checksum_does_not_consume_the_next() -> None:
    cut, good = sensor_frames.gy_mcu90614(35.65, 23.9)[:7], sensor_frames.gy_mcu90614(36.0, 25.0)
    chance = cut + good[:2]
    assert sum(chance[:-1]) % 256 == chance[-1]
    parser = BY_DRIVER["gy-mcu90614"].parser()
    assert [reading["object_c"] for reading in fed(parser, cut + good, [])] == [36.0]
    assert (parser.counters["resync_bytes"], parser.counters["bad_checksum"]) == (len(cut), 0)


@pytest.mark.parametrize(
    ("driver", "frame"),
    [
        ("gy-mcu90614", sensor_frames.gy_mcu90614(327.0, 126.0)),
        ("gy-mcu90614", sensor_frames.gy_mcu90614(-70.5, 25.0)),
        ("gy-614v", sensor_frames.gy_614v(36.0, 200.0)),
        ("cjmcu-90614", sensor_frames.cjmcu_90614(36.0, -41.0)),
        ("pyrousb", sensor_frames.pyrousb(-60.0)),
        ("pyrousb", sensor_frames.pyrousb(36.0, 25.0, status=0b100)),
        ("optris", sensor_frames.optris(2000.0)),
        ("evo-mini", sensor_frames.evo_mini(60_000)),
        ("tofsense", sensor_frames.tofsense(0)),
        ("tof10120", b"2001mm\r\n"),
        ("lcus", b"\xa0\x00\x01\xa1"),
    ],
)
def test_values_out_of_range_are_refused(driver: str, frame: bytes) -> None:
    parser = BY_DRIVER[driver].parser()
    assert fed(parser, frame, []) == []
    assert parser.counters["refused"] >= 1
    assert parser.counters["resync_bytes"] == len(frame)
    assert parser.counters["frames"] == parser.counters["bad_checksum"] == 0


def test_acknowledgements_between_frames_are_neither_readings_nor_noise() -> None:
    family, ack = BY_DRIVER["evo-thermal-33"], sensor_frames.terabee_ack(0x14, 0x05)
    first, second, *_ = pool("evo-thermal-33")
    parser = family.parser()
    assert fed(parser, ack + first + ack + ack + second + ack, []) == [family.values(first), family.values(second)]
    assert (parser.counters["frames"], parser.counters["other_frames"], parser.counters["resync_bytes"]) == (2, 4, 0)


@pytest.mark.parametrize(
    ("sent", "distances"),
    [
        (b"450mm\r\n12", [450]),
        (b"\xff\x00?450mm\r\n", [450]),  # noise before a whole number
        (b"1\xff50mm\r\n450mm\r\n", [450]),  # a damaged digit: 50 was never sent
        (b"\xff450mm\r\n451mm\r\n", [451]),  # may have been 1450
        (b"450m451mm\r\n", [451]),
        (b"450mm451mm\r\n", [451]),
        (b"14450mm\r\n", []),
        (b"450mm\n", []),
        (b"0mm\r\n", []),
        (b"\x00" * 100_000 + b"\n450mm\r\n", [450]),
    ],
)
def test_lines_of_a_distance_sensor(sent: bytes, distances: list[int]) -> None:
    parser = BY_DRIVER["tof10120"].parser()
    assert [values["distance_mm"] for values in fed(parser, sent, list(range(0, 20_000, 512)))] == distances
    good = sum(len(b"%dmm\r\n" % distance) for distance in distances)
    assert parser.counters["resync_bytes"] == len(sent) - good


def test_replies_without_a_header_resynchronise_by_their_values() -> None:
    family = BY_DRIVER["optris"]
    parser = family.parser()
    stream = b"".join(sensor_frames.optris(celsius) for celsius in (35.0, 35.1, 35.2))
    values = fed(parser, b"\xf1" + stream, [])
    assert [reading["object_c"] for reading in values] == [35.0, 35.1, 35.2]
    assert parser.counters["resync_bytes"] == 1


def test_a_reply_is_matched_with_the_last_query() -> None:
    parser = Optris()
    parser.query_sent(QUERY_HEAD)
    assert parser.feed(sensor_frames.optris(27.5), 0.0) == []
    parser.query_sent(QUERY_TARGET)
    parser.feed(b"\x05", 0.0)
    parser.query_sent(QUERY_TARGET)  # the other half never came
    (reading,) = parser.feed(sensor_frames.optris(35.5), 0.0)
    assert (reading.object_c, reading.ambient_c) == (35.5, 27.5)

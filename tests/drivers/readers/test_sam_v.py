from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import reduce
from operator import xor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.contract import CardRead, CardReader, CardUnreadable, PartState
from drivers.errors import BadSetting
from drivers.readers import sam_v
from drivers.readers.sam_v import SamVCards, SamVReplies, SamVReply
from drivers.readers.table import make_card_reader
from drivers.simulated.devices.sam_v import FIND, READ, SELECT, SimulatedSamV, answer, card_answer
from drivers.simulated.devices.wire import PtyWire
from drivers.simulated.people import id_cards
from drivers.tools.device_protocols import PROTOCOLS
from drivers.tools.device_reader import DeviceReader
from tests.drivers.driver_bench import eventually, pieces, running, state
from tests.limits import HANG_S

NUMBER, OTHER = "999999199001010016", "999999199001010024"
TEXT = id_cards.citizen(NUMBER, until="20300101")
FRAME = card_answer(TEXT)
PHOTO = random.Random(1).randbytes(1024)


def test_the_queries() -> None:
    preamble = "AAAAAA9669"
    queries = {
        sam_v.FIND: "0003 2001 22",
        sam_v.SELECT: "0003 2002 21",
        sam_v.READ: "0003 3001 32",
        sam_v.STATUS: "0003 11FF ED",
    }
    for query, rest in queries.items():
        assert query == bytes.fromhex(preamble + rest)


@pytest.mark.parametrize(
    ("rest", "status"),
    [
        ("0008 00009F 00000000 97", 0x9F),
        ("0004 000080 84", 0x80),
        ("000C 000090 0000000000000000 9C", 0x90),
        ("0004 000081 85", 0x81),
        ("0004 000041 45", 0x41),
        ("0004 000031 35", 0x31),
        ("0004 000090 94", 0x90),
    ],
)
def test_the_replies_of_the_manuals(rest: str, status: int) -> None:
    assert SamVReplies().feed(bytes.fromhex("AAAAAA9669" + rest), 0.0) == [SamVReply(status)]


def test_the_frame_of_a_card() -> None:
    assert len(FRAME) == 1295
    assert FRAME[:14] == bytes.fromhex("AAAAAA9669 0508 000090 0100 0400")
    assert FRAME[-1] == 0xDB  # as the frame in the facts; what that one says is not known
    (reply,) = SamVReplies().feed(FRAME, 0.0)
    assert reply == SamVReply(0x90, TEXT)
    (card,) = SamVCards().feed(FRAME, 2.0)
    assert (card.number, card.taken_at_s) == (NUMBER, 2.0)


def test_a_card_with_fingerprints_is_read_as_well() -> None:
    data = bytes.fromhex("0100 0400 0400") + TEXT + bytes(2048)
    frame = answer(0x90, data)
    assert (len(frame), frame[:16]) == (2321, bytes.fromhex("AAAAAA9669 090A 000090 0100 0400 0400"))
    (card,) = SamVCards().feed(frame, 0.0)
    assert card.number == NUMBER


def test_no_answer_shows_what_the_card_says() -> None:
    assert "测" not in repr(SamVReplies().feed(FRAME, 0.0)) and "text" not in repr(SamVReplies().feed(FRAME, 0.0))


@given(st.lists(st.integers(0, 9999), max_size=12), st.binary(max_size=40))
def test_however_the_bytes_are_cut_and_whatever_came_before_the_card_is_found(cuts: list[int], noise: bytes) -> None:
    parser = SamVCards()
    stream = noise + answer(0x9F, bytes(4)) + answer(0x90, bytes(8)) + FRAME + answer(0x80)
    cards = [card for piece in pieces(stream, cuts) if piece for card in parser.feed(piece, 0.0)]
    cards += parser.feed(b"", 0.0)
    assert [card.number for card in cards] == [NUMBER]


@given(st.integers(0, len(FRAME) - 1), st.integers(1, 255))
def test_a_damaged_frame_gives_no_card_and_the_next_one_is_found(at: int, flip: int) -> None:
    damaged = bytearray(FRAME)
    damaged[at] ^= flip
    parser = SamVCards()
    other = card_answer(id_cards.citizen(OTHER))
    cards = parser.feed(bytes(damaged) + other, 0.0) + parser.feed(b"", 1.0)
    assert [card.number for card in cards] == [OTHER]
    assert parser.counters["resync_bytes"] == len(FRAME)


@given(st.integers(14, len(FRAME) - 1))
def test_a_truncated_frame_with_a_matching_checksum_does_not_consume_the_next_header(cut: int) -> None:
    following = card_answer(id_cards.citizen(OTHER), bytes(1024))
    joined = bytearray(FRAME[:cut] + following[: len(FRAME) - cut])
    joined[cut - 1] ^= reduce(xor, joined[5:])  # now it does
    cards = SamVCards().feed(bytes(joined) + following[len(FRAME) - cut :], 0.0)
    assert [card.number for card in cards] == [OTHER]


def test_an_incomplete_frame_does_not_consume_the_frame_after_a_silence() -> None:
    parser = SamVReplies()
    assert parser.feed(FRAME[:600], 0.0) == []
    assert parser.feed(b"", 0.2) == []
    assert parser.feed(answer(0x80), 0.3) == [SamVReply(0x80)]


@given(st.lists(st.one_of(st.binary(max_size=300), st.just(sam_v.PREAMBLE), st.just(b"\xaa\xaa\xaa\x96\x69\x09\x0a"))))
def test_any_bytes_are_survived_with_a_bounded_buffer(chunks: list[bytes]) -> None:
    parser = SamVReplies()
    for chunk in chunks:
        parser.feed(chunk, 0.0)
        assert len(parser._buffer) <= sam_v.LONGEST_BYTES


def test_a_card_that_cannot_be_right_is_refused() -> None:
    parser = SamVCards()
    assert parser.feed(card_answer(id_cards.citizen("999999199001010017")), 0.0) == []
    assert parser.counters["refused"] == 1


@asynccontextmanager
async def reading(folder: Path) -> AsyncIterator[tuple[CardReader, SimulatedSamV]]:
    """A reader and its simulated device."""
    reader = make_card_reader(driver="sam-v", port=str(folder / "port"))
    with PtyWire(folder / "port") as wire:
        device = SimulatedSamV(wire)
        task = asyncio.create_task(device.run())
        try:
            async with running(reader):
                yield reader, device
        finally:
            task.cancel()


async def next_card(reader: CardReader, sequence: int = 0) -> tuple[int, CardRead | CardUnreadable]:
    return await asyncio.wait_for(reader.cards.after(sequence), HANG_S)


async def wait_for_query(device: SimulatedSamV, query: bytes, times: int = 1) -> None:
    """Wait until the device received `query` `times` more times."""
    before = device.queries.count(query)
    await eventually(lambda: device.queries.count(query) >= before + times)


async def test_a_card_is_found_selected_and_read_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with reading(tmp_path) as (reader, device):
        await state(reader, PartState.OK)
        assert set(device.queries) == {FIND}
        device.present(TEXT, PHOTO)
        sequence, card = await next_card(reader)
        assert isinstance(card, CardRead)
        assert card.number == NUMBER
        await wait_for_query(device, FIND, 3)
        assert (device.queries.count(SELECT), device.queries.count(READ)) == (1, 1)
        device.present(id_cards.citizen(OTHER))
        _, card = await next_card(reader, sequence)
        assert isinstance(card, CardRead)
        assert card.number == OTHER
    assert reader.counters["cards"] == 2
    assert NUMBER not in caplog.text and "测试" not in caplog.text


async def test_a_card_left_lying_on_a_reader_that_finds_it_again_is_read_once(tmp_path: Path) -> None:
    async with reading(tmp_path) as (reader, device):
        device.finds_again = True
        device.present(TEXT)
        sequence, _ = await next_card(reader)
        await wait_for_query(device, FIND, 3)
        assert device.queries.count(READ) == 1
        device.lift()
        await wait_for_query(device, FIND, 2)
        device.present(TEXT)  # it only wavered
        await wait_for_query(device, READ)
        await wait_for_query(device, FIND)
        assert reader.cards.sequence == sequence
        assert reader.counters["repeats"] == 1


async def test_a_card_that_is_misread_is_tried_again(tmp_path: Path) -> None:
    async with reading(tmp_path) as (reader, device):
        device.misreads = 2
        device.present(TEXT)
        _, card = await next_card(reader)
        assert isinstance(card, CardRead)
        assert reader.counters["misread"] == 2


async def test_a_card_that_cannot_be_read_or_is_invalid_is_reported_once(tmp_path: Path) -> None:
    async with reading(tmp_path) as (reader, device):
        device.misreads = 1000
        device.present(TEXT)
        sequence, card = await next_card(reader)
        assert isinstance(card, CardUnreadable)
        await wait_for_query(device, READ, 2)
        assert reader.cards.sequence == sequence
        device.misreads = 0
        device.present(TEXT)
        sequence, card = await next_card(reader, sequence)
        assert isinstance(card, CardRead)


async def test_a_number_with_a_wrong_check_digit_is_an_unreadable_card(tmp_path: Path) -> None:
    async with reading(tmp_path) as (reader, device):
        device.present(id_cards.citizen("999999199001010017"))
        _, card = await next_card(reader)
        assert isinstance(card, CardUnreadable)
        assert reader.counters["malformed"] == 1


async def test_a_reader_without_a_working_security_module_is_broken(tmp_path: Path) -> None:
    async with reading(tmp_path) as (reader, device):
        device.status = 0x66
        await state(reader, PartState.BROKEN)
        assert "not authorised" in reader.health.detail
        device.status = 0x90
        await state(reader, PartState.OK)


async def test_a_reader_that_is_silent_or_unplugged_is_lost_and_heals(tmp_path: Path) -> None:
    async with reading(tmp_path) as (reader, device):
        await state(reader, PartState.OK)
        device.mute = True
        await state(reader, PartState.LOST)
        device.mute = False
        await state(reader, PartState.OK)
        device.unplug()
        await state(reader, PartState.LOST)
        device.plug()
        device.present(TEXT)
        await next_card(reader)
        assert reader.health.state is PartState.OK


def test_an_unknown_card_reader_names_the_known() -> None:
    with pytest.raises(BadSetting, match="sam-v"):
        make_card_reader(driver="nfc", port="/dev/ttyUSB0")


async def test_watching_a_reader_without_a_card_reports_ok(tmp_path: Path) -> None:
    tap = DeviceReader("sam-v", replace(PROTOCOLS["sam-v"], silence_s=0.6), str(tmp_path / "port"))
    with PtyWire(tmp_path / "port") as wire:
        reader = SimulatedSamV(wire)
        async with asyncio.TaskGroup() as tasks:
            answering = tasks.create_task(reader.run())
            async with running(tap):
                await eventually(lambda: len(reader.queries) > 4)
                assert (tap.health.state, tap.counters["opened"], tap.counters["frames"]) == (PartState.OK, 1, 0)
            answering.cancel()

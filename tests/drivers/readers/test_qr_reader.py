from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.contract import PartState
from drivers.errors import BadSetting
from drivers.readers.qr_line import CAP_BYTES, QrLineParser
from drivers.readers.repeats import RepeatFilter
from drivers.readers.table import make_reader
from drivers.simulated.devices.wire import PtyWire
from tests.drivers.driver_bench import pieces, running, state
from tests.limits import HANG_S


def texts(parser: QrLineParser, *chunks: bytes, at_s: float = 0.0) -> list[str]:
    return [code.text for chunk in chunks for code in parser.feed(chunk, at_s)]


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n", b""])
def test_a_code_ends_with_any_terminator_or_with_silence(end: bytes) -> None:
    assert texts(QrLineParser(), b"first" + end, b"", b"second" + end, b"") == ["first", "second"]


LINES = st.lists(st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), min_size=1, max_size=99), unique=True)


@given(LINES, st.sampled_from([b"\r", b"\n", b"\r\n"]), st.lists(st.integers(0, 5000), max_size=9))
def test_however_the_bytes_are_cut_the_codes_are_the_same(lines: list[str], end: bytes, cuts: list[int]) -> None:
    stream = b"".join(line.encode() + end for line in lines)
    assert texts(QrLineParser(), *pieces(stream, cuts)) == lines


def test_a_line_over_the_cap_is_dropped_up_to_its_end() -> None:
    parser = QrLineParser()
    longest = b"x" * CAP_BYTES
    assert texts(parser, longest, b"\r") == [longest.decode()]
    assert texts(parser, longest, b"y", b"still the same line", b"\rnext\r") == ["next"]
    assert parser.counters["too_long"] == 1
    assert parser.counters["resync_bytes"] == CAP_BYTES + 20


def test_bytes_that_are_not_utf_8_are_dropped_and_counted() -> None:
    parser = QrLineParser()
    assert texts(parser, b"\xff\xfe\r", b"good\r") == ["good"]
    assert parser.counters["undecodable"] == 1


def test_repeats_pass_again_after_a_while_and_others_at_once() -> None:
    parser = QrLineParser()
    shown = [(0.0, "a"), (1.0, "a"), (2.9, "a"), (3.0, "a"), (3.1, "b"), (3.2, "a")]
    passed = [(at_s, text) for at_s, text in shown if texts(parser, text.encode() + b"\r", at_s=at_s)]
    assert passed == [(0.0, "a"), (3.0, "a"), (3.1, "b"), (3.2, "a")]
    assert parser.counters["repeats"] == 2


def test_the_first_text_is_never_a_repeat() -> None:
    assert RepeatFilter(3.0).passes("", 0.0)


@given(st.lists(st.binary(max_size=300)))
def test_any_bytes_are_survived_with_a_bounded_buffer(chunks: list[bytes]) -> None:
    parser = QrLineParser()
    for chunk in chunks:
        parser.feed(chunk, 0.0)
        assert len(parser._line) <= CAP_BYTES


def test_a_code_is_not_in_its_repr() -> None:
    (code,) = QrLineParser().feed(b"999999199001010016\r", 0.0)
    assert "9999" not in repr(code)


async def test_the_reader_gives_codes_from_its_port_and_heals(tmp_path: Path) -> None:
    reader = make_reader(driver="qr-line", port=str(tmp_path / "port"))
    with PtyWire(tmp_path / "port") as wire:
        async with running(reader):
            await state(reader, PartState.OK)
            wire.write(b"ends with silence")
            sequence, code = await asyncio.wait_for(reader.codes.after(0), HANG_S)
            assert code.text == "ends with silence"
            wire.unplug()
            await state(reader, PartState.LOST)
            wire.plug()
            await state(reader, PartState.OK)
            wire.write(b"ends with a line\r\n")
            _, code = await asyncio.wait_for(reader.codes.after(sequence), HANG_S)
            assert code.text == "ends with a line"
    assert reader.counters["frames"] == 2


def test_an_unknown_reader_names_the_known() -> None:
    with pytest.raises(BadSetting, match="qr-line"):
        make_reader(driver="barcode", port="/dev/ttyACM0")

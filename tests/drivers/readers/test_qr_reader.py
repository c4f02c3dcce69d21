from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.contract import CodeRead, CodeUnreadable, PartState
from drivers.errors import BadSetting
from drivers.readers.qr_line import CAP_BYTES, QrLineParser, ScanResult
from drivers.readers.repeats import RepeatFilter
from drivers.readers.table import make_reader
from drivers.readers.wrapping import Wrapping, is_ignored, unwrap
from drivers.simulated.devices.wire import PtyWire
from tests.drivers.driver_bench import pieces, running, state
from tests.limits import HANG_S


def texts(parser: QrLineParser, *chunks: bytes, at_s: float = 0.0) -> list[str]:
    return [line.text for chunk in chunks for line in parser.feed(chunk, at_s) if line.result is ScanResult.CODE]


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n", b""])
def test_a_code_ends_with_any_terminator_or_with_silence(end: bytes) -> None:
    assert texts(QrLineParser(), b"first" + end, b"", b"second" + end, b"") == ["first", "second"]


def is_bare(line: str) -> bool:
    return unwrap(line.encode()).text == line and not is_ignored(line)


LINES = st.lists(st.text(st.characters(codec="utf-8"), min_size=4, max_size=99).filter(is_bare), unique=True)


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
    assert [line.result for line in parser.feed(longest * 2, 9.0) + parser.feed(b"", 9.0)] == [ScanResult.TOO_LONG]


def test_bytes_that_are_not_text_are_dropped_and_counted() -> None:
    parser = QrLineParser()
    assert texts(parser, b"bad\xff\xfe\x80\r", b"good\r") == ["good"]
    assert parser.counters["undecodable"] == 1


def test_repeats_pass_again_after_a_while_and_others_at_once() -> None:
    parser = QrLineParser()
    shown = [(0.0, "one a"), (1.0, "one a"), (2.9, "one a"), (3.0, "one a"), (3.1, "one b"), (3.2, "one a")]
    passed = [(at_s, text) for at_s, text in shown if texts(parser, text.encode() + b"\r", at_s=at_s)]
    assert passed == [(0.0, "one a"), (3.0, "one a"), (3.1, "one b"), (3.2, "one a")]
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
    (line,) = QrLineParser().feed(b"999999199001010016\r", 0.0)
    assert "9999" not in repr(line)


async def test_the_reader_gives_codes_from_its_port_and_heals(tmp_path: Path) -> None:
    reader = make_reader(driver="qr-line", port=str(tmp_path / "port"))
    with PtyWire(tmp_path / "port") as wire:
        async with running(reader):
            await state(reader, PartState.OK)
            wire.write(b"ends with silence")
            sequence, code = await asyncio.wait_for(reader.codes.after(0), HANG_S)
            assert isinstance(code, CodeRead) and code.text == "ends with silence"
            wire.unplug()
            await state(reader, PartState.LOST)
            wire.plug()
            await state(reader, PartState.OK)
            wire.write(b"ends with a line\r\n")
            _, code = await asyncio.wait_for(reader.codes.after(sequence), HANG_S)
            assert isinstance(code, CodeRead) and code.text == "ends with a line"
    assert reader.counters["frames"] == 2


async def test_what_cannot_be_read_is_reported_and_a_heartbeat_is_not(tmp_path: Path) -> None:
    wrapping = Wrapping(prefixes=("QR:",), ignored=("ALIVE",))
    reader = make_reader(driver="qr-line", port=str(tmp_path / "port"), wrapping=wrapping)
    with PtyWire(tmp_path / "port") as wire:
        async with running(reader):
            await state(reader, PartState.OK)
            wire.write(b"\x06\rALIVE\r\xff\x81 not text\r")
            sequence, code = await asyncio.wait_for(reader.codes.after(0), HANG_S)
            assert (sequence, type(code)) == (1, CodeUnreadable)
            wire.write(b"]Q1QR:code\r")
            _, code = await asyncio.wait_for(reader.codes.after(sequence), HANG_S)
            assert isinstance(code, CodeRead) and code.text == "code"
    assert (reader.counters["ignored"], reader.counters["undecodable"]) == (2, 1)


def test_an_unknown_reader_names_the_known() -> None:
    with pytest.raises(BadSetting, match="qr-line"):
        make_reader(driver="barcode", port="/dev/ttyACM0")

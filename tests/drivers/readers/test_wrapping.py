"""What scanners add to a code is taken off, whichever they are, and a code without it stays as it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.readers.qr_line import QrLineParser, ScannedLine, ScanResult
from drivers.readers.wrapping import LEAST_CHARACTERS, Wrapping, unwrap

CODE = "SHC1:999999199001010016:1900000000"
URL = "https://code.example.org/h?t=" + "Qz8" * 240  # 749 characters


def lines(sent: bytes, wrapping: Wrapping | None = None) -> list[ScannedLine]:
    parser = QrLineParser() if wrapping is None else QrLineParser(wrapping=wrapping)
    return [*parser.feed(sent, 0.0), *parser.feed(b"", 0.1)]


def codes(sent: bytes, wrapping: Wrapping | None = None) -> list[str]:
    return [line.text for line in lines(sent, wrapping) if line.result is ScanResult.CODE]


@pytest.mark.parametrize(
    ("sent", "names"),
    [
        (b"]Q1%s\r\n", ("CR", "]Q1")),
        (b"]d2%s\r", ("CR", "]d2")),
        (b"]C0 %s\r", ("CR", "]C0", "space")),
        (rb"\000026%s", (r"\000026",)),
        (b"]Q2\\000029%s\n", ("LF", "]Q2", r"\000029")),
        (b"\x02%s\x03", ("STX", "ETX")),
        (b"\x02]Q1%s\x03\r\n", ("STX", "ETX", "]Q1")),
        (b"\x01%s\x04", ("SOH", "EOT")),
        (b"%s\0\0\0\0\0\0", ("NUL",)),
        (b"\0%s\0\r", ("NUL", "CR")),
        (b"\xef\xbb\xbf%s\r", ("CR", "BOM")),
        (b"]Q1\xef\xbb\xbf%s\r", ("CR", "]Q1", "BOM")),
        (b"\x84\x31\x95\x33%s\xb9\xcf\r", ("CR", "BOM")),
        (b"\x06%s\r", ("ACK", "CR")),
        (b"\x06\x06\x15%s\x06", ("ACK", "NAK")),
        (b"\xff\xff%s\xff", ("FF FF", "FF")),
        (b"\t%s\t", ("TAB",)),
        (b"%s\x1d\x1e", ("GS", "RS")),
        ("\u200b%s\u3000".encode(), ("U+200B", "U+3000")),
    ],
)
def test_known_wrappings_are_taken_off_and_named(sent: bytes, names: tuple[str, ...]) -> None:
    text = CODE + "瓜" if b"\xb9\xcf" in sent else CODE
    (line,) = lines(sent.replace(b"%s", CODE.encode()))
    assert (line.result, line.text) == (ScanResult.CODE, text)
    assert line.taken_off == names
    assert CODE not in repr(line) and CODE.encode() in line.raw


def test_utf_16_with_its_mark_is_read() -> None:
    assert codes(CODE.encode("utf-16") + b"\r\0") == [CODE]
    assert codes(b"\xfe\xff" + CODE.encode("utf-16-be")) == [CODE]
    assert codes(CODE.encode("utf-16-le")) == [CODE]


def test_two_framed_codes_without_a_pause_are_two() -> None:
    assert codes(b"\x02first\x03\x02second\x03") == ["first", "second"]


def test_after_an_eci_a_doubled_backslash_is_one_and_further_eci_are_taken_off() -> None:
    assert codes(rb"]Q2\000026one\\two\000029three") == [r"one\twothree"]
    assert codes(rb"one\\two\000029three") == [r"one\\two\000029three"]
    assert codes(rb"]Q1one\\two") == [r"one\\two"]


@pytest.mark.parametrize(
    "sent", [b"\x06", b"\0\0\0\0\0\0\0\0", b"\x06\r\n", b"OK\r\n", b".", b"\xff", b"\xaa\x55", b"\x7f\x05"]
)
def test_heartbeats_and_acknowledgements_are_no_codes(sent: bytes) -> None:
    assert {line.result for line in lines(sent)} <= {ScanResult.IGNORED}


WRAPPING = Wrapping(prefixes=("QR", "QR:", "Q"), suffixes=("#", ";;"), ignored=("ALIVE", "\x02PING\x03"))


@pytest.mark.parametrize(
    "sent", ["QR:%s", "]Q1QR:%s#", "QR:]Q1%s", "%s;;#", "\x02QR:%s;;\x03", "QQR:%s", "\ufeffQR: %s # "]
)
def test_configured_texts_are_taken_off_in_any_order(sent: str) -> None:
    assert codes(sent.replace("%s", CODE).encode() + b"\r", WRAPPING) == [CODE]


def test_a_configured_text_is_taken_off_once_and_only_at_its_end() -> None:
    wrapping = Wrapping(prefixes=("9",), suffixes=("6",))
    assert codes(b"9999999199001010016" + b"6\r", wrapping) == ["999999199001010016"]
    assert codes(b"a9b6c\r", wrapping) == ["a9b6c"]


@pytest.mark.parametrize("sent", [b"ALIVE\r\n", b"PING\r", b"\x02PING\x03", b" ALIVE "])
def test_configured_lines_are_ignored(sent: bytes) -> None:
    assert [line.result for line in lines(sent, WRAPPING)] == [ScanResult.IGNORED]
    assert codes(b"ALIVE and more\r", WRAPPING) == ["ALIVE and more"]


def test_a_long_url_and_gb18030_are_codes() -> None:
    assert codes(URL.encode() + b"\r\n") == [URL]
    assert codes(("健康码" + CODE).encode("gb18030") + b"\r") == ["健康码" + CODE]
    assert codes(b"7" * 7089 + b"\r") == ["7" * 7089]


@pytest.mark.parametrize(
    ("sent", "result"),
    [
        (b"SHC1:\xff\xfe\x81", ScanResult.NOT_TEXT),
        (b"\xe9t\xe9 chaud", ScanResult.NOT_TEXT),
        (bytes(range(128, 200)), ScanResult.NOT_TEXT),
        (b"7" * 9000, ScanResult.TOO_LONG),
    ],
)
def test_what_cannot_be_a_code_is_one_unreadable_line(sent: bytes, result: ScanResult) -> None:
    assert [line.result for line in lines(sent + b"\r\n")] == [result]


@given(st.text(st.characters(codec="utf-8"), min_size=LEAST_CHARACTERS, max_size=99))
def test_taking_off_never_adds_and_leaves_ordinary_codes_alone(text: str) -> None:
    found = unwrap(text.encode()).text
    assert found is not None
    assert len(found) <= len(text)
    if text.isprintable() and text.strip() == text and text[0] not in "]\\":
        assert found == text

"""The privacy scan finds numbers in other forms: grouped, glued, escaped, encoded, compressed, as integers."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
import random
import sqlite3
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.privacy.findings import LIMITS, PersonalDataKind
from edge_agent.privacy.number_search import numbers_in
from edge_agent.privacy.packed_streams import unpack
from edge_agent.privacy.scanner import Scanner
from edge_agent.privacy.sqlite_integers import stored_integers
from tests.edge_agent.privacy.test_privacy_scan import PHONE, id_number, nobody

ID, WITH_X = id_number(), next(n for n in (id_number(serial=f"{k:03}") for k in range(99)) if n.endswith("X"))
ID_KIND, PHONE_KIND = PersonalDataKind.ID_NUMBER, PersonalDataKind.PHONE_NUMBER


def found(data: bytes) -> set[PersonalDataKind]:
    return {match.kind for match in numbers_in(data)}


def scan(data: bytes) -> Scanner:
    scanner = Scanner()
    scanner.scan_stream("x", io.BytesIO(data), nobody)
    return scanner


def grouped(number: str, by: str, *sizes: int) -> str:
    parts = []
    for size in sizes:
        parts.append(number[:size])
        number = number[size:]
    return by.join([*parts, *([number] if number else [])])


@pytest.mark.parametrize("by", [" ", "-", ".", "\u00a0", "\u3000", "\u2011", "\u2013"])
@pytest.mark.parametrize("sizes", [(6, 8, 4), (6, 4, 2, 2, 4), (3, 3, 4, 4, 4), (14, 4), (6, 12)])
def test_a_grouped_id_number_is_found(by: str, sizes: tuple[int, ...]) -> None:
    for number in (ID, WITH_X, WITH_X.lower()):
        assert found(f'"{grouped(number, by, *sizes)}"'.encode()) == {ID_KIND}


@pytest.mark.parametrize("sizes", [(3, 4, 4), (3, 8), (7, 4)])
@pytest.mark.parametrize("by", [" ", "-", ".", "\u00a0"])
def test_a_grouped_telephone_number_is_found(by: str, sizes: tuple[int, ...]) -> None:
    for before in ("", "+86", "86 ", "+86-", "n"):
        assert found(f"{before}{grouped(PHONE, by, *sizes)};".encode()) == {PHONE_KIND}


@pytest.mark.parametrize(
    "text",
    [
        f"9{ID}",
        f"{ID}0",
        f"12{ID}34",
        f"{ID}.",
        f".{ID}",
        f"1.{ID}",
        f"{ID}.2",
        f"0.{ID}",
        f"{WITH_X}{PHONE}",
        f"{ID}{ID}",
    ],
)
def test_an_id_number_glued_to_digits_or_dots_is_found(text: str) -> None:
    assert ID_KIND in found(text.encode())


@pytest.mark.parametrize(
    "text", [f"{PHONE}.", f".{PHONE}", f"2.{PHONE}", f"{PHONE}.5", f"a{PHONE}b", f"{WITH_X}.{PHONE}"]
)
def test_a_telephone_number_glued_to_dots_or_letters_is_found(text: str) -> None:
    assert PHONE_KIND in found(text.encode())


WIDE = str.maketrans("0123456789Xx", "\uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19\uff38\uff58")
ENCODINGS: dict[str, Callable[[str], bytes]] = {
    "full-width": lambda text: text.translate(WIDE).encode(),
    "full-width in GBK": lambda text: text.translate(WIDE).encode("gbk"),
    "full-width in UTF-16": lambda text: text.translate(WIDE).encode("utf-16-le"),
    "half of it full-width": lambda text: (text[:7].translate(WIDE) + text[7:]).encode(),
    "big-endian UTF-16": lambda text: text.encode("utf-16-be") + b"\0\n",
    "escaped": lambda text: "".join(f"\\u{ord(each):04x}" for each in text).encode(),
    "escaped in part": lambda text: (text[:3] + "".join(f"\\u{ord(each):04X}" for each in text[3:])).encode(),
    "escaped full-width": lambda text: json.dumps(text.translate(WIDE)).encode(),
    "escaped twice": lambda text: json.dumps("".join(f"\\u{ord(each):04x}" for each in text)).encode(),
    "as in C": lambda text: "".join(f"\\x{ord(each):02x}" for each in text).encode(),
    "as in a URL": lambda text: "".join(f"%{ord(each):02X}" for each in text).encode(),
    "as in HTML": lambda text: "".join(f"&#{ord(each)};" for each in text).encode(),
    "as in HTML, hexadecimal": lambda text: "".join(f"&#x{ord(each):x};" for each in text).encode(),
    "hexadecimal": lambda text: text.encode().hex().encode(),
    "hexadecimal, large": lambda text: text.encode().hex().upper().encode(),
    "hexadecimal of UTF-16": lambda text: text.encode("utf-16-le").hex().encode(),
    "Base64": lambda text: base64.b64encode(text.encode()),
    "Base64 for URLs": lambda text: base64.urlsafe_b64encode(f"?>~{text}".encode()),
    "Base64 of JSON": lambda text: base64.b64encode(json.dumps({"who": text, "n": 1}).encode()),
    "Base64 in lines": lambda text: base64.encodebytes(b"some words of a letter before it, and then " + text.encode()),
    "Base64 of UTF-16": lambda text: base64.b64encode(text.encode("utf-16-le")),
}


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize(("kind", "number"), [(ID_KIND, ID), (ID_KIND, WITH_X), (PHONE_KIND, PHONE)])
def test_an_encoded_number_is_found(name: str, kind: PersonalDataKind, number: str) -> None:
    encoded = ENCODINGS[name](number)
    for before, after in ((b"", b""), (b'{"x":"', b'"}\n'), (b"\xff\x00(", b")\xff")):
        matches = [match for match in numbers_in(before + encoded + after) if match.kind is kind]
        assert matches, (name, before)
        assert all(len(before) <= match.offset < len(before) + len(encoded) for match in matches)


@given(st.binary(max_size=9), st.binary(max_size=9), st.integers(0, 999))
def test_base64_is_found_at_every_alignment(before: bytes, after: bytes, serial: int) -> None:
    number = id_number(serial=f"{serial:03}")
    assert ID_KIND in found(base64.b64encode(before + b":" + number.encode() + b":" + after))


def zipped(data: bytes) -> bytes:
    with zipfile.ZipFile(packed := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("notes/a.txt", "nothing")
        archive.writestr("notes/b.txt", data)
    return packed.getvalue()


def tarred(data: bytes) -> bytes:
    with tarfile.open(fileobj=(packed := io.BytesIO()), mode="w:gz") as archive:
        entry = tarfile.TarInfo("a.txt")
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


@pytest.mark.parametrize(
    "pack",
    [
        gzip.compress,
        bz2.compress,
        lzma.compress,
        zipped,
        tarred,
        lambda data: gzip.compress(gzip.compress(data)),
        lambda data: b"before" + gzip.compress(data) + b"after",
        lambda data: gzip.compress(b"nothing") + gzip.compress(data),
        lambda data: gzip.compress(base64.b64encode(data)),
        lambda data: gzip.compress(data * 50 + random.Random(3).randbytes(9000))[:-500],  # cut off
    ],
)
def test_a_number_in_compressed_data_is_found(pack: Callable[[bytes], bytes]) -> None:
    scanner = scan(pack(b"name;number\n;" + ID.encode() + b"\n"))
    assert {each.kind for each in scanner.findings} == {ID_KIND}
    assert scanner.findings[0].place.startswith("x > ")
    assert ID not in scanner.findings[0].line()
    assert scan(pack(b"nothing to see")).is_clean


def test_what_is_too_large_to_unpack_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_agent.privacy.packed_streams.MOST_UNPACKED_BYTES", 10_000)
    for most in (9_999, 10_001):
        packed = gzip.compress(bytes(most))
        unpacked = unpack(io.BytesIO(packed), 0)
        assert unpacked is not None and len(unpacked.data) == min(most, 10_000)
        assert scan(packed).is_clean is (most < 10_000)
    deep = b"x"
    for _ in range(6):
        deep = gzip.compress(deep)
    assert not scan(deep).is_clean


@pytest.mark.parametrize("wal", [False, True])
@pytest.mark.parametrize(
    ("values", "kinds"),
    [
        ([1, int(PHONE), -5], {PHONE_KIND}),
        ([int(ID)], {ID_KIND}),
        (["text", None, 3.5, b"blob", int(f"86{PHONE}")], {PHONE_KIND}),
        ([1_648_771_200_000, 2**40, 10**17, int(ID) + 1, int(PHONE) * 10], set()),
    ],
)
def test_an_integer_in_sqlite_is_found(
    tmp_path: Path, wal: bool, values: list[object], kinds: set[PersonalDataKind]
) -> None:
    path = tmp_path / "some.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA journal_mode={'WAL' if wal else 'DELETE'}")
        database.execute("CREATE TABLE person (a, b, c, d, e)")
        row = values + [None] * (5 - len(values))
        database.executemany("INSERT INTO person VALUES (?, ?, ?, ?, ?)", [[0] * 5] * 300 + [row] + [[7] * 5] * 300)
        database.commit()
        scanner = Scanner()
        for each in sorted(tmp_path.iterdir()):
            scanner.scan_file(each, nobody)
    assert {each.kind for each in scanner.findings} == kinds


def test_a_row_number_of_sqlite_is_found(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "some.db")) as database:
        database.execute("CREATE TABLE person (phone INTEGER PRIMARY KEY, n)")
        database.execute("INSERT INTO person VALUES (?, 1)", (int(PHONE),))
        database.commit()
    scanner = Scanner()
    scanner.scan_file(tmp_path / "some.db", nobody)
    assert {each.kind for each in scanner.findings} == {PHONE_KIND}


@given(st.binary(max_size=600), st.sampled_from([b"SQLite format 3\0\x02\0", b"\x37\x7f\x06\x82....\0\0\x02\0", b""]))
def test_damaged_pages_are_survived(data: bytes, head: bytes) -> None:
    assert all(isinstance(value, int) for _, value in stored_integers(io.BytesIO(head + data)))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("E12345678", PersonalDataKind.PASSPORT),
        ("EA1234567", PersonalDataKind.PASSPORT),
        ("G12345678", PersonalDataKind.PASSPORT),
        ("D12345678", PersonalDataKind.PASSPORT),
        ("passport no. 123456789", PersonalDataKind.PASSPORT),
        ("Passport: AB1234567", PersonalDataKind.PASSPORT),
        ("护照号码：L1234567", PersonalDataKind.PASSPORT),
        ("C12345678", PersonalDataKind.PERMIT),
        ("CA1234567", PersonalDataKind.PERMIT),
        ("W12345678", PersonalDataKind.PERMIT),
        ("H12345678", PersonalDataKind.PERMIT),
        ("M1234567890", PersonalDataKind.PERMIT),
        ("台胞证 12345678", PersonalDataKind.PERMIT),
        ("居留证：USA123456789012", PersonalDataKind.PERMIT),
    ],
)
def test_passports_and_permits_are_found(text: str, kind: PersonalDataKind) -> None:
    for data in (text.encode(), b"(" + text.encode() + b")", base64.b64encode(f" {text} ".encode())):
        assert kind in found(data)


@pytest.mark.parametrize(
    "text",
    [
        "AE12345678",
        "E123456789",
        "E1234567",
        "F12345678",
        "EI1234567",
        "H123456789",
        "passport: none",
        "permit 12345",
        "0xE12345678",
    ],
)
def test_what_only_looks_like_a_passport_is_left_alone(text: str) -> None:
    assert found(text.encode()) == set()


def test_the_limits_are_stated() -> None:
    for word in ("encrypted", "pictures", "zstd", "names", "free pages"):
        assert word in " ".join(LIMITS)

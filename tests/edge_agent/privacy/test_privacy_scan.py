"""The privacy scan finds planted data anywhere, and reports nothing harmless."""

from __future__ import annotations

import io
import json
import os
import random
import sqlite3
import uuid
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import cv2
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edge_agent.privacy import scanner as scanning
from edge_agent.privacy.face_finder import make_face_finder
from edge_agent.privacy.findings import PersonalDataKind
from edge_agent.privacy.number_search import numbers_in
from edge_agent.privacy.scanner import Scanner
from edge_agent.privacy.stored_files import opened_for_agent, stored_files
from sync.contract.identity import person_key
from sync.edge.ledger.ledger import Ledger
from sync.id_number import check_digit
from sync.storage.encryption import KeyedCipher
from tests.drawn import bare_face
from tests.edge_agent.privileges.planted import AGENT, run_verb, world
from tests.sync.city import BUDGET_BYTES, COMMUNITY_KEY, alarm, passage

PHONE = "13" + 9 * "0"


def id_number(born: str = "19900101", serial: str = "001") -> str:
    """A number of an unassigned area."""
    digits = f"999999{born}{serial}"
    return digits + check_digit(digits)


def nobody(_picture: bytes) -> bool:
    return False


def kinds(data: bytes) -> list[tuple[PersonalDataKind, int]]:
    return sorted((hit.kind, hit.offset) for hit in numbers_in(data))


# Neither digits nor what may join them, nor the letters of a hash.
BESIDE = st.binary(max_size=80).filter(lambda data: not any(byte in b"0123456789abcdefABCDEF-. " for byte in data))
NUMBERS = st.one_of(
    st.integers(0, 999).map(lambda serial: (PersonalDataKind.ID_NUMBER, id_number(serial=f"{serial:03}"))),
    st.integers(0, 999).map(lambda serial: (PersonalDataKind.ID_NUMBER, id_number(serial=f"{serial:03}").lower())),
    st.integers(13_000_000_000, 13_000_000_999).map(lambda number: (PersonalDataKind.PHONE_NUMBER, str(number))),
    st.just((PersonalDataKind.PHONE_NUMBER, f"+86{PHONE}")),
    st.just((PersonalDataKind.PHONE_NUMBER, f"{PHONE[:3]} {PHONE[3:7]} {PHONE[7:]}")),
)


@given(BESIDE, NUMBERS, BESIDE, st.sampled_from(["ascii", "utf-16-le"]))
def test_a_number_is_found_between_any_bytes(
    before: bytes, number: tuple[PersonalDataKind, str], after: bytes, encoding: str
) -> None:
    kind, text = number
    assume(encoding == "ascii" or not (" " in text or "+" in text))
    planted = text.encode(encoding)
    offset = len(before) + planted.index(text.lstrip("+")[:1].encode())
    assert (kind, offset) in kinds(before + planted + after)


@pytest.mark.parametrize(
    "text",
    [
        id_number()[:17] + ("1" if id_number()[17] != "1" else "2"),  # a wrong check digit
        id_number("19901301"),  # no such month
        PHONE + "0",
        "0" + PHONE,
        "12" + 9 * "0",
        f"0.{PHONE}",
        "1648771200000",  # milliseconds since 1970
        person_key(COMMUNITY_KEY, id_number()),
        "999999900101001",  # the old form, and nothing speaks of an ID
        str(uuid.UUID(int=0xABCDEF00_0000_4000_8000_A00000000000 + int(PHONE, 16))),
        sha256(b"").hexdigest()[:20] + "a" + PHONE + "b",
    ],
)
def test_what_only_looks_like_a_number_is_left_alone(text: str) -> None:
    assert kinds(f'{{"x":"{text}"}}'.encode()) == []


@pytest.mark.parametrize("before", ["身份证：", "证件号码 ", "id_card=", "ID number: "])
def test_an_old_number_is_found_where_it_is_called_one(before: str) -> None:
    assert [kind for kind, _ in kinds(f"{before}999999900101001".encode())] == [PersonalDataKind.OLD_ID_NUMBER]


def test_hashes_and_sealed_bytes_give_no_alarm() -> None:
    dice = random.Random(5)
    keys = "".join(
        f'"{sha256(dice.randbytes(8)).hexdigest()}",{uuid.UUID(bytes=dice.randbytes(16))};' for _ in range(20_000)
    )
    assert kinds(keys.encode()) == []
    assert kinds(dice.randbytes(2_000_000)) == []


@pytest.mark.parametrize("shift", [-18, -17, -9, -1, 0, 1])
def test_nothing_is_cut_at_the_border_of_two_pieces(shift: int) -> None:
    place = scanning._STEP_BYTES + shift
    data = bytes(place) + id_number().encode() + bytes(scanning._STEP_BYTES) + PHONE.encode()
    scanner = Scanner()
    scanner.scan_stream("x", io.BytesIO(data), nobody)
    assert [(each.kind, each.offset) for each in scanner.findings] == [
        (PersonalDataKind.ID_NUMBER, place),
        (PersonalDataKind.PHONE_NUMBER, place + 18 + scanning._STEP_BYTES),
    ]
    assert scanner.size_bytes == len(data)


def portrait() -> bytes:
    """A picture of somebody."""
    return bytes(cv2.imencode(".png", bare_face())[1])


def test_a_face_is_found_inside_of_another_file_and_an_empty_place_is_not(tmp_path: Path) -> None:
    from tests.edge_agent.kiosk.stand import blank_jpeg

    (tmp_path / "mixed").write_bytes(b"\xff\xd8\xff\xe0 no picture " + blank_jpeg() + bytes(999) + portrait())
    scanner = Scanner()
    scanner.scan_file(tmp_path / "mixed", make_face_finder())
    assert [(each.kind, each.offset) for each in scanner.findings] == [
        (PersonalDataKind.FACE, (tmp_path / "mixed").stat().st_size - len(portrait()))
    ]


def test_what_was_deleted_is_found_in_the_free_pages(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA secure_delete=OFF")
        database.execute("CREATE TABLE person (number TEXT)")
        database.executemany("INSERT INTO person VALUES (?)", [(f" {id_number(serial='007')}\n",) for _ in range(500)])
        database.execute("DELETE FROM person")
        database.commit()
    scanner = Scanner()
    scanner.scan_file(path, nobody)
    assert {each.kind for each in scanner.findings} == {PersonalDataKind.ID_NUMBER}


async def test_a_ledger_in_use_is_clean(tmp_path: Path) -> None:
    async with Ledger.opened(
        tmp_path / "ledger.db", box="box-1", budget_bytes=BUDGET_BYTES, cipher=KeyedCipher(bytes(32))
    ) as outbox:
        await outbox.append_all([record for index in range(300) for record in (passage(index), alarm(index))])
        scanner = Scanner()
        for path in sorted(tmp_path.iterdir()):
            scanner.scan_file(path, nobody)
    assert scanner.is_clean
    assert scanner.files >= 3


def test_files_of_the_service_in_temporary_folders_are_looked_at(tmp_path: Path) -> None:
    data, etc, temporary = tmp_path / "data", tmp_path / "etc", tmp_path / "tmp"
    private = temporary / "systemd-private-x-edge-agent.service-y" / "tmp"
    for folder in (data, etc, private):
        folder.mkdir(parents=True)
    wanted = [data / "ledger.db", etc / "sentinel.toml", temporary / "left.txt", private / "inner.txt"]
    for path in wanted:
        path.write_text("x")
    (data / "loop").symlink_to(data)
    (temporary / "link").symlink_to("/etc/hostname")
    with opened_for_agent(etc / "sentinel.toml", [temporary]) as opened:
        found = list(stored_files(data, opened, [temporary]))
        assert sorted(path for _, path in found) == sorted(wanted)
        scanner = Scanner()
        for source, path in found:
            scanner.scan_file(path, nobody, source)
    assert (scanner.files, scanner.size_bytes, scanner.unread) == (4, 4, [])


@pytest.mark.skipif(os.geteuid() != 0, reason="another user's data need root")
def test_the_command_names_place_and_kind_and_never_the_number() -> None:
    with world() as box:
        command = ("privacy", "scan", "-c", str(box.config))
        status, clean = run_verb(box, command)
        assert (status, "No ID number" in clean) == (0, True), clean
        (box.data / "notes.txt").write_text(f"call {PHONE}, {id_number()}")
        (box.data / "face.png").write_bytes(portrait())
        for path in box.data.iterdir():
            os.chown(path, AGENT, AGENT)
        status, found = run_verb(box, command)
        assert status == 1
        for part in ("手机号码", "身份证号码", "人脸图像", "notes.txt", "face.png", "At byte 5"):
            assert part in found
        _, told = run_verb(box, (*command, "--json"))
    assert {(each["kind"], Path(each["place"]).name, each["offset"]) for each in json.loads(told)["findings"]} == {
        ("phone_number", "notes.txt", 5),
        ("id_number", "notes.txt", 18),
        ("face", "face.png", 0),
    }
    for output in (found, told):
        assert PHONE not in output
        assert id_number() not in output


def test_what_cannot_be_read_is_not_called_clean(tmp_path: Path) -> None:
    scanner = Scanner()
    scanner.scan_file(tmp_path, nobody)
    assert (scanner.is_clean, len(scanner.unread)) == (False, 1)
    scanner = Scanner()
    scanner.scan_file(tmp_path / "gone", nobody)
    assert scanner.is_clean

"""After thousands of passages no personal number is in any file, free page, log or packet."""

from __future__ import annotations

import base64
import csv
import hashlib
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random

import msgspec
import pytest

from drivers.contract import CodeRead
from drivers.readers.health_code import make_code_provider
from drivers.readers.id_card import read_card
from drivers.simulated.people import id_cards
from edge_agent.domain.passage import Credential, CredentialProblem
from edge_agent.passage.credentials import credential_from, credential_of_card
from sync.contract.identity import person_key
from sync.contract.records import encode_record
from sync.id_number import check_digit
from sync.mqtt.events import decode_event
from tests.edge_agent.clocks import moment
from tests.faults.needles import Needles
from tests.faults.proxy import FaultProxy
from tests.faults.scale import ROUNDS
from tests.sync.city import (
    COMMUNITY_KEY,
    Box,
    Mosquitto,
    a_box,
    a_platform,
    alarm,
    eventually,
    link_settings,
    passage,
)
from tests.sync.test_city_link import eavesdropping

PEOPLE = 300 if ROUNDS == 1 else 5000
PROVIDER = make_code_provider(["simulated", "document-number"])
NOW = moment(datetime(2022, 4, 1, tzinfo=UTC))
log = logging.getLogger(__name__)


def id_numbers(count: int, dice: Random) -> list[str]:
    """Numbers with an unassigned area code and correct check digits."""
    made = set()
    while len(made) < count:
        day = date.fromordinal(dice.randrange(date(1940, 1, 1).toordinal(), date(2015, 1, 1).toordinal()))
        body = f"999999{day:%Y%m%d}{dice.randrange(1000):03d}"
        made.add(body + check_digit(body))
    return sorted(made)


def telephone_numbers(count: int, dice: Random) -> list[str]:
    """Eleven digits of a range that is not assigned to any operator."""
    return [f"100{number:08d}" for number in dice.sample(range(10**8), count)]


def credential(number: str, way: int) -> Credential:
    """The credential that a reader reports for `number`: a code, a bare number or a card."""
    if way == 0:
        card = read_card(id_cards.citizen(number), 0.0)
        return credential_of_card(card, COMMUNITY_KEY, NOW)
    text = number if way == 1 else f"SHC1:{number}:{int(time.time()) + 3600}"
    code = CodeRead(text, 0.0)
    log.debug("%r", code)
    found = credential_from(code, PROVIDER, COMMUNITY_KEY, NOW)
    assert found is not None
    return found


def write_directory(path: Path, known: list[str]) -> None:
    """A directory file with some invalid lines, which error messages must not quote."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["number", "colour", "as_of", "lists"])
        for place, number in enumerate(known):
            writer.writerow([number, "green", "2022-04-01T08:00:00+08:00", ""])
            if place % 10 == 0:
                spoilt = [["", number, number, number], [number, "green", number, ""], [number, number, ""], [number]]
                writer.writerows([*spoilt, [f"9{number}", "green", "2022-04-01T08:00:00+08:00", f"white;{number}"]])


@contextmanager
def everything_logged(path: Path) -> Iterator[None]:
    """Log everything at DEBUG level to a file."""
    handler, root = logging.FileHandler(path), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        handler.close()


async def pass_the_gate(box: Box, place: int, who: Credential) -> None:
    """Look up, decide and commit, as the passage loop does."""
    log.debug("%r", who)
    assert who.person_key is not None
    found = await box.directory.lookup(who.person_key, budget_s=10)
    log.debug("%r", found)
    record = msgspec.structs.replace(passage(place), person_key=who.person_key)
    log.debug("%r", encode_record(record))
    await box.ledger.append_all([record, alarm(place)] if place % 20 == 0 else [record])


async def test_no_personal_number_is_stored_or_sent(tmp_path: Path, broker: Mosquitto) -> None:
    dice = Random(3)
    numbers, telephones = id_numbers(PEOPLE, dice), telephone_numbers(PEOPLE, dice)
    # Half of the people are in the directory; the platform is queried for the others and does not know them.
    write_directory(tmp_path / "city.csv", [*numbers[::2], *telephones[::2]])
    searched = tmp_path / "searched"
    searched.mkdir()
    with everything_logged(searched / "all.log"):
        async with (
            FaultProxy.to(broker.port) as proxy,
            eavesdropping(broker) as heard,
            a_platform(
                searched / "platform",
                f"mqtt://127.0.0.1:{proxy.port}",
                directory=tmp_path / "city.csv",
                community_key=COMMUNITY_KEY,
            ),
            a_box(searched / "box", link_settings(f"mqtt://127.0.0.1:{proxy.port}")) as box,
        ):
            await eventually(lambda: holds_a_directory(box))
            for place, number in enumerate(numbers):
                await pass_the_gate(box, place, credential(number, place % 3))
                spoilt = CodeRead(f"SHC1:{number[:-1]}A:{number}", 0.0)
                refused = credential_from(spoilt, PROVIDER, COMMUNITY_KEY, NOW)
                assert refused is not None and refused.problem is CredentialProblem.UNREADABLE
            for telephone in telephones:
                assert credential_from(CodeRead(telephone, 0.0), PROVIDER, COMMUNITY_KEY, NOW) is None
                await box.directory.lookup(person_key(COMMUNITY_KEY, telephone), budget_s=10)
            await eventually(box.all_acknowledged)
        traffic = [bytes(each) for each in proxy.seen]
        spoken = [repr((each.topic, each.properties)).encode() + decode_event(each).body for each in heard]
    needles = Needles([*numbers, *telephones])
    files = {str(path): path.read_bytes() for path in searched.rglob("*") if path.is_file()}
    files |= {f"{path} of the broker": path.read_bytes() for path in (tmp_path / "mosquitto").iterdir()}
    assert any(name.endswith("records.db") for name in files)
    assert sum(map(len, traffic)) > PEOPLE * 500
    for name, content in {**files, "packets": b"".join(traffic), "messages": b"".join(spoken)}.items():
        assert needles.found(content) == set(), name


async def holds_a_directory(box: Box) -> bool:
    return box.directory.cursor == PEOPLE


NUMBER = id_numbers(1, Random(1))[0]


@pytest.mark.parametrize(
    ("planted", "form"),
    [
        (NUMBER.encode(), "plain"),
        (NUMBER.encode("utf-16-le"), "plain in UTF-16"),
        (hashlib.md5(NUMBER.encode(), usedforsecurity=False).digest(), "md5"),
        (hashlib.sha1(NUMBER.encode(), usedforsecurity=False).hexdigest().encode(), "sha1 in hex"),
        (hashlib.sha256(NUMBER.encode()).hexdigest().upper().encode(), "sha256 in upper hex"),
        (base64.b64encode(hashlib.sha256(NUMBER.encode()).digest()), "sha256 in base64"),
    ],
)
@pytest.mark.parametrize("offset", [0, 1, 4_194_299, 4_194_304])
def test_planted_numbers_are_found(planted: bytes, form: str, offset: int) -> None:
    needles = Needles([*id_numbers(50, Random(2)), NUMBER])
    assert f"{NUMBER} {form}" in needles.found(bytes(offset) + planted + b"behind")
    assert needles.found(bytes(offset) + planted[:-2] + b"!!") == set()


@pytest.mark.parametrize("keep_open", [True, False])
def test_numbers_in_deleted_rows_are_found(tmp_path: Path, keep_open: bool) -> None:
    """In a free page, or in the write-ahead log."""
    database = sqlite3.connect(tmp_path / "some.db", isolation_level=None)
    close: Callable[[], None] = database.close
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("CREATE TABLE person (number TEXT)")
    database.execute("PRAGMA secure_delete=OFF")
    database.executemany("INSERT INTO person VALUES (?)", [("somebody",), (NUMBER,)])
    database.execute("DELETE FROM person WHERE number = ?", (NUMBER,))
    if not keep_open:
        close()
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    close()
    assert Needles([NUMBER]).found(content) == {f"{NUMBER} plain"}

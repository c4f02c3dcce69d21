"""What readers give becomes a credential, once, and nothing but its key is kept."""

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from config.settings import ArrivalSettings, ThermometerSettings
from drivers.contract import CardUnreadable, CodeRead, CodeUnreadable, PartHealth, PartState
from drivers.latest import Latest
from drivers.readers.health_code import make_code_provider
from drivers.readers.id_card import read_card
from drivers.simulated.people import id_cards
from edge_agent.domain.passage import AgeGroup, Credential, CredentialKind, CredentialProblem
from edge_agent.passage.credentials import CredentialDeduplicator, credential_from, credential_of_card, feed_codes
from edge_agent.passage.person_tracker import PersonTracker
from sync.contract.identity import person_key
from tests.edge_agent.clocks import moment

KEY = bytes(range(32))
NUMBER = "999999199001010016"
CARD = replace(read_card(id_cards.citizen(NUMBER), 5.0), valid_until=date(2030, 1, 1))
NOW = moment(datetime(2022, 1, 1, tzinfo=UTC))
PROVIDER = make_code_provider(["simulated", "document-number"])


def test_a_card_is_valid_from_its_first_midnight_to_its_last() -> None:
    credential = credential_of_card(CARD, KEY, NOW)
    assert (credential.kind, credential.presented_at_s, credential.problem) == (CredentialKind.CARD, 5.0, None)
    assert (credential.person_key, credential.age) == (person_key(KEY, NUMBER), AgeGroup.ADULT)
    assert credential.valid_from is not None and credential.valid_until is not None
    local = datetime.now().astimezone().tzinfo
    assert credential.valid_from == datetime(2020, 1, 1, tzinfo=local)
    assert timedelta() < datetime(2030, 1, 2, tzinfo=local) - credential.valid_until < timedelta(seconds=1)
    assert credential_of_card(replace(CARD, valid_until=None), KEY, NOW).valid_until is None
    assert NUMBER not in repr(credential)


@pytest.mark.parametrize("last_day", [date.min, date(9999, 12, 31)])
def test_a_card_may_end_on_any_day_of_the_calendar(last_day: date) -> None:
    credential = credential_of_card(replace(CARD, valid_until=last_day), KEY, NOW)
    assert credential.valid_until is not None and credential.valid_until.date() == last_day


def test_an_unreadable_card_identifies_nobody() -> None:
    credential = credential_of_card(CardUnreadable(5.0), KEY, NOW)
    assert (credential.problem, credential.person_key) == (CredentialProblem.UNREADABLE, None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (NUMBER, None),
        (f"SHC1:{NUMBER}:1", None),
        (f"SHC1:{NUMBER}:99999999999", None),
        (f"SHC1:{NUMBER}", CredentialProblem.UNREADABLE),
    ],
)
def test_a_code_of_a_provider_is_a_credential_good_or_bad(text: str, problem: CredentialProblem | None) -> None:
    credential = credential_from(CodeRead(text, 5.0), PROVIDER, KEY, NOW)
    assert credential is not None
    assert credential.problem is problem
    assert (credential.age is None) is (problem is not None)


ADULT_ON = datetime(2008, 1, 1, 12, tzinfo=UTC)  # the 18th birthday of the person with NUMBER
DAY_S = 86_400.0


@pytest.mark.parametrize(
    ("wall", "error_s", "age"),
    [
        (ADULT_ON + timedelta(days=3), DAY_S, AgeGroup.ADULT),
        (ADULT_ON - timedelta(days=3), DAY_S, AgeGroup.CHILD),
        (ADULT_ON, 3 * DAY_S, None),
        (ADULT_ON - timedelta(days=2), 4 * DAY_S, None),
        (datetime(1970, 1, 1, tzinfo=UTC), None, None),
        (datetime(2031, 1, 1, tzinfo=UTC), None, None),
        (datetime(2031, 1, 1, tzinfo=UTC), DAY_S, AgeGroup.ADULT),
        (datetime(2053, 1, 1, tzinfo=UTC), DAY_S, AgeGroup.ELDER),
    ],
)
def test_a_clock_that_leaves_two_ages_open_says_neither(
    wall: datetime, error_s: float | None, age: AgeGroup | None
) -> None:
    now = moment(wall, in_sync=False, error_s=error_s)
    assert credential_of_card(CARD, KEY, now).age is age
    code = credential_from(CodeRead(NUMBER, 5.0), PROVIDER, KEY, now)
    assert code is not None and code.age is age


class Codes:
    """A code reader without a wire."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.health = PartHealth(PartState.OK, 0.0)
        self.counters: dict[str, int] = {}
        self.codes: Latest[CodeRead | CodeUnreadable] = Latest()

    async def run(self) -> None:
        await asyncio.Event().wait()


@pytest.mark.parametrize("code", [CodeRead("a poster on the wall", 5.0), CodeUnreadable(5.0)])
@pytest.mark.parametrize(("held_up", "problem"), [(True, CredentialProblem.UNREADABLE), (False, None)])
async def test_a_poster_seen_by_the_camera_is_nobodys(
    code: CodeRead | CodeUnreadable, held_up: bool, problem: CredentialProblem | None
) -> None:
    reader, presence = Codes("reader"), PersonTracker(ArrivalSettings(), ThermometerSettings())
    feeding = asyncio.create_task(
        feed_codes(reader, PROVIDER, KEY, CredentialDeduplicator(presence), lambda: NOW, held_up=held_up)
    )
    await asyncio.sleep(0)
    reader.codes.put(code)
    for _ in range(3):
        await asyncio.sleep(0)
    shown = presence.credential
    assert (shown.problem if shown else None) is problem
    feeding.cancel()


def test_the_same_person_from_two_readers_is_shown_once_and_from_one_as_often_as_it_says() -> None:
    shown: list[float] = []

    class Counting(PersonTracker):
        def add_credential(self, credential: Credential) -> None:
            shown.append(credential.presented_at_s)

    reception = CredentialDeduplicator(Counting(ArrivalSettings(), ThermometerSettings()))

    def take(at_s: float, reader: str, key: str | None = "key") -> None:
        problem = None if key else CredentialProblem.UNREADABLE
        reception.add(Credential(CredentialKind.CODE, at_s, key, problem), reader)

    take(1.0, "reader")
    take(1.4, "camera")  # saw the same code
    take(2.0, "reader")  # the scanner's own filter let it pass: on purpose
    take(2.5, "card_reader", "other")
    take(3.0, "camera", None)
    take(3.1, "reader", None)
    take(9.0, "camera")
    assert shown == [1.0, 2.0, 2.5, 3.0, 3.1, 9.0]

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.contract import CardKind
from drivers.readers.errors import CodeMalformed
from drivers.readers.id_card import TEXT_BYTES, read_card
from drivers.simulated.people import id_cards
from drivers.simulated.people.residents import document_number

NUMBER = "999999199001010016"
TEXT = id_cards.citizen(NUMBER)
KINDS = [
    (TEXT, CardKind.CITIZEN),
    (id_cards.permit("810000190001010018"), CardKind.PERMIT),
    (id_cards.foreigner_2017(), CardKind.FOREIGNER),
    (id_cards.foreigner_2023(), CardKind.FOREIGNER),
]


def patched(text: bytes, at: int, value: str) -> bytes:
    """`text` with `value` written over it from byte `at`."""
    data = value.encode("utf-16le")
    return text[:at] + data + text[at + len(data) :]


def test_a_citizens_card() -> None:
    card = read_card(TEXT, 1.0)
    assert (card.kind, card.name, card.sex, card.nation) == (CardKind.CITIZEN, "测试", "male", "01")
    assert (card.number, card.birth) == (NUMBER, date(1990, 1, 1))
    assert (card.address, card.authority) == ("测试省测试市", "测试机关")
    assert (card.valid_from, card.valid_until, card.taken_at_s) == (date(2020, 1, 1), None, 1.0)


def test_a_permit() -> None:
    card = read_card(id_cards.permit("820000190001010028"), 0.0)
    assert (card.kind, card.name, card.sex, card.nation) == (CardKind.PERMIT, "測試", "female", "")
    assert (card.number, card.pass_number) == ("820000190001010028", "H00000000")
    assert card.valid_until == date(2030, 1, 1)


def test_a_foreigners_card_of_2017() -> None:
    card = read_card(id_cards.foreigner_2017(), 0.0)
    assert (card.kind, card.english_name, card.name) == (CardKind.FOREIGNER, "TEST, CARD", "测试")
    assert (card.number, card.nationality, card.birth) == ("ZZZ999990010100", "ZZZ", date(1990, 1, 1))
    assert (card.valid_from, card.valid_until) == (date(2018, 1, 1), date(2028, 1, 1))


@pytest.mark.parametrize("length", [10, 34, 35, 36, 46])
def test_a_foreigners_card_of_2023_joins_a_long_name(length: int) -> None:
    name = ("TEST " * 10)[: length - 1] + "X"
    card = read_card(id_cards.foreigner_2023(english_name=name), 0.0)
    assert (card.kind, card.english_name, card.number) == (CardKind.FOREIGNER, name, NUMBER)
    assert card.valid_until == date(2033, 12, 1)


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (30, "3"),  # sex
        (36, "19900230"),  # birth
        (36, "1990010 "),
        (122, "999999199001010017"),  # check digit
        (122, "999999199013010016"),
        (188, "00000101"),
        (204, "长久"),
        (248, "Q"),  # a kind that nobody has described
        (0, "\udc00"),
    ],
)
def test_an_invalid_field_is_refused_without_its_value(at: int, value: str) -> None:
    data = value.encode("utf-16le", "surrogatepass")
    with pytest.raises(CodeMalformed) as refused:
        read_card(TEXT[:at] + data + TEXT[at + len(data) :], 0.0)
    assert value not in str(refused.value)


def test_a_lower_case_x_and_zero_padding_are_accepted() -> None:
    number = next(number for order in range(1, 30) if (number := document_number(date(1990, 1, 1), order))[-1] == "X")
    text = id_cards.citizen(number.lower()).replace(" ".encode("utf-16le"), b"\0\0")
    assert read_card(text, 0.0).number == number


@pytest.mark.parametrize(("text", "kind"), KINDS)
def test_no_card_is_in_its_repr(text: bytes, kind: CardKind) -> None:
    card = read_card(text, 0.0)
    assert card.kind is kind
    assert not any(part in repr(card) for part in (card.number, card.name, "1990", card.address or "-"))


@given(st.integers(1, 999), st.dates(date(1900, 1, 1), date(2022, 1, 1)), st.sampled_from(["01", "56", "97", "98"]))
def test_what_is_written_on_a_card_is_read(order: int, birth: date, nation: str) -> None:
    number = document_number(birth, order)
    card = read_card(id_cards.citizen(number, nation=nation, sex="2" if order % 2 else "1"), 0.0)
    assert (card.number, card.birth, card.nation) == (number, birth, nation)


@given(st.sampled_from([text for text, _ in KINDS]), st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255))))
def test_any_text_is_a_card_or_refused(text: bytes, changes: list[tuple[int, int]]) -> None:
    mutated = bytearray(text)
    for at, value in changes:
        mutated[at] = value
    try:
        card = read_card(bytes(mutated), 0.0)
    except CodeMalformed:
        return
    assert card.number.isascii() and len(card.number) in (15, 18)


@given(st.binary(max_size=TEXT_BYTES + 2))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(CodeMalformed):
        read_card(data, 0.0)

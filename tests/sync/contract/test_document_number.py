"""Which document numbers are accepted from people, and that no reason repeats a number."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.readers.errors import CodeMalformed
from drivers.readers.id_number import normalised_id_number
from sync.contract.identity import birth_date, checked_number, is_zeroed
from sync.id_number import InvalidNumber, check_digit

VALID = "99999919900101018X"
BIRTHDAYS = st.dates(date(1880, 1, 1), date(2030, 1, 1))


@st.composite
def id_numbers(draw: st.DrawFn) -> str:
    digits = f"999999{draw(BIRTHDAYS):%Y%m%d}{draw(st.integers(0, 999)):03d}"
    return digits + check_digit(digits)


@pytest.mark.parametrize(
    ("typed", "number"),
    [
        (VALID, VALID),
        (f" {VALID[:6]} {VALID[6:14]}\t{VALID[14:].lower()}\n", VALID),
        ("".join(chr(ord(each) + 0xFEE0) for each in VALID), VALID),  # full width
        (f"{VALID[:9]}\u3000{VALID[9:]}", VALID),
        ("e12345678", "E12345678"),
        ("H1234567801", "H1234567801"),
        ("01234567", "01234567"),
        ("12AB34567", "12AB34567"),
        ("12E456789", "12E456789"),
        ("usa110000123456", "USA110000123456"),
    ],
)
def test_numbers_are_read_as_people_type_them(typed: str, number: str) -> None:
    assert checked_number(typed) == number
    assert birth_date(number) == (date(1990, 1, 1) if number == VALID else None)


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("", "missing"),
        (" \u3000", "missing"),
        (VALID[:-1] + "1", "the check digit is wrong"),
        (VALID[:-3] + "000", "the last three digits are 000"),
        ("999999199013010010", "the date of birth does not exist"),
        ("999999179001010010", "the date of birth is too early"),
        ("999999900101018", "15 digits"),
        ("16000000000", "11 digits"),
        ("9.99999E+17", "scientific notation"),
        ("1E+18", "scientific notation"),
        (VALID[:-1], "neither"),
        (VALID[1:], "neither"),
        (VALID + "X", "neither"),
        ("0" + VALID[1:], "neither"),
        (f"I{VALID[1:]}", "neither"),
        (VALID.replace("1990", "199O"), "neither"),
        (f"{VALID[:6]}-{VALID[6:]}", "neither"),
        (f"'{VALID}", "neither"),
        ("12345", "neither"),
        ("ZHANGSAN", "neither"),
        ("123456789012", "neither"),
    ],
)
def test_another_text_is_refused_and_not_repeated(typed: str, reason: str) -> None:
    with pytest.raises(InvalidNumber, match=reason) as refused:
        checked_number(typed)
    assert not typed.strip() or typed not in str(refused.value)


@given(id_numbers(), st.integers(0, 17), st.sampled_from("0123456789"))
def test_no_slip_of_one_digit_is_accepted(number: str, place: int, digit: str) -> None:
    assert checked_number(number) == number
    if number[place] != digit:
        with pytest.raises(InvalidNumber):
            checked_number(number[:place] + digit + number[place + 1 :])


@given(id_numbers(), st.integers(0, 16))
def test_no_two_digits_change_places(number: str, place: int) -> None:
    turned = number[:place] + number[place + 1] + number[place] + number[place + 2 :]
    if turned != number:
        with pytest.raises(InvalidNumber):
            checked_number(turned)


@given(id_numbers() | st.from_regex("[1-9][0-9]{16}[0-9X]", fullmatch=True))
def test_what_people_type_and_what_readers_read_is_judged_alike(number: str) -> None:
    try:
        read = normalised_id_number(number)
    except CodeMalformed:
        with pytest.raises(InvalidNumber):
            checked_number(number)
    else:
        assert checked_number(number) == read


@given(id_numbers())
def test_zeroed_numbers_are_noticed_even_with_a_right_check_digit(number: str) -> None:
    assert is_zeroed(number) == number.endswith("000")

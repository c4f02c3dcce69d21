from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import BadSetting
from drivers.readers.errors import CodeError, CodeMalformed, CodeUnknown
from drivers.readers.health_code import CodeKind, make_code_provider
from drivers.readers.id_number import normalised_id_number
from sync.id_number import check_digit

NOBODY = "999999199001010016"
parse = make_code_provider(["simulated", "document-number"])


@pytest.mark.parametrize(
    "number",
    [
        "11010519491231002X",
        "440524188001010014",
        NOBODY,
        "999999199001010024",
        "810000190001010018",
        "820000190001010028",
        "830000190001010038",
    ],
)
def test_valid_numbers(number: str) -> None:
    assert normalised_id_number(number) == number
    assert check_digit(number[:17]) == number[17]


def test_a_lower_case_x_is_the_same_number() -> None:
    assert normalised_id_number("11010519491231002x") == "11010519491231002X"


@pytest.mark.parametrize(
    ("number", "why"),
    [
        ("999999199001010017", "check digit"),
        ("999999199002300015", "date of birth"),
        ("999999170001010016", "date of birth"),
        ("99999919900101001", "17 digits"),
        ("９９９９９９199001010016", "17 digits"),
    ],
)
def test_wrong_numbers_are_refused_without_repeating_them(number: str, why: str) -> None:
    with pytest.raises(CodeMalformed, match=why) as caught:
        normalised_id_number(number)
    assert number not in str(caught.value)


def test_a_bare_number_is_a_card() -> None:
    credential = parse(f" {NOBODY}\t")
    assert (credential.kind, credential.number, credential.expires_at_s) == (CodeKind.CARD, NOBODY, None)
    assert NOBODY not in repr(credential)


def test_a_simulated_code_carries_its_expiry() -> None:
    credential = parse(f"SHC1:{NOBODY}:1700000000")
    assert (credential.kind, credential.number) == (CodeKind.CODE, NOBODY)
    assert credential.expires_at_s == 1_700_000_000


@pytest.mark.parametrize(
    "text",
    [
        f"SHC1:{NOBODY}",
        f"SHC1:{NOBODY}:",
        f"SHC1:{NOBODY}:-1",
        f"SHC1:{NOBODY}:1:2",
        f"SHC1:{NOBODY}:{'9' * 12}",
        f"SHC1:{NOBODY}:²",
        "SHC1:999999199001010017:1700000000",
        "SHC1::1700000000",
        "999999199001010017",
    ],
)
def test_damaged_codes_are_malformed(text: str) -> None:
    with pytest.raises(CodeMalformed):
        parse(text)


@pytest.mark.parametrize("text", ["", "hello", "https://example.org/999999199001010016", "SHC2:1:2", "12345"])
def test_other_texts_are_unknown(text: str) -> None:
    with pytest.raises(CodeUnknown):
        parse(text)


@given(st.text() | st.text().map("SHC1:".__add__) | st.text("0123456789Xx:", max_size=40).map("SHC1:".__add__))
def test_any_text_is_a_credential_or_a_code_error(text: str) -> None:
    try:
        credential = parse(text)
    except CodeError:
        return
    assert normalised_id_number(credential.number) == credential.number


@pytest.mark.parametrize("names", [[], ["simulated", "national"]])
def test_unknown_providers_are_refused(names: list[str]) -> None:
    with pytest.raises(BadSetting, match="document-number, simulated"):
        make_code_provider(names)

"""Synthetic texts of identity cards (256 bytes) with numbers of an unassigned area, which belong to no real person."""

from __future__ import annotations

TEXT_BYTES = 256


def citizen(number: str, *, name: str = "测试", sex: str = "1", until: str = "长期", nation: str = "01") -> bytes:
    """A citizen's card."""
    return _joined((name, 30), (sex, 2), (nation, 4), *_middle(number, until), ("", 36))


def permit(number: str, *, name: str = "測試", until: str = "20300101") -> bytes:
    """A residence permit of a person from Hong Kong, Macau or Taiwan."""
    end = (("H00000000", 18), ("01", 4), ("", 6), ("J", 2), ("", 6))
    return _joined((name, 30), ("2", 2), ("", 4), *_middle(number, until), *end)


def foreigner_2017(number: str = "ZZZ999990010100", *, english_name: str = "TEST, CARD", name: str = "测试") -> bytes:
    """A foreigner's permanent residence card of 2017."""
    return _joined(
        (english_name, 120),
        ("1", 2),
        (number, 30),
        ("ZZZ", 6),
        (name, 30),
        ("20180101", 16),
        ("20280101", 16),
        ("19900101", 16),
        ("01", 4),
        ("1500", 8),
        ("I", 2),
        ("", 6),
    )


def foreigner_2023(
    number: str = "999999199001010016", *, english_name: str = "TEST, CARD", name: str = "测试"
) -> bytes:
    """A foreigner's permanent residence card of 2023; a long English name continues in a second field."""
    return _joined(
        (name, 30),
        ("1", 2),
        ("00", 4),
        ("19900101", 16),
        (english_name[:35], 70),
        (number, 36),
        ("", 30),
        ("20231201", 16),
        ("20331201", 16),
        (english_name[35:], 22),
        ("ZZZ", 6),
        ("Y", 2),
        ("", 6),
    )


def _middle(number: str, until: str) -> tuple[tuple[str, int], ...]:
    """The fields from birth to end of validity, the same in citizens' cards and permits."""
    return (
        (number[6:14], 16),
        ("测试省测试市", 70),
        (number, 36),
        ("测试机关", 30),
        ("20200101", 16),
        (until, 16),
    )


def _joined(*fields: tuple[str, int]) -> bytes:
    text = b"".join(_field(value, width) for value, width in fields)
    if len(text) != TEXT_BYTES:
        raise ValueError(f"a card's text has {TEXT_BYTES} bytes, not {len(text)}")
    return text


def _field(value: str, width: int) -> bytes:
    data = value.encode("utf-16le")
    if len(data) > width:
        raise ValueError(f"{len(data)} bytes do not fit into a field of {width}")
    return data + " ".encode("utf-16le") * ((width - len(data)) // 2)

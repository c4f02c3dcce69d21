"""Text that people write by hand, as their editors save it."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.storage.text_file import NotText, decode_text, read_hex_key, read_text_file

SAVED_AS = ("utf-8", "utf-8-sig", "utf-16", "utf-32")  # Notepad, Notepad "with BOM", Notepad "Unicode"
WRITTEN = st.text(st.characters(exclude_characters="\0\ufeff", exclude_categories=("Cs",)))


@given(text=WRITTEN, encoding=st.sampled_from(SAVED_AS))
def test_text_is_read_as_it_was_written(text: str, encoding: str) -> None:
    assert decode_text(text.encode(encoding)) == text


@pytest.mark.parametrize(
    "content",
    [
        codecs.BOM_UTF16_BE + "district = 1".encode("utf-16-be"),
        codecs.BOM_UTF32_BE + "district = 1".encode("utf-32-be"),
        codecs.BOM_UTF8 * 2 + b"district = 1",
    ],
    ids=["big-endian UTF-16", "big-endian UTF-32", "two marks"],
)
def test_other_marks_are_removed(content: bytes) -> None:
    assert decode_text(content) == "district = 1"


@pytest.mark.parametrize(
    "content",
    ["东门".encode("gb18030"), "East".encode("utf-16-le"), codecs.BOM_UTF16_LE + b"odd", b"\xff\xfe\x00\xd8"],
    ids=["GB18030", "UTF-16 without a mark", "half a character", "half a pair"],
)
def test_other_content_is_refused_with_what_to_do(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "answers.toml").write_bytes(content)
    with pytest.raises(NotText, match=r"answers\.toml.*Save it as UTF-8") as caught:
        read_text_file(tmp_path / "answers.toml")
    assert "East" not in str(caught.value)


@pytest.mark.parametrize("encoding", SAVED_AS)
def test_a_key_may_be_saved_by_any_editor(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "community.key").write_bytes(f"{'ab' * 32}\r\n".encode(encoding))
    assert read_hex_key(tmp_path / "community.key") == b"\xab" * 32

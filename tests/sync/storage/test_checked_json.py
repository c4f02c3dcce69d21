"""A JSON file with a checksum: no flipped bit and no cut changes what is read."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.errors import DamagedFile
from sync.storage.checked_json import decode_checked, encode_checked

VALUE = {"fever_c": 37.3, "by": "一", "limits": [1, 2, {"deep": None}]}
PLAIN = dict[str, object]


def flipped(content: bytes, bit: int) -> bytes:
    """`content` with one bit changed."""
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@given(
    st.dictionaries(st.text(), st.text() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()),
    st.sampled_from([0, 2]),
)
def test_what_is_written_is_read(value: PLAIN, indent: int) -> None:
    assert decode_checked(encode_checked(value, indent=indent), PLAIN) == value


@pytest.mark.parametrize("ending", [b"", b"\n"])
def test_a_file_of_an_older_version_is_read(ending: bytes) -> None:
    body = msgspec.json.encode(VALUE)
    assert decode_checked(body + ending, PLAIN) == VALUE
    assert decode_checked(msgspec.json.format(body, indent=2) + ending, PLAIN) == VALUE


@pytest.mark.parametrize("indent", [0, 2])
def test_every_flipped_bit_is_noticed(indent: int) -> None:
    content = encode_checked(VALUE, indent=indent)
    for bit in range(8 * len(content)):
        try:
            read = decode_checked(flipped(content, bit), PLAIN)
        except DamagedFile:
            continue
        assert read == VALUE and bit >= 8 * (len(content) - 1), bit  # the last line end alone says nothing


@pytest.mark.parametrize("indent", [0, 2])
def test_a_cut_file_is_noticed_unless_it_is_whole(indent: int) -> None:
    content = encode_checked(VALUE, indent=indent)
    for length in range(len(content)):
        try:
            assert decode_checked(content[:length], PLAIN) == VALUE
        except DamagedFile:
            continue
        assert length >= content.rindex(b"\n", 0, -1)


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff", b'{"a": "\xff"}', b"[]", b"sha256 \n", bytes(100)])
def test_what_is_no_such_file_is_damaged(content: bytes) -> None:
    with pytest.raises(DamagedFile):
        decode_checked(content, PLAIN)

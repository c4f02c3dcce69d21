"""Topics, messages and envelopes: round trips, and rejection of everything else."""

from __future__ import annotations

import zlib
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync.contract.channels import MESSAGE_TYPES
from sync.contract.checksum import EMPTY, update_checksum
from sync.contract.decoding import decoded
from sync.contract.envelope import CONTENT_TYPE, Event
from sync.contract.health import HealthStatus, LookupOutcome
from sync.contract.identity import normalise_number, person_key
from sync.contract.messages import Ack, Backlog, BacklogEntry, Query, QueryAnswer
from sync.contract.records import LARGEST, RECORD_TYPES, PassageClosed, Record, RecordId, decode_record, encode_record
from sync.contract.topics import DISTRICT_CHANNELS, NAME_PATTERN, Channel, Topic, every_box, shared, source_from
from sync.errors import BadMessage
from tests.sync.city import COMMUNITY_KEY, number, passage, status_of
from tests.sync.strategies import any_message, any_record

NAMES = st.from_regex(NAME_PATTERN, fullmatch=True)
THOROUGH = settings(max_examples=100)


@st.composite
def topics(draw: st.DrawFn) -> Topic:
    channel = draw(st.sampled_from(Channel))
    box = None if channel in DISTRICT_CHANNELS else draw(NAMES)
    return Topic(draw(NAMES), channel, box, draw(NAMES) if channel is Channel.COMMAND else None)


@given(topics())
def test_topics_round_trip(topic: Topic) -> None:
    assert Topic.parse(str(topic)) == topic


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sentinel/v1",
        "sentinel/v1/demo",
        "sentinel/v2/demo/box-1/state",
        "x/sentinel/v1/demo/box-1/state",
        "sentinel/v1/demo/box-1/state/more",
        "sentinel/v1/demo/box-1/platform",
        "sentinel/v1/demo/state",
        "sentinel/v1/demo/BOX/state",
        "sentinel/v1/demo//state",
        "sentinel/v1/demo/box-1/command",
        "sentinel/v1/demo/+/state",
        f"sentinel/v1/demo/{'x' * 41}/state",
        "sentinel/v1/demo/box-1/unheard",
    ],
)
def test_other_topics_are_refused(text: str) -> None:
    with pytest.raises(BadMessage):
        Topic.parse(text)


@pytest.mark.parametrize("name", ["", "Gate", "a/b", "a+", "#", "x" * 41, "盒子", "a\n"])
def test_invalid_names_in_topics_are_rejected(name: str) -> None:
    for build in (
        lambda: Topic("demo", Channel.STATE, name),
        lambda: every_box(name, Channel.STATE),
        lambda: source_from(name, None),
    ):
        with pytest.raises(ValueError, match="name in a topic"):
            build()


def test_filters() -> None:
    assert shared("ingest", every_box("demo", Channel.ALARM)) == "$share/ingest/sentinel/v1/demo/+/alarm"


@THOROUGH
@given(any_message(), st.datetimes(timezones=st.just(UTC)))
def test_every_message_round_trips_through_the_envelope(message: object, time: datetime) -> None:
    event = Event.of(message, source_from("demo", "box-1"), event_id="box-1/0/1", time=time)  # type: ignore[arg-type]
    arrived = Event.from_wire(CONTENT_TYPE, (*event.user_properties(), ("traceparent", "00")), event.body)
    assert arrived == event
    again = arrived.message(type(message))  # type: ignore[type-var]
    assert msgspec.json.encode(again) == msgspec.json.encode(message)


@THOROUGH
@given(any_record())
def test_records_round_trip(record: Record) -> None:
    body = encode_record(record)
    assert decode_record(record.TYPE, body) == record
    entry = BacklogEntry.of(7, datetime.now(UTC), record, "ab" * 32)
    again = msgspec.json.decode(msgspec.json.encode(entry), type=BacklogEntry)
    assert (again.record(), bytes(again.data), again.chain) == (record, body, "ab" * 32)


@given(NAMES, st.from_regex("[0-9a-f]{16}", fullmatch=True), st.integers(1, LARGEST))
def test_record_ids_round_trip(box: str, epoch: str, seq: int) -> None:
    assert RecordId.parse(str(RecordId(box, epoch, seq))) == RecordId(box, epoch, seq)


@pytest.mark.parametrize(
    "text",
    ["", "b", "b/E", "b/E/0", "b/E/-1", "b/E/x", "b/E/01", "/E/1", "b/e/1", "b/E/1/2", f"b/E/{LARGEST + 1}", "b/E/9E"],
)
def test_other_record_ids_are_rejected(text: str) -> None:
    with pytest.raises(BadMessage):
        RecordId.parse(text.replace("9E", "9" * 5000).replace("E", "0123456789abcdef"))


ACK = Event.of(Ack("0" * 16, ((1, 2),)), source_from("demo", None))


def test_an_envelope_must_be_complete() -> None:
    good = ACK.user_properties()
    for bad in (good[1:], (*good, good[1]), (("specversion", "2.0"), *good[1:]), (*good[:-1], ("time", "yesterday"))):
        with pytest.raises(BadMessage):
            Event.from_wire(CONTENT_TYPE, bad, b"{}")
    for content_type in (None, "text/plain"):
        with pytest.raises(BadMessage):
            Event.from_wire(content_type, good, b"{}")
    with pytest.raises(BadMessage):
        Event.from_wire(CONTENT_TYPE, (*good[:-1], ("time", "2022-04-01T08:00:00")), b"{}")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"passage_id": "p", "later": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"passage_id": "\xff"}', "not UTF-8"),
        (b'{"passage_id": "p", "closed": NaN}', "malformed"),
        (b'{"passage_id": 1e999}', "out of range"),
        (b"", "truncated"),
    ],
)
def test_hostile_json_is_rejected_like_any_other(body: bytes, message: str) -> None:
    with pytest.raises(BadMessage, match=message):
        decode_record(PassageClosed.TYPE, body)
    with pytest.raises(BadMessage, match=message):
        decoded("anything", msgspec.json.Decoder(), body)


def test_an_error_does_not_quote_the_content() -> None:
    status = msgspec.json.encode(status_of(1)).replace(b'"green"', f'"{number(1)}"'.encode())
    with pytest.raises(BadMessage, match=r"Invalid enum value - at `\$\.colour`") as refused:
        decoded("status", msgspec.json.Decoder(HealthStatus), status)
    assert number(1) not in str(refused.value)


def test_the_hash_of_a_record_is_an_attribute() -> None:
    event = replace(Event.of(passage(1), source_from("demo", "box-1"), event_id="box-1/0/1"), chain="ab" * 32)
    assert Event.from_wire(CONTENT_TYPE, event.user_properties(), event.payload()) == event
    for bad in ("ab", "AB" * 32, "zz" * 32):
        with pytest.raises(BadMessage):
            Event.from_wire(CONTENT_TYPE, (*ACK.user_properties(), ("chain", bad)), ACK.body)


def test_a_packed_body_round_trips_and_an_invalid_or_huge_one_is_rejected() -> None:
    packed = Event.of(Ack("0" * 16, tuple((n, n) for n in range(1, 999, 2))), source_from("demo", None), packed=True)
    body = packed.payload()
    assert len(body) < len(packed.body) / 2
    assert Event.from_wire(CONTENT_TYPE, packed.user_properties(), body) == packed
    for bad in (b"", body[:-1], packed.body, zlib.compress(bytes(9_000_000))):
        with pytest.raises(BadMessage):
            Event.from_wire(CONTENT_TYPE, packed.user_properties(), bad)
    with pytest.raises(BadMessage):
        Event.from_wire(CONTENT_TYPE, (*ACK.user_properties(), ("contentencoding", "br")), ACK.body)


def test_bodies_of_another_shape_are_refused() -> None:
    with pytest.raises(BadMessage):
        ACK.message(Backlog)
    for body in (b"", b"[]", b'{"epoch":"x","ranges":[]}', b'{"epoch":"0000000000000000","ranges":[[0,1]]}'):
        with pytest.raises(BadMessage):
            Event(ACK.id, ACK.source, ACK.kind, ACK.time, body).message(Ack)
    with pytest.raises(BadMessage):
        decode_record("sentinel.unknown", b"{}")
    with pytest.raises(BadMessage):
        decode_record("sentinel.ledger.gap", b"{}")


def test_a_time_without_offset_is_refused() -> None:
    body = encode_record(passage(1)).replace(b"2022-04-01T08:00:01Z", b"2022-04-01T08:00:01")
    with pytest.raises(BadMessage):
        decode_record("sentinel.passage.decided", body)


def test_an_unknown_field_of_a_newer_box_is_ignored() -> None:
    body = encode_record(passage(1)).replace(b"{", b'{"new_in_next_version":[1,{"x":2}],', 1)
    assert decode_record("sentinel.passage.decided", body) == passage(1)


def test_an_answer_carries_a_status_exactly_when_found() -> None:
    with pytest.raises(ValueError, match="found"):
        QueryAnswer(LookupOutcome.FOUND)
    with pytest.raises(ValueError, match="found"):
        QueryAnswer(LookupOutcome.NOT_FOUND, status_of(1))


def test_nothing_personal_in_a_repr() -> None:
    key = status_of(1).person_key
    event = Event.of(Query(key), source_from("demo", "box-1"))
    assert key not in repr(event) + repr(Query(key))


def test_person_keys_hash_the_normalised_number() -> None:
    assert person_key(COMMUNITY_KEY, " 99999919900101002x ") == person_key(COMMUNITY_KEY, "99999919900101002X")
    assert normalise_number("9999 99") == "999999"
    with pytest.raises(ValueError, match="16 bytes"):
        person_key(b"short", number(1))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.one_of(st.none(), st.binary(min_size=1))), max_size=12))
def test_the_checksum_depends_only_on_the_rows(changes: list[tuple[str, bytes | None]]) -> None:
    rows: dict[str, bytes | None] = {}
    checksum = EMPTY
    for key, body in changes:
        checksum = update_checksum(checksum, rows.get(key), body)
        rows[key] = body
    direct = EMPTY
    for body in rows.values():
        direct = update_checksum(direct, None, body)
    assert checksum == direct


def test_every_record_type_has_a_channel() -> None:
    assert RECORD_TYPES.keys() <= MESSAGE_TYPES.keys()

"""Hypothesis strategies for every message of the contract, generated from its types and their limits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect as types

from sync.contract.channels import MESSAGE_TYPES
from sync.contract.health import HealthStatus, LookupOutcome
from sync.contract.messages import BacklogEntry, DirectoryCheckpoint, DirectoryOp, DirectoryPage, QueryAnswer
from sync.contract.orders import ORDER_TYPES, Command, CommandDone, Desired
from sync.contract.records import LARGEST, RECORD_TYPES, Record
from sync.contract.signed import Order, Signed

INSTANTS: st.SearchStrategy[datetime] = st.datetimes(timezones=st.just(UTC))


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Valid values of a struct or of a field type."""
    return OWN_RULES[kind]() if kind in OWN_RULES else _values(types.type_info(kind))


def any_record() -> st.SearchStrategy[Record]:
    return st.one_of([values_of(kind) for kind in RECORD_TYPES.values()])


def any_message() -> st.SearchStrategy[Any]:
    return st.one_of([values_of(kind) for kind in MESSAGE_TYPES.values()])


def _struct(info: types.StructType) -> st.SearchStrategy[Any]:
    if info.cls in OWN_RULES:
        return OWN_RULES[info.cls]()
    return st.builds(info.cls, **{field.name: _values(field.type) for field in info.fields})


def _list(info: types.VarTupleType) -> st.SearchStrategy[Any]:
    return st.lists(_values(info.item_type), min_size=info.min_length or 0, max_size=4).map(tuple)


def _text(info: types.StrType) -> st.SearchStrategy[str]:
    return st.text(max_size=20) if info.pattern is None else st.from_regex(info.pattern, fullmatch=True)


BY_TYPE: dict[type, Callable[[Any], st.SearchStrategy[Any]]] = {
    types.StructType: _struct,
    types.StrType: _text,
    types.IntType: lambda info: st.integers(-LARGEST if info.ge is None else info.ge, LARGEST),
    types.FloatType: lambda info: st.floats(
        info.gt, exclude_min=info.gt is not None, allow_nan=False, allow_infinity=False
    ),
    types.BoolType: lambda _: st.booleans(),
    types.NoneType: lambda _: st.none(),
    types.DateTimeType: lambda _: INSTANTS,
    types.EnumType: lambda info: st.sampled_from(list(info.cls)),
    types.UnionType: lambda info: st.one_of([_values(each) for each in info.types]),
    types.DictType: lambda info: st.dictionaries(
        _values(info.key_type), _values(info.value_type), min_size=info.min_length or 0, max_size=3
    ),
    types.TupleType: lambda info: st.tuples(*(_values(each) for each in info.item_types)),
    types.VarTupleType: _list,
}


def _values(info: types.Type) -> st.SearchStrategy[Any]:
    return BY_TYPE[type(info)](info)


def _answers() -> st.SearchStrategy[QueryAnswer]:
    found = st.builds(QueryAnswer, st.just(LookupOutcome.FOUND), values_of(HealthStatus))
    return found | st.builds(
        QueryAnswer, st.sampled_from([each for each in LookupOutcome if each != LookupOutcome.FOUND])
    )


def _operations() -> st.SearchStrategy[DirectoryOp]:
    status = st.one_of(st.none(), values_of(HealthStatus)).map(lambda made: msgspec.Raw(msgspec.json.encode(made)))
    return st.builds(DirectoryOp, st.integers(1, LARGEST), st.from_regex("[0-9a-f]{64}", fullmatch=True), status)


def _pages() -> st.SearchStrategy[DirectoryPage]:
    in_order = st.lists(_operations(), max_size=3, unique_by=lambda op: op.op).map(
        lambda ops: tuple(sorted(ops, key=lambda op: op.op))
    )
    checkpoint = st.one_of(st.none(), _values(types.type_info(DirectoryCheckpoint)))
    return st.builds(DirectoryPage, st.text(max_size=16), st.just(0), in_order, checkpoint, st.booleans())


def _orders() -> st.SearchStrategy[Order]:
    body = st.one_of([values_of(kind) for kind in ORDER_TYPES.values()])
    nonce = st.from_regex("[0-9a-f]{32}", fullmatch=True)
    content = body.map(lambda made: msgspec.Raw(msgspec.json.encode(made)))
    return st.builds(
        Order,
        st.sampled_from([*ORDER_TYPES]),
        st.just("to"),
        st.integers(1, LARGEST),
        INSTANTS,
        INSTANTS,
        nonce,
        content,
    )


def _signed() -> st.SearchStrategy[Signed]:
    raw = values_of(Order).map(lambda made: msgspec.Raw(msgspec.json.encode(made)))
    return st.builds(Signed, raw, st.from_regex("[0-9a-f]{128}", fullmatch=True))


JSON = st.dictionaries(st.text(max_size=8), st.one_of(st.none(), st.booleans(), st.text(max_size=8)), max_size=3)

# Types whose fields depend on each other or contain raw JSON.
OWN_RULES: dict[type, Callable[[], st.SearchStrategy[Any]]] = {
    BacklogEntry: lambda: st.builds(BacklogEntry.of, st.integers(1, LARGEST), INSTANTS, any_record()),
    QueryAnswer: _answers,
    Order: _orders,
    Signed: _signed,
    Command: lambda: st.builds(Command, JSON),
    Desired: lambda: st.builds(
        Desired, st.none() | JSON, st.none() | INSTANTS, st.dictionaries(st.text(max_size=8), JSON, max_size=2)
    ),
    CommandDone: lambda: st.builds(
        CommandDone,
        st.text(max_size=8),
        st.from_regex("[0-9a-f]{32}", fullmatch=True),
        st.booleans(),
        st.text(max_size=8),
        JSON,
    ),
    DirectoryOp: _operations,
    DirectoryPage: _pages,
}

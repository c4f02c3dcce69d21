"""The helper that flattens groups of exceptions."""

from __future__ import annotations

from sync.errors import LinkLost, StoreFailed, leaf_exceptions


def test_leaf_exceptions_of_one_exception_is_that_exception() -> None:
    lost = LinkLost("cut")
    assert list(leaf_exceptions(lost)) == [lost]


def test_leaf_exceptions_flattens_nested_groups_in_order() -> None:
    lost, failed, bug = LinkLost("cut"), StoreFailed("disk"), KeyError("bug")
    group = ExceptionGroup("all", [lost, ExceptionGroup("inner", [ExceptionGroup("deep", [failed]), bug])])
    assert list(leaf_exceptions(group)) == [lost, failed, bug]

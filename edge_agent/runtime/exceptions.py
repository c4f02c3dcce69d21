"""What ended a group of tasks."""

from __future__ import annotations

from collections.abc import Iterator


def leaf_exceptions(exc: BaseException) -> Iterator[BaseException]:
    """`exc`, or the exceptions inside a group of groups."""
    if isinstance(exc, BaseExceptionGroup):
        for inner in exc.exceptions:
            yield from leaf_exceptions(inner)
    else:
        yield exc

"""Exception groups."""

from __future__ import annotations

from collections.abc import Iterator


def leaf_exceptions(exc: BaseException) -> Iterator[BaseException]:
    """`exc` itself, or every exception inside it where it is a group, however deeply nested."""
    if isinstance(exc, BaseExceptionGroup):
        for inner in exc.exceptions:
            yield from leaf_exceptions(inner)
    else:
        yield exc

"""Work beside a block ends with it, and its errors are not lost."""

from __future__ import annotations

import asyncio

import pytest

from edge_agent.runtime.background import background


async def test_the_work_ends_with_the_block() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with background(work()):
        await started.wait()
    assert ended.is_set()


async def fail() -> None:
    raise ZeroDivisionError


async def test_a_bug_in_the_work_is_raised_at_the_end() -> None:
    with pytest.raises(ZeroDivisionError):
        async with background(fail()):
            await asyncio.sleep(0)


async def fail_beside_a_bug() -> None:
    async with background(fail()):
        await asyncio.sleep(0)
        raise KeyError


async def test_the_error_of_the_block_goes_before_that_of_the_work() -> None:
    with pytest.raises(KeyError):
        await fail_beside_a_bug()

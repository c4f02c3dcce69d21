"""Runs a coroutine beside other work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def background(work: Coroutine[Any, Any, object]) -> AsyncIterator[None]:
    """Run `work` during the block and cancel it at the end.

    An error of `work` is raised at the end of the block, unless the block raised one of its own.
    """
    task = asyncio.create_task(work)
    try:
        yield
    except BaseException:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise
    task.cancel()
    [end] = await asyncio.gather(task, return_exceptions=True)
    if isinstance(end, Exception):
        raise end

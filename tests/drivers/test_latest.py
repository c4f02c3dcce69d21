from __future__ import annotations

import asyncio

from drivers.latest import Latest
from tests.limits import HANG_S


async def test_newest_wins_and_unread_ones_count_as_replaced() -> None:
    latest: Latest[int] = Latest()
    assert latest.value is None
    for number in (1, 2, 3):
        latest.put(number)
    assert latest.value == 3
    latest.put(4)
    assert (latest.sequence, latest.replaced) == (4, 2)


async def test_after_returns_at_once_what_is_newer_and_waits_for_what_is_not() -> None:
    latest: Latest[str] = Latest()
    latest.put("a")
    assert await latest.after(0) == (1, "a")
    waiting = asyncio.create_task(latest.after(1))
    await asyncio.sleep(0)
    assert not waiting.done()
    latest.put("b")
    assert await waiting == (2, "b")
    assert latest.replaced == 0


async def test_one_value_wakes_every_waiter() -> None:
    latest: Latest[str] = Latest()
    waiting = [asyncio.create_task(latest.after(0)) for _ in range(3)]
    await asyncio.sleep(0)
    latest.put("a")
    assert await asyncio.gather(*waiting) == [(1, "a")] * 3


async def test_a_cancelled_waiter_leaves_nothing_behind() -> None:
    latest: Latest[str] = Latest()
    waiting = asyncio.create_task(latest.after(0))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    latest.put("a")
    assert await latest.after(0) == (1, "a")


async def test_a_slow_reader_sees_only_the_newest() -> None:
    latest: Latest[int] = Latest()
    sequence, seen = 0, []
    for burst in (3, 1, 5):
        for number in range(burst):
            latest.put(number)
        sequence, value = await latest.after(sequence)
        seen.append(value)
    assert seen == [2, 0, 4]
    assert latest.replaced == 2 + 0 + 4


async def test_a_waiting_reader_sees_each_value_that_stands_for_one_turn_of_the_loop() -> None:
    slot: Latest[int] = Latest()
    seen = []

    async def listen() -> None:
        sequence = 0
        while len(seen) < 3:
            sequence, value = await slot.after(sequence)
            seen.append(value)

    listening = asyncio.create_task(listen())
    await asyncio.sleep(0)
    for value in (1, 2, 3):
        slot.put(value)
        await asyncio.sleep(0)
    async with asyncio.timeout(HANG_S):
        await listening
    assert seen == [1, 2, 3]

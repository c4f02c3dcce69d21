"""Hours of people at speed: the page must neither grow nor complain. SENTINEL_LONG_RUN=1 plays eight hours."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import msgspec
import pytest
from playwright.async_api import CDPSession

from config.catalogue import LANGUAGES
from edge_agent.domain.passage import Reason, Verdict
from edge_agent.screen.view_state import Hint, Notice, ScreenStage, ScreenView
from tests.browser import chromium, open_page
from tests.edge_agent.kiosk.stand import OFFLINE, Stand, changed, lost
from tests.edge_agent.kiosk.test_page import show
from tests.edge_agent.speech.sound import CATALOGUE

SECONDS_A_PERSON = 12
PEOPLE = 8 * 3600 // SECONDS_A_PERSON if os.environ.get("SENTINEL_LONG_RUN") else 12
WARM_UP = 6
GROWTH_LIMIT_BYTES = 500_000


def day(seed: int) -> Iterator[list[ScreenView]]:
    """What the screen shows one person after the other, faults and broadcasts among it."""
    chance = random.Random(seed)
    while True:
        common = {
            "language": chance.choice(LANGUAGES),
            "link": OFFLINE if chance.random() < 0.1 else changed().link,
            "parts": lost("thermometer") if chance.random() < 0.05 else changed().parts,
            "bulletin": Notice({"zh-CN": f"通知 {chance.random()}"}, "18:30") if chance.random() < 0.2 else None,
            "emergency": Notice({"zh-CN": "请从东门离开"}) if chance.random() < 0.02 else None,
            "staff_called": chance.random() < 0.05,
        }
        face = tuple(round(chance.random() / 2, 3) for _ in range(4))
        reason, verdict = chance.choice(list(Reason)), chance.choice(list(Verdict))
        result = {"verdict": verdict, "reasons": (CATALOGUE.shown("reason", reason),), "temperature_c": 36.6}
        yield [
            changed(**common),
            changed(**common, stage=ScreenStage.ARRIVAL, hint=Hint.COME_CLOSER, face=face),
            changed(**common, stage=ScreenStage.MEASURING, hint=Hint.SHOW_CODE, face=face, mask="correct"),
            changed(**common, stage=ScreenStage.RESULT, prompt=CATALOGUE.spoken("reason", reason), **result),
        ]


async def grown(session: CDPSession) -> tuple[int, int]:
    """Bytes of the page's heap after a collection, and its DOM nodes."""
    await session.send("HeapProfiler.collectGarbage")
    metrics = (await session.send("Performance.getMetrics"))["metrics"]
    values = {metric["name"]: metric["value"] for metric in metrics}
    return int(values["JSHeapUsedSize"]), int(values["Nodes"])


@pytest.mark.timeout(3600)
async def test_hours_of_people_leave_the_page_as_it_was() -> None:
    stand = Stand()
    await stand.start()
    async with chromium() as browser:
        page = await open_page(browser, (800, 480))
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(stand.url)
        session = await page.context.new_cdp_session(page)
        await session.send("Performance.enable")
        before = (0, 0)
        for number, views in enumerate(day(seed=1)):
            if number == WARM_UP:
                before = await grown(session)
            if number == WARM_UP + PEOPLE:
                break
            for view in views:
                await show(stand, page, msgspec.structs.replace(view, visit=number))
        after = await grown(session)
    await stand.stop()
    assert complaints == []
    assert after[0] - before[0] < GROWTH_LIMIT_BYTES, (before, after)
    assert after[1] - before[1] < 200, (before, after)

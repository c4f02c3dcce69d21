"""Measures the latency of the residents' screen and of announcements; prints JSON. Needs Chromium."""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from datetime import datetime

from playwright.async_api import Browser, async_playwright

from config.catalogue import load_catalogue
from config.settings import AnnouncerSettings
from drivers.audio.speaker import make_speaker
from drivers.contract import PartState
from edge_agent.kiosk.server import PAGE_DIR
from edge_agent.screen.language_choice import LanguageSelector
from edge_agent.screen.view_state import ScreenStage, ViewState
from edge_agent.speech.announcer import Announcer
from tests.edge_agent.kiosk.stand import Stand, changed

CHROMIUM = "/usr/bin/chromium"
WATCH = """() => {
  window.drawn = {};
  new MutationObserver(() => {
    const serial = document.body.dataset.serial;
    requestAnimationFrame(() => { window.drawn[serial] ??= performance.timeOrigin + performance.now(); });
  }).observe(document.body, { attributes: true });
}"""
PAINTED = """() => new Promise((resolve) => {
  const look = () => {
    const paint = performance.getEntriesByName("first-contentful-paint")[0];
    const ready = document.getElementById("headline").textContent;
    if (paint && ready) resolve(performance.timeOrigin + Math.max(paint.startTime, performance.now()));
    else requestAnimationFrame(look);
  };
  look();
})"""


def statistics_ms(values_ms: list[float]) -> dict[str, float]:
    """Median, 95th percentile and maximum."""
    values_ms.sort()
    return {
        "p50_ms": round(statistics.median(values_ms), 1),
        "p95_ms": round(values_ms[max(0, -(-95 * len(values_ms) // 100) - 1)], 1),
        "max_ms": round(values_ms[-1], 1),
    }


async def on_screen(browser: Browser, stand: Stand, times: int) -> dict[str, float]:
    """Time from a verdict to the frame that draws it, while the live picture runs."""
    page = await browser.new_page(viewport={"width": 1280, "height": 800})
    await page.goto(stand.url)
    await page.evaluate(WATCH)
    taken_ms = []
    for number in range(times):
        stand.views.put(changed(serial=10_000 + 2 * number, stage=ScreenStage.MEASURING, face=(0.3, 0.2, 0.3, 0.5)))
        await asyncio.sleep(0.15)
        serial = 10_001 + 2 * number
        verdict = {"verdict": "admit", "reasons": ("all_clear",), "prompt": "pass"}
        put_ms = time.time() * 1000
        stand.views.put(changed(serial=serial, stage=ScreenStage.RESULT, **verdict))
        drawn = await page.wait_for_function(f"() => window.drawn[{serial}]")
        taken_ms.append(await drawn.json_value() - put_ms)
    await page.close()
    return statistics_ms(taken_ms)


async def first_sample(times: int) -> dict[str, float]:
    """Time from the request of a prompt to its first sample, on the paced null output."""
    speaker = make_speaker(output="null")
    running = asyncio.create_task(speaker.run())
    while speaker.health.state is not PartState.OK:
        await asyncio.sleep(0.01)
    settings = AnnouncerSettings(repeat_s=0)
    view_state = ViewState(LanguageSelector("zh-CN"))
    announcer = Announcer(speaker, load_catalogue(), view_state, settings, now=lambda: datetime.now().astimezone())
    taken_ms = []
    for _ in range(times):
        requested_s = time.monotonic()
        started_s = await announcer.say("pass")
        assert started_s is not None
        taken_ms.append((started_s - requested_s) * 1000)
        await asyncio.sleep(0.05)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return statistics_ms(taken_ms)


async def main() -> None:
    """Print the measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=100)
    options = parser.parse_args()
    stand = Stand()
    await stand.start()
    async with async_playwright() as playwright:
        fresh_ms = []
        for _ in range(5):
            started_ms = time.time() * 1000
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = await browser.new_page()
            await page.goto(stand.url, wait_until="commit")
            fresh_ms.append(await page.evaluate(PAINTED) - started_ms)
            await browser.close()
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        screen = await on_screen(browser, stand, options.times)
        await browser.close()
    await stand.stop()
    result = {
        "verdict_to_screen": screen,
        "verdict_to_first_sample": await first_sample(options.times),
        "fresh_chromium_to_first_picture": statistics_ms(fresh_ms),
        "page_bytes": sum(path.stat().st_size for path in PAGE_DIR.iterdir()),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    asyncio.run(main())

"""Debian's Chromium, driven by Playwright, and waited for as long as anything in the tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, Page, async_playwright, expect

from tests.limits import HANG_MS

expect.set_options(timeout=HANG_MS)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser of its own."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"], timeout=HANG_MS
        )
        yield browser
        await browser.close()


async def open_page(browser: Browser, size: tuple[int, int] = (1280, 800), **options: Any) -> Page:
    """A page of `size`."""
    page = await browser.new_page(viewport={"width": size[0], "height": size[1]}, **options)
    page.set_default_timeout(HANG_MS)
    return page

"""What axe-core finds on a page; `make judges` installs it."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Page

AXE = Path(__file__).parents[1] / ".ci/judges/node_modules/axe-core/axe.min.js"
needs_axe = pytest.mark.skipif(not AXE.is_file(), reason="axe-core is missing: install npm, then run `make judges`")
RUN = """async () => (await axe.run(document, { resultTypes: ["violations"] })).violations.flatMap(({ id, nodes }) =>
  nodes.map(({ target, failureSummary }) => `${id} at ${target.join(" ")}: ${failureSummary}`))"""


async def accessibility_faults(page: Page) -> list[str]:
    """Every violation of axe-core's default rules on `page` as it is now: rule, element, what to change."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE.read_text(encoding="utf-8"))
    faults: list[str] = await page.evaluate(RUN)
    return faults

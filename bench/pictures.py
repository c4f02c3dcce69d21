"""Makes the pictures of the README from the running demo: kiosk, fleet page and `edge-agent doctor`.

    python -m bench.pictures

Needs mosquitto, Chromium and a CJK font, takes about a minute, and writes docs/pictures/ with `made-from.json`:
checksums of the sources that decide what the pictures show. A test compares them with the present sources. The people
are drawn.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import re
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from playwright.async_api import Browser, Page, async_playwright
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from config.catalogue import PROMPTS_DIR
from drivers.simulated.people import drawn
from edge_agent.demo.processes import free_port
from edge_agent.demo.supervisor import Demo, DemoOptions
from edge_agent.doctor.run_checks import CONCURRENT, SEQUENTIAL
from edge_agent.kiosk.server import PAGE_DIR
from sync.platform.fleet import page as fleet_page

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
MADE_FROM = FOLDER / "made-from.json"
SHOWN = ("kiosk", "fleet", "doctor")
MOST_BYTES = 400_000  # of all pictures together
_CHROMIUM = "/usr/bin/chromium"
_PHOTO, _TEXT = 80, 90  # WebP quality
_KIOSK_PX = (960, 600)
_PASSAGES = 12  # on the fleet page
_LIMIT_S = 180.0
_STYLES = {"✓": "green", "!": "yellow", "✗": "red", "–": "bright_black", "→": "cyan"}
_THEME = TerminalTheme(
    (24, 26, 31),
    (214, 218, 224),
    [
        (24, 26, 31),
        (240, 105, 95),
        (95, 200, 120),
        (235, 190, 90),
        (110, 160, 245),
        (200, 130, 220),
        (90, 195, 205),
        (214, 218, 224),
    ],
    [(140, 146, 156)] * 8,
)
_TERMINAL = """<!doctype html><meta charset="utf-8"><style>
body { margin: 0; background: #181a1f; color: #d6dae0; }
pre { margin: 0; padding: 18px 22px; font: 14px/1.4 'DejaVu Sans Mono', 'Noto Sans Mono CJK SC', monospace; }
</style><pre>BODY</pre>"""

# Holds back the stream of views while a person is being measured: that stage may be shorter than a screenshot takes.
_HOLD = """
window.held = null;
window.seek = false;
class HeldSource extends EventSource {
  addEventListener(type, listener) {
    super.addEventListener(type, (event) => (window.held ? window.held.push(() => listener(event)) : listener(event)));
  }
}
window.EventSource = HeldSource;
const wanted = "body[data-stage=measuring]:not(:has(#notices li)) #mirror:not([hidden])";
new MutationObserver(() => {
  if (window.seek && !window.held && document.querySelector(wanted)) { window.seek = false; window.held = []; }
}).observe(document, { subtree: true, childList: true, attributes: true });
"""


def made_from() -> dict[str, str]:
    """A checksum for each picture over the sources of what it shows; the same on every machine."""
    catalogue = tomllib.loads((PROMPTS_DIR / "catalogue.toml").read_text(encoding="utf-8"))
    pages = [path for path in sorted(PAGE_DIR.iterdir()) if not path.name.startswith("staff")]
    checks = [check.name for check in (*SEQUENTIAL, *CONCURRENT)]
    sources = {
        "kiosk": [json.dumps(_shown(catalogue), sort_keys=True), *map(_read, pages), _read(Path(drawn.__file__))],
        "fleet": [_read(Path(fleet_page.__file__).with_name("fleet.html"))],
        "doctor": checks,
    }
    return {name: hashlib.sha256("\0".join(texts).encode()).hexdigest() for name, texts in sources.items()}


def _shown(catalogue: dict[str, Any]) -> dict[str, Any]:
    """The Chinese texts on the kiosk's picture; of the many reasons and prompts only those of an admission."""
    texts = {section: catalogue[section] for section in ("stage", "hint", "verdict", "mask", "credential", "label")}
    texts |= {
        "reason": {"all_clear": catalogue["reason"]["all_clear"]},
        "prompt": {"pass": catalogue["prompt"]["pass"]},
    }
    return {section: {name: text["zh-CN"] for name, text in entries.items()} for section, entries in texts.items()}


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


async def make(folder: Path) -> None:
    """Run the demo in `folder`, which is empty, and take the three pictures."""
    kiosk_port, fleet_port = free_port(), free_port()
    options = DemoOptions(folder, passages=None, quiet=True, kiosk_port=kiosk_port, fleet_port=fleet_port)
    started = asyncio.Event()
    demo = asyncio.create_task(Demo(options, lambda line: started.set() if line.startswith("agent ") else None).run())
    try:
        async with asyncio.timeout(_LIMIT_S), async_playwright() as playwright:
            await started.wait()
            browser = await playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
            await kiosk(browser, f"http://127.0.0.1:{kiosk_port}/")
            await doctor(browser, folder / "sentinel.toml")
            await fleet(browser, f"http://127.0.0.1:{fleet_port}/")
            await browser.close()
    finally:
        demo.cancel()
        await asyncio.gather(demo, return_exceptions=True)


async def kiosk(browser: Browser, url: str) -> None:
    """The residents' screen in Chinese, side by side: a person is measured, and is admitted."""
    page = await _page(browser, *_KIOSK_PX)
    await page.add_init_script(_HOLD)
    await page.goto(url)
    verdict = None
    while verdict != "admit":
        await page.evaluate("() => { window.seek = true; }")
        await page.wait_for_function("() => window.held !== null")
        measured = await _shot(page)
        await page.evaluate(
            "() => { const late = window.held; window.held = null; late.forEach((deliver) => deliver()); }"
        )
        await page.wait_for_selector("body[data-stage=result]")
        verdict = await page.locator("body").get_attribute("data-verdict")
    gap = np.full((_KIOSK_PX[1], 16, 3), 255, np.uint8)
    _save("kiosk", np.hstack([measured, gap, await _shot(page)]), _PHOTO)


async def fleet(browser: Browser, url: str) -> None:
    """The platform's page, once it has some passages."""
    page = await _page(browser, 1240, 300)
    await page.goto(url)
    await page.wait_for_function(f"() => stats !== null && stats.passages >= {_PASSAGES}")
    await page.wait_for_function("() => document.querySelectorAll('#boxes tr').length > 0")
    _save("fleet", await _shot(page, whole=True), _TEXT)


async def doctor(browser: Browser, config: Path) -> None:
    """What `edge-agent doctor` prints beside the running agent."""
    command = ("-m", "edge_agent.commands.cli", "doctor", "--config", str(config))
    running = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
    printed, _ = await running.communicate()
    page = await _page(browser, 860, 400)
    await page.set_content(terminal("$ edge-agent doctor\n" + printed.decode()))
    await page.evaluate("() => document.fonts.ready")
    _save("doctor", await _shot(page, whole=True), _TEXT)


def terminal(printed: str, columns: int = 120) -> str:
    """An HTML page that shows `printed` as a terminal would."""
    console = Console(record=True, file=io.StringIO(), width=columns, force_terminal=True, legacy_windows=False)
    for line in printed.splitlines():
        text = Text(line, no_wrap=False)
        mark = line.lstrip()[:1]
        style = _STYLES.get(mark, "bold" if line.startswith("$") else "")
        text.stylize(style, 0, len(line) if mark == "→" else line.find(mark) + 1 if mark in _STYLES else len(line))
        console.print(text, highlight=False)
    body = re.sub(r"(?s).*<pre.*?>(.*)</pre>.*", r"\1", console.export_html(theme=_THEME, inline_styles=True))
    return _TERMINAL.replace("BODY", body)


async def _page(browser: Browser, width: int, height: int) -> Page:
    page = await browser.new_page(viewport={"width": width, "height": height}, locale="zh-CN")
    page.set_default_timeout(_LIMIT_S * 1000)
    return page


async def _shot(page: Page, *, whole: bool = False) -> np.ndarray:
    """What the page shows, (h, w, 3) uint8 BGR; `whole` includes what is below its lower edge."""
    shot = await page.screenshot(full_page=whole, animations="disabled")
    return np.asarray(cv2.imdecode(np.frombuffer(shot, np.uint8), cv2.IMREAD_COLOR))


def _save(name: str, image: np.ndarray, quality: int) -> None:
    coded = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, quality])[1]
    (FOLDER / f"{name}.webp").write_bytes(bytes(coded))


def main() -> None:
    """Make all pictures, and record what they were made from."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sentinel-") as folder:
        asyncio.run(make(Path(folder)))
    MADE_FROM.write_text(json.dumps(made_from(), indent=2) + "\n", encoding="utf-8")
    for name in SHOWN:
        print(f"{name}: {(FOLDER / f'{name}.webp').stat().st_size} bytes")


if __name__ == "__main__":
    main()

"""The page in a real browser."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from config.catalogue import LANGUAGES, columns, load_catalogue
from config.errors import SettingsError
from edge_agent.box.last_good_settings import InvalidSettings
from edge_agent.domain.passage import Reason, Verdict
from edge_agent.screen.view_state import Hint, LinkView, Notice, ScreenStage, ScreenView
from edge_agent.speech.broadcasts.broadcast import shown
from tests.browser import chromium, open_page
from tests.edge_agent.kiosk.stand import OFFLINE, PARTS, Stand, blank_jpeg, changed, lost

pytestmark = pytest.mark.asyncio(loop_scope="module")

SIZES = {"5 inch": (800, 480), "10 inch": (1280, 800), "15 inch upright": (1080, 1920)}
FACE = (0.1, 0.2, 0.3, 0.5)
CATALOGUE = load_catalogue()
LONG_TEXT = Notice(
    {
        "zh-CN": shown("因供水管道检修，本小区今晚八点至明早六点停水，请提前储水。" * 9),
        "yue": shown("因為水管維修，本屋苑今晚八點至聽朝六點停水，請提早儲水。" * 9),
        "en": shown("The water is off from 8 pm until 6 am because the pipes are mended; please store some. " * 9),
    },
    at="20:00",
)
UNUSABLE = InvalidSettings(Path("sentinel.toml"), SettingsError("a value that is nobody's to see", 128), None).notice()
LAYOUT_FAULTS = (Path(__file__).parent / "layout.js").read_text()
DRAWN = "(serial) => document.body.dataset.serial === serial"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def stand() -> AsyncIterator[Stand]:
    stand = Stand()
    await stand.start()
    yield stand
    await stand.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, stand: Stand) -> AsyncIterator[Page]:
    page = await open_page(browser)
    await page.goto(stand.url)
    yield page
    await page.close()


def staged() -> list[ScreenView]:
    """Every stage and hint, with parts lost and the link down among them."""
    views = [changed(stage=ScreenStage.STARTING), changed(), changed(link=OFFLINE, parts=lost(*PARTS))]
    stages = [(ScreenStage.ARRIVAL, None), *((ScreenStage.MEASURING, hint) for hint in (None, *Hint))]
    views += [
        changed(stage=ScreenStage.OUT_OF_SERVICE, link=OFFLINE),
        changed(stage=ScreenStage.OUT_OF_SERVICE, bulletin=UNUSABLE, link=OFFLINE),
        changed(bulletin=LONG_TEXT, link=OFFLINE, parts=lost("thermometer")),
        changed(staff_called=True, parts=lost("camera")),
        changed(emergency=LONG_TEXT, link=OFFLINE),
        changed(emergency=LONG_TEXT, stage=ScreenStage.RESULT, verdict="assist", reasons=("fever",), staff_called=True),
        changed(link=LinkView(connected=False, platform_online=False, freshness="expired", age_s=None)),
    ]
    busy = changed(face=FACE, link=OFFLINE, parts=lost("speaker"))
    return views + [msgspec.structs.replace(busy, stage=stage, hint=hint) for stage, hint in stages]


def judged() -> list[ScreenView]:
    """Every reason with the widest one after it, and every verdict."""
    widest = max(Reason, key=lambda reason: max(columns(CATALOGUE.text("reason", reason, each)) for each in LANGUAGES))
    reasons = {CATALOGUE.text("reason", reason, "zh-CN"): reason for reason in Reason}.values()  # each text once
    verdicts = [
        *((reason, Verdict.ASSIST) for reason in reasons),
        *((Reason.TEST_EXPIRED, verdict) for verdict in Verdict),
    ]
    return [
        changed(
            stage=ScreenStage.RESULT,
            verdict=verdict,
            reasons=(reason, widest),
            prompt=CATALOGUE.spoken("reason", reason),
            temperature_c=38.1,
            mask="incorrect",
            credential="unreadable",
        )
        for reason, verdict in verdicts
    ]


async def show(stand: Stand, page: Page, view: ScreenView) -> None:
    """Put `view` and wait until the page has drawn it."""
    view = msgspec.structs.replace(view, serial=1000 + stand.views.sequence)
    stand.views.put(view)
    await page.wait_for_function(DRAWN, arg=str(view.serial))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_state_is_whole_and_legible(stand: Stand, browser: Browser, size: str, language: str) -> None:
    page = await open_page(browser, SIZES[size], reduced_motion="reduce")
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(stand.url)
    for view in [*staged(), *judged()]:
        await show(stand, page, msgspec.structs.replace(view, language=language))
        assert await page.evaluate(LAYOUT_FAULTS) == [], view
    await page.close()
    assert complaints == []
    assert [url for url in asked if not url.startswith(stand.url)] == []


async def test_a_verdict_is_told_by_colour_shape_and_word(stand: Stand, page: Page) -> None:
    told = set()
    for verdict in Verdict:
        await show(
            stand,
            page,
            changed(stage=ScreenStage.RESULT, verdict=verdict, reasons=("fever",), prompt="temperature_high"),
        )
        colour = await page.locator("main").evaluate("(main) => getComputedStyle(main).backgroundColor")
        shape = await page.locator("#shape").get_attribute("href")
        word = await page.locator("#headline").inner_text()
        assert word == CATALOGUE.text("verdict", verdict, "zh-CN")
        assert await page.locator("#next").inner_text() == CATALOGUE.text("prompt", "temperature_high", "zh-CN")
        assert await page.locator("#reasons li").all_inner_texts() == [CATALOGUE.text("reason", "fever", "zh-CN")]
        told.add((colour, shape, word))
    assert [len(set(column)) for column in zip(*told, strict=True)] == [len(Verdict)] * 3


async def test_an_old_verdict_is_covered_while_the_stream_is_cut(stand: Stand, page: Page) -> None:
    await show(
        stand, page, changed(stage=ScreenStage.RESULT, verdict=Verdict.ADMIT, reasons=("all_clear",), prompt="pass")
    )
    await expect(page.locator("#stale")).to_be_hidden()
    await stand.stop()
    await expect(page.locator("#stale")).to_be_visible()
    middle = "() => document.elementFromPoint(innerWidth / 2, innerHeight / 2).closest('#stale') !== null"
    assert await page.evaluate(middle)
    assert await page.evaluate(LAYOUT_FAULTS) == []
    stand.views.put(changed())
    await stand.start()
    await expect(page.locator("#stale")).to_be_hidden()
    await expect(page.locator("#headline")).to_have_text(CATALOGUE.text("stage", "idle", "zh-CN"))


async def test_lost_parts_and_a_lost_link_say_what_they_mean_for_people(stand: Stand, page: Page) -> None:
    notices = page.locator("#notices li")
    await show(stand, page, changed(link=OFFLINE, parts=lost("thermometer")))
    assert await notices.all_inner_texts() == [
        CATALOGUE.text("label", "offline", "zh-CN").format(age="2 小时"),
        f"{CATALOGUE.text('part', 'thermometer', 'zh-CN')}：{CATALOGUE.text('part_lost', 'thermometer', 'zh-CN')}",
    ]
    assert "2 小时前" in await page.locator("#freshness").inner_text()
    await show(stand, page, changed())
    await expect(notices).to_have_count(0)


async def test_a_touch_on_a_language_asks_the_box_which_answers_with_the_next_view(stand: Stand, page: Page) -> None:
    await show(stand, page, changed(stage=ScreenStage.ARRIVAL))
    await page.get_by_role("button", name="English").click()
    await expect(page.locator("#headline")).to_have_text(CATALOGUE.text("stage", "arrival", "en"))
    await expect(page.locator("html")).to_have_attribute("lang", "en")
    assert stand.touched == ["en"]


async def test_everything_can_be_reached_and_done_with_keys_alone(stand: Stand, page: Page) -> None:
    await show(stand, page, changed())
    reached = []
    for _ in range(7):
        await page.keyboard.press("Tab")
        focused = page.locator(":focus")
        reached.append(await focused.get_attribute("id") or await focused.get_attribute("lang"))
        outline = await focused.evaluate("(element) => getComputedStyle(element).outlineStyle")
        assert outline == "solid"
    assert reached == [*LANGUAGES, "clock", "large", "contrast", "call"]
    await page.keyboard.press("Enter")
    await expect(page.locator("#headline")).to_have_text(CATALOGUE.text("label", "staff_called", "zh-CN"))
    assert stand.touched == ["staff"]
    await page.keyboard.press("Shift+Tab")
    await page.keyboard.press("Space")
    await expect(page.locator("#contrast")).to_have_attribute("aria-pressed", "true")


@pytest.mark.parametrize("size", SIZES)
async def test_ways_of_reading_keep_the_page_whole(stand: Stand, browser: Browser, size: str) -> None:
    page = await open_page(browser, SIZES[size], reduced_motion="reduce")
    await page.goto(stand.url)
    await show(stand, page, changed(stage=ScreenStage.ARRIVAL))
    for mode in ("large", "contrast"):
        await page.locator(f"#{mode}").click()
    for number, view in enumerate([*staged(), *judged()]):
        await show(stand, page, msgspec.structs.replace(view, language=LANGUAGES[number % 3]))
        assert await page.evaluate(LAYOUT_FAULTS) == [], view
    await page.close()


async def test_a_way_of_reading_ends_when_its_person_is_gone(stand: Stand, page: Page) -> None:
    await page.clock.install()
    await page.reload()
    await show(stand, page, changed(stage=ScreenStage.ARRIVAL))
    await page.locator("#large").click()
    await page.clock.run_for(20_000)
    await expect(page.locator("#large")).to_have_attribute("aria-pressed", "true")
    await show(stand, page, changed())
    await page.clock.run_for(20_000)
    await expect(page.locator("#large")).to_have_attribute("aria-pressed", "false")
    assert await page.locator("body").get_attribute("data-large") is None


async def test_a_box_whose_settings_cannot_be_used_tells_the_installer_where(stand: Stand, page: Page) -> None:
    await show(stand, page, changed(stage=ScreenStage.OUT_OF_SERVICE, bulletin=UNUSABLE))
    assert "sentinel.toml:128" in await page.locator("#next").inner_text()


async def test_markup_in_a_broadcast_is_a_text(stand: Stand, page: Page) -> None:
    text = '<img src=x onerror="document.title=1"> $& {n} & done'
    await show(stand, page, changed(bulletin=Notice({"zh-CN": text})))
    assert text in await page.locator("#bulletin").inner_text()
    assert await page.locator("#bulletin *").count() == 0
    await show(stand, page, changed(emergency=Notice({"en": text})))
    await expect(page.locator("#next")).to_have_text(text)


async def test_the_face_is_framed_in_the_mirrored_picture(stand: Stand, page: Page) -> None:
    await show(stand, page, changed(stage=ScreenStage.ARRIVAL, face=FACE))
    await expect(page.locator("#mirror")).to_be_visible()
    picture, face = await page.locator("#frame").bounding_box(), await page.locator("#face").bounding_box()
    assert picture
    assert face
    assert picture["width"] / picture["height"] == pytest.approx(4 / 3, abs=0.01)
    right = picture["x"] + picture["width"] - (face["x"] + face["width"])
    assert right / picture["width"] == pytest.approx(FACE[0], abs=0.01)
    assert face["height"] / picture["height"] == pytest.approx(FACE[3], abs=0.01)


async def test_a_camera_that_gives_nothing_leaves_no_old_picture(stand: Stand, page: Page) -> None:
    await show(stand, page, changed(stage=ScreenStage.ARRIVAL))
    await page.wait_for_function("() => document.getElementById('mirror').naturalWidth === 640")
    stand.jpeg = None
    await page.wait_for_function("() => document.getElementById('mirror').naturalWidth === 1")
    stand.jpeg = blank_jpeg()
    await page.wait_for_function("() => document.getElementById('mirror').naturalWidth === 640")
    await expect(page.locator("#mirror")).to_be_visible()


async def test_nobody_is_watched_when_nobody_is_there(stand: Stand, page: Page) -> None:
    await show(stand, page, changed(stage=ScreenStage.MEASURING))
    await expect(page.locator("#mirror")).to_be_visible()
    await show(stand, page, changed())
    asked = stand.frames_asked
    await expect(page.locator("#mirror")).to_be_hidden()
    for _ in range(3):
        await show(stand, page, changed())
    assert stand.frames_asked == asked


async def test_a_repeated_view_touches_nothing(stand: Stand, page: Page) -> None:
    view = changed(stage=ScreenStage.RESULT, verdict=Verdict.RECHECK, reasons=("mask_missing",), prompt="mask_on")
    await show(stand, page, view)
    await page.evaluate(
        "() => { window.touched = 0; new MutationObserver((all) => { window.touched += all.length; }).observe("
        "document.querySelector('main'), { subtree: true, childList: true, attributes: true, characterData: true }); }"
    )
    for _ in range(5):
        await show(stand, page, view)
    assert await page.evaluate("() => window.touched") == 0


async def test_an_emergency_is_written_as_large_as_its_place_allows(stand: Stand, page: Page) -> None:
    size = "() => parseFloat(getComputedStyle(document.getElementById('next')).fontSize)"
    sizes = []
    for text in ("3号楼发生火情，请从南门有序撤离，不要乘坐电梯。", LONG_TEXT.texts["zh-CN"]):
        await show(stand, page, changed(emergency=Notice({"zh-CN": text})))
        assert await page.evaluate(LAYOUT_FAULTS) == []
        sizes.append(await page.evaluate(size))
    assert sizes[0] > 0.1 * 800 > sizes[1]

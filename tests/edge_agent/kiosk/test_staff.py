"""The staff view: its PIN, its routes on a real ledger, and the page in a real browser."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import expect
from typer.testing import CliRunner

from config.catalogue import LANGUAGES, load_catalogue
from config.errors import SettingsError
from config.settings import BoxSettings
from drivers.contract import Gate
from drivers.gates.table import make_gate
from edge_agent.box.wall_clock import WallClock
from edge_agent.commands.cli import app
from edge_agent.domain.passage import (
    Decision,
    MaskReading,
    Measurement,
    Outcome,
    Passage,
    Reason,
    TemperatureReading,
    Verdict,
)
from edge_agent.kiosk.staff import SESSION_S, StaffRoutes
from edge_agent.kiosk.touch import TouchRoutes
from edge_agent.records.recorder import PassageRecorder
from edge_agent.staff.actions import StaffActions
from edge_agent.staff.call import StaffCall
from edge_agent.staff.pin import FREE_TRIES, LOCK_S, PinLock, PinResult, check_pin, write_pin
from models.detections import MaskState
from sync.contract.health import Freshness, Lookup, LookupOutcome
from sync.contract.records import AlarmRaised
from sync.edge.ledger.ledger import Ledger
from tests.browser import chromium, open_page
from tests.edge_agent.kiosk.stand import Stand, changed, lost
from tests.edge_agent.kiosk.test_page import LAYOUT_FAULTS, SIZES
from tests.edge_agent.speech.sound import CATALOGUE, Clock, Room
from tests.limits import HANG_S

PIN = "274913"


def passage(verdict: Verdict, *reasons: Reason) -> Passage:
    """Somebody who was judged just now."""
    now = WallClock().now()
    return Passage(
        passage_id=uuid.uuid4().hex,
        follows=None,
        decided=now,
        credential=None,
        measurement=Measurement(
            TemperatureReading(36.6, 0.3, 34.9, 22.0, 5, "test"), MaskReading(MaskState.CORRECT, 0.9, 5)
        ),
        lookup=Lookup(LookupOutcome.FAILED, None, Freshness.FRESH, 3.0, "replica"),
        decision=Decision(verdict, reasons),
        policy_version=1,
        arrived_at_s=now.monotonic_s - 1,
    )


class Desk:
    """A stand with a staff desk on a real ledger; `clock` is the sessions' and the lock's."""

    def __init__(self, stand: Stand, outbox: Ledger, pin_file: Path) -> None:
        self.stand, self.outbox = stand, outbox
        self.clock, self.room = Clock(), Room()
        self.gate: Gate = make_gate(driver="none")
        self.ledger = PassageRecorder(outbox, BoxSettings(), WallClock().now)
        self.stand.views = self.room.board.views
        desk = StaffActions(
            ledger=outbox,
            recorder=self.ledger,
            gate=self.gate,
            pulse_ms=1,
            view_state=self.room.board,
            announcer=self.room.announcer,
            catalogue=CATALOGUE,
            report=self._report,
        )
        call = StaffCall(self.room.board, self.ledger, self.room.announcer)
        lock = PinLock(pin_file, self.clock.monotonic)
        stand.more = [
            TouchRoutes(self.room.board.choose_language, call.call),
            StaffRoutes(desk, lock, self.clock.monotonic),
        ]

    async def _report(self) -> dict[str, object]:
        view = changed(parts=lost("thermometer"))
        return {
            "view": view,
            "voice": self.room.announcer.status(),
            "link": {"connected": True},
            "outbox": {"unacknowledged": 3},
            "rss_mb": 150.1,
        }

    async def alarms(self) -> list[tuple[str, str, str]]:
        """Kind, subject and detail of every alarm, oldest first."""
        records = [row.record() for row in reversed(await self.outbox.recent(100))]
        return [(one.kind, one.subject, one.detail) for one in records if isinstance(one, AlarmRaised)]


@asynccontextmanager
async def opened_desk(folder: Path, *, pin: str | None = PIN) -> AsyncIterator[Desk]:
    if pin:
        write_pin(folder / "staff.pin", pin)
    async with Ledger.opened(folder / "ledger.db", box="box-1", budget_bytes=4_000_000) as outbox:
        stand = Stand()
        desk = Desk(stand, outbox, folder / "staff.pin")
        await stand.start()
        yield desk
        await stand.stop()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened_desk(tmp_path) as desk:
        yield desk


@pytest.fixture
async def client(desk: Desk) -> AsyncIterator[aiohttp.ClientSession]:
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(desk.stand.url, cookie_jar=jar, timeout=aiohttp.ClientTimeout(HANG_S)) as session:
        yield session


async def enter(client: aiohttp.ClientSession, pin: str = PIN) -> int:
    async with client.post("/staff/enter", json={"pin": pin}) as answer:
        return answer.status


@pytest.mark.parametrize("pin", ["12345", "1234567890123", "12345a", "111111", "123456", "987654", "１２３４５６"])
def test_a_weak_pin_is_refused(tmp_path: Path, pin: str) -> None:
    with pytest.raises(SettingsError):
        check_pin(pin)


def test_only_a_hash_of_the_pin_is_kept_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "staff.pin"
    write_pin(path, PIN)
    first = path.read_text()
    assert PIN not in first
    assert path.stat().st_mode & 0o777 == 0o600
    write_pin(path, PIN)
    assert path.read_text() != first  # another salt
    assert list(tmp_path.iterdir()) == [path]


async def test_wrong_pins_make_the_next_one_wait_a_minute_at_most(tmp_path: Path) -> None:
    clock = Clock()
    lock = PinLock(tmp_path / "staff.pin", clock.monotonic)
    assert await lock.try_pin(PIN) is PinResult.SHUT
    write_pin(tmp_path / "staff.pin", PIN)
    for _ in range(FREE_TRIES):
        assert await lock.try_pin("000001") is PinResult.WRONG
    assert await lock.try_pin(PIN) is PinResult.LOCKED
    clock.pass_s(LOCK_S)
    assert await lock.try_pin("000001") is PinResult.WRONG
    assert lock.locked_s == 2 * LOCK_S
    clock.pass_s(2 * LOCK_S)
    assert await lock.try_pin(PIN) is PinResult.OPEN
    assert await lock.try_pin("000001") is PinResult.WRONG
    assert lock.locked_s == 0


@pytest.mark.parametrize("wrong", [34, 100, 1000])
async def test_whoever_is_right_is_kept_out_for_a_minute_at_most(
    tmp_path: Path, wrong: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_agent.staff.pin._COST", 2)  # 60 ms a try otherwise
    clock = Clock()
    lock = PinLock(tmp_path / "staff.pin", clock.monotonic)
    write_pin(tmp_path / "staff.pin", PIN)
    alarms = guessed_s = 0
    for _ in range(wrong):
        assert await lock.try_pin("000001") is PinResult.WRONG
        alarms += lock.take_alarm()
        assert lock.locked_s <= 60
        if lock.locked_s:  # tries in between do not extend the wait
            assert await lock.try_pin("000002") is PinResult.LOCKED
        assert lock.locked_s <= 60
        guessed_s += int(lock.locked_s)
        clock.pass_s(lock.locked_s)
    assert guessed_s > 40 * (wrong - FREE_TRIES)  # guessing stays slow
    assert 1 + guessed_s // 3700 <= alarms <= 1 + guessed_s // 3600
    assert await lock.try_pin(PIN) is PinResult.OPEN
    assert not lock.take_alarm()


async def test_the_platform_ends_the_wait(tmp_path: Path) -> None:
    lock = PinLock(tmp_path / "staff.pin", Clock().monotonic)
    write_pin(tmp_path / "staff.pin", PIN)
    for _ in range(FREE_TRIES):
        await lock.try_pin("000001")
    assert await lock.try_pin(PIN) is PinResult.LOCKED
    lock.unlock()
    assert await lock.try_pin("000001") is PinResult.WRONG  # it opens nothing
    assert await lock.try_pin(PIN) is PinResult.OPEN


def test_a_damaged_pin_file_opens_nothing(tmp_path: Path) -> None:
    for text in ("", "scrypt$1$8$1$00$00", "plain$274913", "scrypt$32768$8$1$zz$zz"):
        (tmp_path / "staff.pin").write_text(text)
        assert not PinLock(tmp_path / "staff.pin").is_set


def test_the_command_sets_the_pin(tmp_path: Path) -> None:
    config = tmp_path / "sentinel.toml"
    config.write_text(f'[staff]\npin_hash_file = "{tmp_path}/staff.pin"\n')
    weak = CliRunner().invoke(app, ["staff", "set-pin", "--config", str(config)], input="123456\n")
    assert weak.exit_code == 2
    assert not (tmp_path / "staff.pin").exists()
    done = CliRunner().invoke(app, ["staff", "set-pin", "--config", str(config)], input=f"{PIN}\n")
    assert done.exit_code == 0
    assert PIN not in done.output
    assert PinLock(tmp_path / "staff.pin").is_set


async def test_nothing_is_told_or_done_without_the_pin(desk: Desk, client: aiohttp.ClientSession) -> None:
    async with client.get("/staff/overview") as answer:
        assert answer.status == 401
    acts = {"override": {"passage_id": "x", "why": "no_phone"}, "gate": {"why": "no_phone"}, "volume": {"share": 0.1}}
    for act, body in acts.items():
        async with client.post(f"/staff/{act}", json=body, headers={"Cookie": "staff=guess"}) as answer:
            assert answer.status == 401
    assert await enter(client, "000001") == 403
    assert desk.gate.counters["pulses"] == 0
    assert await desk.alarms() == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_another_page_can_neither_act_nor_touch(
    desk: Desk, client: aiohttp.ClientSession, headers: dict[str, str]
) -> None:
    assert await enter(client) == 200
    for path, body in (
        ("/staff/gate", {"why": "no_phone"}),
        ("/touch/staff", {}),
        ("/touch/language", {"language": "en"}),
    ):
        async with client.post(path, json=body, headers=headers) as answer:
            assert answer.status == 403
    async with client.get("/staff/overview", headers=headers) as answer:
        assert answer.status == 403
    async with client.post("/staff/gate", data={"why": "no_phone"}) as answer:
        assert answer.status == 415
    assert desk.gate.counters["pulses"] == 0


async def test_many_wrong_pins_are_told_to_the_platform(desk: Desk, client: aiohttp.ClientSession) -> None:
    for _ in range(FREE_TRIES):
        assert await enter(client, "000001") == 403
    assert await enter(client) == 429
    assert await desk.alarms() == [("staff_pin_locked", "kiosk", "")]


async def test_the_last_passages_are_shown_without_identities_and_can_be_overridden(
    desk: Desk, client: aiohttp.ClientSession
) -> None:
    for one in (
        passage(Verdict.ADMIT, Reason.ALL_CLEAR),
        passage(Verdict.REFUSE, Reason.CODE_RED, Reason.MASK_MISSING),
    ):
        await desk.ledger.commit(one)
        await desk.ledger.close(one, Outcome.LEFT, 100, gate_opened=False)
    assert await enter(client) == 200
    async with client.get("/staff/overview") as answer:
        assert answer.cookies == {}
        overview = await answer.json()
    refused, admitted = overview["passages"]
    assert (admitted["verdict"], refused["verdict"]) == ("admit", "refuse")
    assert (refused["reasons"], refused["shown"]) == (["code_red", "mask_missing"], ["private", "mask_missing"])
    assert "person_key" not in str(overview)
    wanted = {"passage_id": refused["passage_id"], "why": "checked_by_hand"}
    async with client.post("/staff/override", json=wanted) as answer:
        assert await answer.json() == {"opened": True}
    async with client.post("/staff/override", json=wanted | {"passage_id": "unknown"}) as answer:
        assert answer.status == 404
    async with client.post("/staff/override", json=wanted | {"why": "Mr Wang said so"}) as answer:
        assert answer.status == 400
    assert desk.gate.counters["pulses"] == 1
    alarms = [alarm for alarm in await desk.alarms() if alarm[0].startswith("staff")]
    assert alarms == [("staff_entered", "kiosk", ""), ("staff_override", refused["passage_id"], "checked_by_hand")]


async def test_staff_set_volume_and_language_and_open_the_gate(desk: Desk, client: aiohttp.ClientSession) -> None:
    assert await enter(client) == 200
    for path, body, status in (
        ("volume", {"share": 0.35}, 204),
        ("volume", {"share": 1.5}, 400),
        ("language", {"language": "en"}, 204),
        ("language", {"language": "fr"}, 400),
        ("gate", {"why": "emergency"}, 200),
    ):
        async with client.post(f"/staff/{path}", json=body) as answer:
            assert answer.status == status, path
    assert desk.room.speaker.volume == 0.35
    assert desk.room.board.view.language == "en"
    assert desk.gate.counters["pulses"] == 1
    assert ("staff_released_gate", "gate", "emergency") in await desk.alarms()


async def test_a_session_ends_by_itself_and_a_new_one_ends_the_old(desk: Desk, client: aiohttp.ClientSession) -> None:
    assert await enter(client) == 200
    desk.clock.pass_s(SESSION_S - 1)
    async with client.get("/staff/overview") as answer:
        assert answer.status == 200
    desk.clock.pass_s(2)
    async with client.get("/staff/overview") as answer:
        assert answer.status == 401
    assert await enter(client) == 200
    async with aiohttp.ClientSession(desk.stand.url, cookie_jar=aiohttp.CookieJar(unsafe=True)) as other:
        assert await enter(other) == 200
        async with client.get("/staff/overview") as answer:
            assert answer.status == 401
        async with other.post("/staff/leave", json={}) as answer:
            assert answer.status == 204
        async with other.get("/staff/overview") as answer:
            assert answer.status == 401


async def test_a_call_for_staff_is_one_alarm_and_ends_when_they_enter(
    desk: Desk, client: aiohttp.ClientSession
) -> None:
    for _ in range(3):
        async with client.post("/touch/staff", json={}) as answer:
            assert answer.status == 204
    assert await desk.alarms() == [("staff_wanted", "kiosk", "")]
    assert desk.room.speaker.names() == ["staff_will_help"]
    assert desk.room.board.view.staff_called
    assert await enter(client) == 200
    assert not desk.room.board.view.staff_called


async def test_the_view_in_a_browser(tmp_path: Path) -> None:
    catalogue = load_catalogue()
    async with opened_desk(tmp_path) as desk, chromium() as browser:
        for number in range(25):
            reasons = (Reason.CODE_RED,) if number % 2 else (Reason.TEST_EXPIRED, Reason.MASK_INCORRECT)
            await desk.ledger.commit(passage(Verdict.ASSIST, *reasons))
        page = await open_page(browser, (800, 480))
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(f"{desk.stand.url}/staff")
        await page.locator("#pad button", has_text="1").click()
        await page.keyboard.press("Enter")
        await expect(page.locator("#message")).to_have_text(catalogue.text("staff", "wrong", "zh-CN"))
        await page.keyboard.type(PIN)
        await page.keyboard.press("Enter")
        await expect(page.locator("#passages li")).to_have_count(20)
        for width, height in SIZES.values():
            await page.set_viewport_size({"width": width, "height": height})
            for language in LANGUAGES:
                await page.locator(f"header button[lang={language}]").click()
                faults = await page.evaluate(LAYOUT_FAULTS)  # the lists scroll: what lies below the edge is no fault
                assert [fault for fault in faults if "cut off" in fault or "contrast" in fault] == []
        await page.locator("header button[lang=en]").click()
        assert "Red code" not in await page.locator("#passages").inner_text()
        await page.get_by_role("button", name="Show why").first.click()
        assert "Red code" in await page.locator("#passages li").nth(1).inner_text()
        await page.get_by_role("button", name="Let pass").first.click()
        await page.get_by_role("button", name="Checked by hand").click()
        await expect(page.locator("#done")).to_have_text("Opened, and written down")
        await page.locator("#leave").click()
        await expect(page.locator("#headline")).to_be_visible()
    assert complaints == []


async def test_without_a_pin_the_view_says_how_to_set_one(tmp_path: Path) -> None:
    async with opened_desk(tmp_path, pin=None) as desk, chromium() as browser:
        page = await open_page(browser, (800, 480))
        await page.goto(f"{desk.stand.url}/staff")
        await expect(page.locator("code")).to_have_text("edge-agent staff set-pin")
        await expect(page.locator("#form")).to_be_hidden()

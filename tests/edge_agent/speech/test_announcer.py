from __future__ import annotations

import asyncio
from datetime import datetime, time

import numpy as np
import pytest

from config.settings import AnnouncerSettings
from drivers.audio.sound import RATE_HZ
from drivers.contract import Clip
from edge_agent.domain.passage import Decision, Reason, Verdict
from edge_agent.screen.language_choice import CHOICE_HOLD_S
from edge_agent.screen.view_state import STAFF_CALL_S, Hint, ScreenStage
from edge_agent.speech.broadcasts.broadcast import PlaybackResult
from edge_agent.speech.hints import HintClock, HintSpeaker
from edge_agent.speech.volume_schedule import VolumeSchedule
from tests.edge_agent.speech.sound import CATALOGUE, NOON, Clock, Room, until
from tests.limits import HANG_S

FIRE = Clip("fire", np.ones(10, np.int16), RATE_HZ)
WATER = Clip("water", np.ones(10, np.int16), RATE_HZ)


@pytest.fixture
def room() -> Room:
    return Room()


async def test_a_prompt_is_heard_in_the_language_on_the_board_and_noted(room: Room) -> None:
    room.come()
    room.board.choose_language("yue")
    assert await room.announcer.say("wait") == room.clock.monotonic_s
    [played] = room.announcer.status()["played"]  # type: ignore[misc]
    assert (played["kind"], played["name"], played["language"], played["heard"]) == ("prompt", "wait", "yue", True)


async def test_the_same_prompt_is_not_repeated_to_the_same_person_within_five_seconds(room: Room) -> None:
    room.come()
    assert await room.announcer.say("mask_on") is not None
    room.clock.pass_s(4.9)
    assert await room.announcer.say("mask_on") is None
    assert await room.announcer.say("wait") is not None
    room.clock.pass_s(0.2)
    assert await room.announcer.say("mask_on") is not None
    room.come()
    assert await room.announcer.say("mask_on") is not None
    assert room.speaker.names() == ["mask_on", "wait", "mask_on", "mask_on"]
    assert room.announcer.status()["repeats_left_out"] == 1


async def test_an_emergency_takes_the_place_of_all_at_full_volume_and_holds_prompts_back(room: Room) -> None:
    room.come()
    broadcast = asyncio.create_task(room.announcer.broadcast(WATER, "zh-CN"))
    await until(room.speaker.names)
    emergency = asyncio.create_task(room.announcer.emergency(FIRE, "zh-CN"))
    await until(lambda: "fire" in room.speaker.names())
    async with asyncio.timeout(HANG_S):
        assert await room.announcer.say("pass") is None
        assert await room.announcer.broadcast(WATER, "zh-CN") is PlaybackResult.CUT_SHORT
    room.speaker.finish()
    assert await emergency
    assert await broadcast is PlaybackResult.CUT_SHORT
    assert room.speaker.heard == [("broadcast", "water", 0.8), ("broadcast", "hush", 1.0), ("prompt", "fire", 1.0)]
    assert await room.announcer.say("pass") is not None
    assert room.speaker.heard[-1] == ("prompt", "pass", 0.8)


async def test_a_lost_speaker_holds_nobody_up(room: Room) -> None:
    room.speaker.lost = True
    assert await room.announcer.say("pass") is None
    assert not await room.announcer.emergency(FIRE, "zh-CN")
    room.speaker.lost, room.speaker.hangs = False, True
    async with asyncio.timeout(HANG_S):
        assert await room.announcer.say("wait") is None
    assert room.announcer.status()["unheard"] == 4
    room.speaker.hangs = False
    assert await room.announcer.say("show_code") is not None


async def test_the_night_is_ten_decibels_quieter_and_staff_can_change_it() -> None:
    room = Room(Clock(datetime.combine(NOON.date(), time(23), NOON.tzinfo)))
    await room.announcer.say("wait")
    assert room.speaker.heard == [("prompt", "wait", 0.25)]
    settings = AnnouncerSettings()
    assert 20 * np.log10(settings.night_volume / settings.day_volume) == pytest.approx(-10, abs=0.2)
    room.announcer.set_volume(0.1)
    await room.announcer.say("pass")
    assert room.speaker.heard[-1] == ("prompt", "pass", 0.1)
    assert room.announcer.hours.day_volume == 0.8


@pytest.mark.parametrize(
    ("quiet", "at", "is_quiet"),
    [
        (("21:00", "07:00"), time(20, 59), False),
        (("21:00", "07:00"), time(21), True),
        (("21:00", "07:00"), time(6, 59), True),
        (("21:00", "07:00"), time(7), False),
        (("12:00", "14:00"), time(13), True),
        (("12:00", "12:00"), time(12), False),
    ],
)
def test_quiet_hours(quiet: tuple[str, str], at: time, is_quiet: bool) -> None:
    assert VolumeSchedule(AnnouncerSettings(quiet=quiet)).is_quiet(at) is is_quiet


async def test_a_hint_that_nobody_follows_is_spoken_twice_and_then_no_more(room: Room) -> None:
    room.come()
    clock = HintClock(patience_s=4.0)
    room.board.show(ScreenStage.MEASURING, hint=Hint.SHOW_CODE)
    spoken = [second for second in range(60) if clock.due(room.board.view, float(second))]
    assert spoken == [4, 14]
    room.come()
    room.board.show(ScreenStage.MEASURING, hint=Hint.SHOW_CODE)
    assert [second for second in range(60, 70) if clock.due(room.board.view, float(second))] == [64]


async def test_a_hint_that_is_followed_is_not_spoken(room: Room) -> None:
    room.come()
    clock = HintClock(patience_s=4.0)
    for second in range(30):
        room.board.show(ScreenStage.ARRIVAL, hint=Hint.COME_CLOSER if second % 3 else Hint.HOLD_STILL)
        assert clock.due(room.board.view, float(second)) is None


async def test_hints_are_heard(room: Room) -> None:
    hints = HintSpeaker(room.board, room.announcer, CATALOGUE, 4.0, room.clock.monotonic)
    running = asyncio.create_task(hints.run())
    room.come()
    room.board.show(ScreenStage.ARRIVAL, hint=Hint.COME_CLOSER)
    await asyncio.sleep(0.01)
    room.clock.pass_s(5)
    await until(room.speaker.names)
    running.cancel()
    assert room.speaker.names() == ["come_closer"]


def test_a_visit_is_one_person(room: Room) -> None:
    board = room.board
    assert board.view.visit == 0
    board.show(ScreenStage.IDLE)
    board.show(ScreenStage.ARRIVAL)
    board.show(ScreenStage.MEASURING)
    board.show(ScreenStage.RESULT, decision=Decision(Verdict.RECHECK, (Reason.MASK_MISSING,)))
    board.show(ScreenStage.MEASURING)
    board.show(ScreenStage.RESULT, decision=Decision(Verdict.ADMIT, (Reason.ALL_CLEAR,)))
    assert board.view.visit == 1
    board.show(ScreenStage.ARRIVAL)
    assert board.view.visit == 2


def test_a_chosen_language_lasts_as_long_as_its_person(room: Room) -> None:
    board, clock = room.board, room.clock
    room.come()
    board.choose_language("en")
    clock.pass_s(60)
    board.show(ScreenStage.RESULT, decision=Decision(Verdict.ADMIT, (Reason.ALL_CLEAR,)))
    assert board.view.language == "en"
    board.show(ScreenStage.IDLE)
    clock.pass_s(CHOICE_HOLD_S + 1)
    board.staff_came()  # anything that is shown
    assert board.view.language == "zh-CN"


def test_a_chosen_language_ends_with_the_next_person_who_steps_up_at_once(room: Room) -> None:
    board = room.board
    board.choose_language("yue")
    room.come()
    assert board.view.language == "yue"
    board.show(ScreenStage.RESULT, decision=Decision(Verdict.RECHECK, (Reason.MASK_MISSING,)))
    board.show(ScreenStage.MEASURING)
    assert board.view.language == "yue"
    board.show(ScreenStage.RESULT, decision=Decision(Verdict.ADMIT, (Reason.ALL_CLEAR,)))
    board.show(ScreenStage.ARRIVAL)
    assert board.view.language == "zh-CN"


def test_languages_take_turns_until_a_result_stands() -> None:
    room = Room(also=("yue", "en"), turn_s=8.0)
    seen = []
    room.come()
    for _ in range(4):
        room.board.show(ScreenStage.MEASURING, hint=Hint.SHOW_CODE)
        seen.append(room.board.view.language)
        room.clock.pass_s(8)
    assert seen == ["zh-CN", "yue", "en", "zh-CN"]
    room.board.show(ScreenStage.RESULT, decision=Decision(Verdict.ADMIT, (Reason.ALL_CLEAR,)))
    before = room.board.view.language
    room.clock.pass_s(8)
    room.board.staff_came()
    assert room.board.view.language == before
    room.come()
    assert room.board.view.language == "zh-CN"
    room.board.speak("en")
    assert room.board.default_languages == ("en", "yue")


def test_a_call_for_staff_stands_until_they_come_or_for_two_minutes(room: Room) -> None:
    board = room.board
    assert board.call_staff()
    assert not board.call_staff()
    assert board.view.staff_called
    board.staff_came()
    assert not board.view.staff_called
    assert board.call_staff()
    room.clock.pass_s(STAFF_CALL_S)
    board.show(ScreenStage.IDLE)
    assert not board.view.staff_called


async def test_what_is_played_at_no_volume_is_not_heard() -> None:
    room = Room(day_volume=0.0, night_volume=0.0)
    assert await room.announcer.say("pass") is None
    assert await room.announcer.broadcast(Clip("water", np.ones(9, np.int16), RATE_HZ), "zh-CN") is PlaybackResult.NOT
    assert [played["heard"] for played in room.announcer.status()["played"]] == [False, False]  # type: ignore[attr-defined]

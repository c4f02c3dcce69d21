from __future__ import annotations

import asyncio
import hashlib
import io
import os
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from config.catalogue import columns
from config.prompts.speech import plain
from drivers.audio.sound import RATE_HZ
from drivers.audio.sound_file import is_audible
from drivers.contract import Clip
from edge_agent.speech.broadcasts.audio_store import AudioStore
from edge_agent.speech.broadcasts.broadcast import (
    SHOWN_COLUMNS,
    SPOKEN_CHARACTERS,
    OfferResult,
    shown,
    spoken,
)
from edge_agent.speech.broadcasts.errors import NoSound
from edge_agent.speech.broadcasts.player import BroadcastPlayer, MakeSound
from edge_agent.speech.broadcasts.queue import KEPT
from edge_agent.speech.broadcasts.saved_broadcasts import BroadcastFile, SavedBroadcasts
from edge_agent.speech.broadcasts.schedule import BadSchedule, Schedule
from edge_agent.speech.broadcasts.sound import LONGEST_S, chime, make_sound
from sync.contract.orders import Audio, Broadcast, Priority
from tests.edge_agent.speech.sound import NOON, Clock, Room, until

DAY = timedelta(days=1)


def broadcast(name: str, **fields: object) -> Broadcast:
    whole = {
        "broadcast_id": name,
        "texts": {"zh-CN": f"通知 {name}", "en": f"Notice {name}"},
        "valid_from": NOON,
        "valid_until": NOON + DAY,
    }
    return msgspec.convert(whole | fields, Broadcast)


async def clip_of(one: Broadcast, _languages: tuple[str, ...]) -> Clip:
    return Clip(one.broadcast_id, np.ones(10, np.int16), RATE_HZ)


class Town:
    """Bulletins that run in a room of their own."""

    def __init__(
        self, folder: Path, clock: Clock | None = None, make: MakeSound = clip_of, *, certain: bool = True
    ) -> None:
        self.room = Room(clock)
        self.clock_is_certain = certain
        self.memory = BroadcastFile(folder / "broadcasts.json")
        self.played: list[tuple[str, bool, bool]] = []
        self.list = BroadcastPlayer(
            self.room.announcer,
            self.room.board,
            make,
            self.memory,
            note_played=self.note,
            now=self.room.clock.now,
            certain=lambda: self.clock_is_certain,
        )
        self.heard = self.room.speaker.names
        self.view = lambda: self.room.board.view

    async def note(self, broadcast_id: str, *, emergency: bool, heard: bool) -> None:
        self.played.append((broadcast_id, emergency, heard))

    async def finish(self, name: str) -> None:
        """Wait until `name` sounds, then let it end."""
        await until(lambda: name in self.heard())
        self.room.speaker.finish()


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    town = Town(tmp_path)
    running = asyncio.create_task(town.list.run())
    yield town
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_broadcast_is_told_once_and_shown_while_it_is_told(town: Town) -> None:
    assert town.list.offer(broadcast("water")) is OfferResult.TAKEN
    await until(town.heard)
    assert town.view().bulletin is not None
    assert (town.view().bulletin.texts["en"], town.view().bulletin.at) == ("Notice water", "")
    town.room.speaker.finish()
    await until(lambda: town.view().bulletin is None)
    assert town.list.offer(broadcast("water")) is OfferResult.OVER
    assert town.heard() == ["water"]
    assert town.played == [("water", False, True)]


async def test_the_next_one_is_announced_and_told_on_schedule(town: Town) -> None:
    town.list.offer(broadcast("evening", schedule="30 18 * * 1-5", valid_until=NOON + 3 * DAY))
    await until(lambda: town.view().bulletin is not None)
    assert town.view().bulletin.at == "18:30"
    town.room.clock.pass_s(6.5 * 3600)
    await town.finish("evening")
    await until(lambda: town.view().bulletin is not None and town.view().bulletin.at == "18:30")
    assert town.heard() == ["evening"]


async def test_an_emergency_takes_screen_and_voice_until_it_is_over(town: Town) -> None:
    town.list.offer(broadcast("water"))
    await until(lambda: "water" in town.heard())
    town.list.offer(broadcast("fire", priority="emergency", valid_until=(NOON + timedelta(minutes=5)).isoformat()))
    await until(lambda: town.view().emergency is not None)
    await town.finish("fire")
    assert town.heard()[:3] == ["water", "hush", "fire"]
    await until(lambda: len(town.played) == 2)
    assert town.played == [("water", False, False), ("fire", True, True)]
    town.room.clock.pass_s(301)
    await until(lambda: town.view().emergency is None)
    await until(lambda: town.heard()[-1] == "water")
    town.room.speaker.finish()
    await until(lambda: town.played[-1] == ("water", False, True))


async def test_what_was_withdrawn_while_an_emergency_cut_it_short_stays_untold(town: Town) -> None:
    town.list.offer(broadcast("water"))
    await until(lambda: "water" in town.heard())
    town.list.withdraw("water")
    town.list.offer(broadcast("fire", priority="emergency", valid_until=(NOON + timedelta(minutes=5)).isoformat()))
    await town.finish("fire")
    town.room.clock.pass_s(301)
    await until(lambda: town.view().emergency is None)
    town.list.offer(broadcast("later"))
    await until(lambda: "later" in town.heard())
    assert town.heard().count("water") == 1


async def test_quiet_hours_hold_a_broadcast_back_but_no_emergency(tmp_path: Path) -> None:
    town = Town(tmp_path, Clock(NOON + timedelta(hours=10)))
    running = asyncio.create_task(town.list.run())
    town.list.offer(broadcast("late"))
    town.list.offer(broadcast("fire", priority="emergency"))
    await until(lambda: "fire" in town.heard())
    assert "late" not in town.heard()
    assert town.list.withdraw("fire")
    assert not town.list.withdraw("fire")
    town.room.speaker.finish()
    town.room.clock.pass_s(9.5 * 3600)
    await until(lambda: "late" in town.heard())
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def test_fifty_at_once_fit_and_a_full_list_says_so(tmp_path: Path) -> None:
    town = Town(tmp_path)
    assert {town.list.offer(broadcast(f"b{number}")) for number in range(KEPT)} == {OfferResult.TAKEN}
    assert town.list.offer(broadcast("one-more")) is OfferResult.FULL
    assert town.list.offer(broadcast("b3", texts={"en": "no longer"})) is OfferResult.EMPTY
    assert town.list.offer(broadcast("b3", texts={"zh-CN": "另一条"})) is OfferResult.REPLACED
    assert town.list.offer(broadcast("fire", priority=Priority.EMERGENCY)) is OfferResult.TAKEN
    assert town.list.status()["given_up_for_emergency"] == 1
    assert town.list.status()["listed"] == KEPT


async def test_fifty_at_once_are_told_one_by_one_in_the_order_they_came(town: Town) -> None:
    names = [f"b{number}" for number in range(50)]
    for name in names:
        town.list.offer(broadcast(name))
    for number, _name in enumerate(names, start=1):
        await until(lambda number=number: len(town.heard()) >= number)  # type: ignore[misc]
        town.room.speaker.finish()
    assert town.heard() == names


async def test_the_list_outlives_a_restart_and_what_was_told_stays_told(town: Town, tmp_path: Path) -> None:
    town.list.offer(broadcast("daily", schedule="0 18 * * *"))
    town.list.offer(broadcast("once"))
    await town.finish("once")
    await until(lambda: town.memory.load().told == ("once",))
    again = Town(tmp_path)
    assert [one.broadcast_id for one in again.memory.load().broadcasts] == ["daily"]
    assert again.list.status()["listed"] == 1
    assert again.list.offer(broadcast("once")) is OfferResult.OVER
    (tmp_path / "broadcasts.json").write_bytes(b"\x00damaged")
    assert Town(tmp_path).memory.load() == SavedBroadcasts()


@pytest.mark.parametrize("later", [400 * DAY, 4000 * DAY])
async def test_a_clock_that_is_not_confirmed_drops_no_broadcast(tmp_path: Path, later: timedelta) -> None:
    """The box starts again with a clock far ahead: nothing is played, and nothing is lost when the clock is right."""
    first = Town(tmp_path)
    for one in (broadcast("daily", schedule="0 18 * * *"), broadcast("fire", priority=Priority.EMERGENCY)):
        first.list.offer(one)
    first.memory.save(first.list._queue.kept())
    clock = Clock()
    clock.pass_s(later.total_seconds())
    again = Town(tmp_path, clock, certain=False)
    running = asyncio.create_task(again.list.run())
    assert again.list.offer(broadcast("water")) is OfferResult.TAKEN
    await until(lambda: len(again.memory.load().broadcasts) == 3)
    assert (again.heard(), again.view().emergency) == ([], None)
    clock.pass_s(-later.total_seconds())
    again.clock_is_certain = True
    await until(lambda: again.view().emergency is not None)
    assert again.list.status()["listed"] == 3
    clock.pass_s(2 * DAY.total_seconds())
    await until(lambda: again.list.status()["listed"] == 0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def test_a_file_that_is_on_boxes_is_read(tmp_path: Path) -> None:
    (tmp_path / "broadcasts.json").write_text('{"broadcasts":[],"told":["once"]}')
    assert BroadcastFile(tmp_path / "broadcasts.json").load() == SavedBroadcasts(told=("once",))


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        ({"valid_until": NOON}, OfferResult.OVER),
        ({"schedule": "61 * * * *"}, OfferResult.BAD_SCHEDULE),
        ({"texts": {"en": "only English"}}, OfferResult.EMPTY),
        ({"texts": {"zh-CN": "  "}}, OfferResult.EMPTY),
    ],
)
def test_what_cannot_be_told_is_answered(tmp_path: Path, fields: dict[str, object], answer: OfferResult) -> None:
    assert Town(tmp_path).list.offer(broadcast("x", **fields)) is answer


async def test_a_broadcast_without_sound_is_shown_and_the_reason_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    room = Room()

    async def none(_one: Broadcast, _languages: tuple[str, ...]) -> Clip:
        raise NoSound("espeak-ng is not installed")

    played: list[tuple[str, bool, bool]] = []

    async def note(broadcast_id: str, *, emergency: bool, heard: bool) -> None:
        played.append((broadcast_id, emergency, heard))

    memory = BroadcastFile(tmp_path / "kept")
    bulletins = BroadcastPlayer(
        room.announcer, room.board, none, memory, note_played=note, now=room.clock.now, certain=lambda: True
    )
    running = asyncio.create_task(bulletins.run())
    bulletins.offer(broadcast("water"))
    await until(lambda: bulletins.status().get("without_sound"))
    assert room.board.view.bulletin is not None
    bulletins.offer(broadcast("fire", priority=Priority.EMERGENCY))
    await until(lambda: bulletins.status().get("without_sound") == 2)
    assert room.board.view.emergency is not None
    assert bulletins.status()["last_without_sound"] == "espeak-ng is not installed"
    assert room.speaker.names() == []
    assert played == [("water", False, False), ("fire", True, False)]
    assert "通知" not in caplog.text
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize(
    ("line", "moment", "matches"),
    [
        ("* * * * *", "2026-11-23T12:00", True),
        ("0 12 * * *", "2026-11-23T12:00", True),
        ("0 12 * * *", "2026-11-23T12:01", False),
        ("*/15 8-18 * * 1-5", "2026-11-23T12:45", True),
        ("*/15 8-18 * * 1-5", "2026-11-22T12:45", False),  # a Sunday
        ("0 12 * * 7", "2026-11-22T12:00", True),
        ("0 12 * * 0", "2026-11-22T12:00", True),
        ("0 12 1 * 1", "2026-11-23T12:00", True),  # the first or a Monday
        ("0 12 1 * 1", "2026-11-24T12:00", False),
        ("5,10-20/5 * * 11 *", "2026-11-23T07:15", True),
        ("5,10-20/5 * * 12 *", "2026-11-23T07:15", False),
    ],
)
def test_a_schedule_matches_as_cron_does(line: str, moment: str, matches: bool) -> None:
    assert Schedule.parse(line).matches(datetime.fromisoformat(moment)) is matches


@pytest.mark.parametrize(
    "line", ["", "* * * *", "60 * * * *", "* 24 * * *", "*/0 * * * *", "5-1 * * * *", "a * * * *", "１ * * * *"]
)
def test_what_is_no_schedule_is_refused(line: str) -> None:
    with pytest.raises(BadSchedule):
        Schedule.parse(line)


@settings(max_examples=50)
@given(st.integers(0, 59), st.integers(0, 23), st.integers(0, 6), st.integers(0, 10**8))
def test_the_next_time_is_the_first_that_matches(minute: int, hour: int, weekday: int, later_s: int) -> None:
    now = NOON + timedelta(seconds=later_s)
    schedule = Schedule.parse(f"{minute} {hour} * * {weekday}")
    found = schedule.next(now, timedelta(days=8))
    assert found is not None
    assert now < found <= now + timedelta(days=7, minutes=1)
    assert (found.minute, found.hour, found.isoweekday() % 7) == (minute, hour, weekday)


@settings(max_examples=100)
@given(st.text(max_size=400))
def test_any_text_becomes_a_plain_and_short_one(text: str) -> None:
    for one in (plain(text), shown(text), spoken(text)):
        assert all(character.isprintable() for character in one)
        assert one == one.strip()
    assert columns(shown(text)) <= SHOWN_COLUMNS + 1


def test_five_thousand_characters_become_a_notice() -> None:
    text = "因供水管道检修，今晚停水。\n\u202e" * 400
    assert shown(text).endswith("停水…")
    assert "\u202e" not in shown(text)
    assert len(spoken(text)) <= SPOKEN_CHARACTERS
    assert shown("<b>停水</b>") == "<b>停水</b>"


@pytest.fixture
async def city() -> AsyncIterator[tuple[str, dict[str, bytes]]]:
    """A web server with sounds by name; `/away` leads elsewhere."""
    sounds: dict[str, bytes] = {}
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        asked.append(name)
        if name == "away":
            raise web.HTTPFound("/good")
        if name not in sounds:
            raise web.HTTPNotFound
        return web.Response(body=sounds[name])

    application = web.Application()
    application.router.add_get("/{name}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", sounds
    await runner.cleanup()


def audio_of(url: str, data: bytes, **fields: object) -> Audio:
    whole = {"url": url, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    return msgspec.convert(whole | fields, Audio)


async def test_audio_is_fetched_once_and_kept_within_its_room(
    city: tuple[str, dict[str, bytes]], tmp_path: Path
) -> None:
    url, sounds = city
    store = AudioStore(tmp_path / "store", 2500, {"127.0.0.1"})
    sounds.update({name: name.encode() * 250 for name in ("aaaa", "bbbb", "cccc")})
    audios = {name: audio_of(f"{url}/{name}", data) for name, data in sounds.items()}
    first = await store.file(audios["aaaa"])
    assert first.read_bytes() == sounds["aaaa"]
    await store.file(audios["bbbb"])
    sounds.clear()
    assert await store.file(audios["aaaa"]) == first  # no longer there to fetch
    sounds["cccc"] = b"cccc" * 250
    await store.file(audios["cccc"])
    assert sum(file.stat().st_size for file in (tmp_path / "store").iterdir()) <= 2500
    first.write_bytes(b"damaged")
    with pytest.raises(NoSound, match="404"):
        await store.file(audios["aaaa"])


def test_the_audio_used_last_stays_also_when_the_clock_goes_back(tmp_path: Path) -> None:
    store = AudioStore(tmp_path, 250, ())
    for index, name in enumerate(("first", "second")):
        store._keep(tmp_path / name, bytes(100))
        os.utime(tmp_path / name, (2e9 + index,) * 2)  # stored by a clock ahead
    store._keep(tmp_path / "third", bytes(100))
    store._keep(tmp_path / "fourth", bytes(100))
    assert {file.name for file in tmp_path.iterdir()} == {"third", "fourth"}


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda url, data: audio_of(f"{url}/good", data, sha256="0" * 64), "not what was announced"),
        (lambda url, data: audio_of(f"{url}/good", data, bytes=3), "longer than announced"),
        (lambda url, data: audio_of(f"{url}/good", data, bytes=2000), "not what was announced"),
        (lambda url, data: audio_of(f"{url}/none", data), "status 404"),
        (lambda url, data: audio_of(f"{url}/away", data), "status 302"),
        (lambda _url, data: audio_of("https://elsewhere.example/good", data), "may not ask"),
        (lambda _url, data: audio_of("file:///etc/passwd", data), "address of the audio is not valid"),
        (lambda _url, data: audio_of("https://[::1/good", data), "address of the audio is not valid"),
        (lambda _url, data: audio_of("https://platform.example：443/good", data), "address of the audio is not valid"),
        (lambda _url, data: audio_of("https://platform.example:0/good", data), "address of the audio is not valid"),
        (lambda _url, data: audio_of("http://platform.example/good", data), "not offered over https"),
        (lambda url, data: audio_of(f"{url}/good", data, bytes=9_000_000), "larger than the whole store"),
        (lambda _url, data: audio_of("http://127.0.0.1:1/good", data), "cannot be fetched now"),
    ],
)
async def test_audio_that_is_not_as_announced_is_refused(
    city: tuple[str, dict[str, bytes]], tmp_path: Path, make: Callable[[str, bytes], Audio], told: str
) -> None:
    url, sounds = city
    sounds["good"] = b"sound" * 100
    store = AudioStore(tmp_path, 1_000_000, {"127.0.0.1", "platform.example"})
    with pytest.raises(NoSound, match=told):
        await store.file(make(url, sounds["good"]))
    assert list(tmp_path.iterdir()) == []


async def test_the_sound_of_a_broadcast_begins_with_a_chime(city: tuple[str, dict[str, bytes]], tmp_path: Path) -> None:
    url, sounds = city
    sounds["pass"] = (Path(__file__).parents[3] / "config" / "prompts" / "en" / "pass.ogg").read_bytes()
    store = AudioStore(tmp_path, 1_000_000, {"127.0.0.1"})
    one = broadcast("water", audio=msgspec.to_builtins(audio_of(f"{url}/pass", sounds["pass"])))
    clip = await make_sound(one, ("zh-CN",), store)
    assert clip.rate_hz == RATE_HZ
    assert np.array_equal(clip.samples[: len(chime())], chime())
    assert 2.5 < len(clip.samples) / RATE_HZ < LONGEST_S
    sounds["bad"] = b"no sound"
    one = broadcast("bad", audio=msgspec.to_builtins(audio_of(f"{url}/bad", sounds["bad"])))
    with pytest.raises(NoSound, match="not in a format that this box can decode"):
        await make_sound(one, ("zh-CN",), store)


def wav(amplitude: float, shape: str = "tone") -> bytes:
    """Three seconds in two channels: a tone, an antiphase tone, a constant, or one click."""
    seconds = np.arange(3 * RATE_HZ) / RATE_HZ
    left = amplitude * np.sin(2 * np.pi * 440 * seconds)
    shapes = {
        "tone": (left, left),
        "antiphase": (left, -left),
        "constant": (np.full(len(left), amplitude),) * 2,
        "click": (np.where(seconds < 0.01, amplitude, 0.0),) * 2,
    }
    file = io.BytesIO()
    soundfile.write(file, np.stack(shapes[shape], axis=1), RATE_HZ, format="WAV")
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "reason", "priority"),
    [
        (wav(0.0), "too quiet", Priority.EMERGENCY),
        (wav(10 ** (-55 / 20)), "too quiet", Priority.NORMAL),
        (wav(0.5, "constant"), "too quiet", Priority.NORMAL),
        (wav(0.9, "click"), "too quiet", Priority.NORMAL),
        (wav(0.5)[:40], "not in a format", Priority.EMERGENCY),
        (None, "status 404", Priority.NORMAL),
    ],
    ids=["silence", "quiet", "constant", "click", "cut", "gone"],
)
async def test_the_text_is_spoken_where_the_audio_cannot_be_heard(
    city: tuple[str, dict[str, bytes]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    data: bytes | None,
    reason: str,
    priority: Priority,
) -> None:
    url, sounds = city
    if data is not None:
        sounds["water"] = data
    store, sounded = AudioStore(tmp_path / "store", 1_000_000, {"127.0.0.1"}), []
    audio = msgspec.to_builtins(audio_of(f"{url}/water", data or b"gone"))
    one = broadcast("water", texts={"zh-CN": "停水"}, audio=audio, priority=priority)

    async def make(wanted: Broadcast, languages: tuple[str, ...]) -> Clip:
        clip = await make_sound(wanted, languages, store)
        sounded.append((wanted.audio, is_audible(clip.samples[len(chime()) :])))
        return clip

    town = Town(tmp_path, make=make)
    running = asyncio.create_task(town.list.run())
    town.list.offer(one)
    await town.finish("water")
    await until(lambda: town.played)
    assert town.played == [("water", priority is Priority.EMERGENCY, True)]
    assert sounded == [(None, True)]
    status = town.list.status()
    assert status["text_instead_of_audio"] == 1 and reason in str(status["last_unusable_audio"])
    assert "its text is spoken instead" in caplog.text and "停水" not in caplog.text
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_audio_in_antiphase_is_heard(city: tuple[str, dict[str, bytes]], tmp_path: Path) -> None:
    url, sounds = city
    sounds["a"] = wav(0.5, "antiphase")
    one = broadcast("a", audio=msgspec.to_builtins(audio_of(f"{url}/a", sounds["a"])))
    clip = await make_sound(one, ("zh-CN",), AudioStore(tmp_path, 1_000_000, {"127.0.0.1"}))
    assert is_audible(clip.samples[-RATE_HZ:])


async def test_a_text_without_words_is_not_heard(tmp_path: Path) -> None:
    for texts in ({"zh-CN": "***"}, {"yue": "text in a language that this box has not"}):
        with pytest.raises(NoSound, match="no text that the voice can speak"):
            await make_sound(broadcast("x", texts=texts), ("zh-CN",), AudioStore(tmp_path, 1, ()))


async def test_text_is_spoken_as_text(tmp_path: Path) -> None:
    store = AudioStore(tmp_path, 1_000_000, ())
    one = broadcast("odd", texts={"en": "-w /tmp/owned --path=/ [[h@'loU]] <audio src='x'/> mind the gap"})
    clip = await make_sound(one, ("zh-CN", "en"), store)
    assert len(clip.samples) / RATE_HZ > 2


async def test_without_espeak_the_reason_is_clear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoSound, match="espeak-ng is not installed"):
        await make_sound(broadcast("x"), ("zh-CN",), AudioStore(tmp_path, 1, ()))

from __future__ import annotations

import asyncio
import struct
import time
import wave
from pathlib import Path

import numpy as np
import pytest

from drivers.contract import Clip, PartState
from drivers.errors import BadSetting, DeviceLost
from drivers.sound import RATE_HZ, load_clip
from drivers.speaker import BLOCK_SAMPLES, make_speaker
from drivers.wav_file import WavFile
from tests.drivers.driver_bench import running, state


def tone(name: str, hz: float, seconds: float) -> Clip:
    at_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return Clip(name, (8000 * np.sin(2 * np.pi * hz * at_s)).astype(np.int16), RATE_HZ)


def recorded(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE_HZ, 1, 2)
        assert path.stat().st_size == 44 + 2 * file.getnframes()
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


async def test_a_clip_is_played_in_real_time_into_a_wav_file(tmp_path: Path) -> None:
    speaker, clip = make_speaker(output=f"wav:{tmp_path / 'heard.wav'}"), tone("a", 440, 0.31)
    async with running(speaker):
        await state(speaker, PartState.OK)
        asked_s = time.monotonic()
        first_sample_s = await speaker.play(clip)
        await speaker.drained()
        ended_s = time.monotonic()
    assert asked_s <= first_sample_s <= ended_s
    assert ended_s - first_sample_s > 0.28
    heard = recorded(tmp_path / "heard.wav")
    assert np.array_equal(heard[: len(clip.samples)], clip.samples)
    assert not heard[len(clip.samples) :].any()
    assert len(heard) - len(clip.samples) < BLOCK_SAMPLES


async def test_a_second_clip_cuts_the_first_short(tmp_path: Path) -> None:
    speaker, long, short = make_speaker(output=f"wav:{tmp_path / 'heard.wav'}"), tone("l", 300, 30), tone("s", 600, 0.1)
    async with running(speaker):
        await state(speaker, PartState.OK)
        await speaker.play(long)
        first = asyncio.create_task(speaker.drained())
        await speaker.play(short)
        await asyncio.wait_for(first, 1)
        await speaker.drained()
    heard = recorded(tmp_path / "heard.wav")
    assert len(heard) < RATE_HZ
    cut = next(n for n in range(0, len(heard), BLOCK_SAMPLES) if np.array_equal(heard[n : n + 99], short.samples[:99]))
    assert np.array_equal(heard[:cut], long.samples[:cut])
    assert speaker.counters == {"opened": 1, "clips": 2, "cut_short": 1}


async def test_a_clip_replaced_before_it_sounded_leaves_nobody_waiting() -> None:
    speaker = make_speaker(output="null")
    async with running(speaker):
        await state(speaker, PartState.OK)
        clips = [tone("a", 440, 5), tone("b", 440, 0.05)]
        started_s = await asyncio.wait_for(asyncio.gather(*map(speaker.play, clips)), 1)
        assert started_s[0] <= started_s[1]
        await asyncio.wait_for(speaker.drained(), 1)


async def test_a_speaker_that_is_closed_says_so_and_leaves_nobody_waiting() -> None:
    speaker = make_speaker(output="null")
    with pytest.raises(DeviceLost):
        await speaker.play(tone("a", 440, 1))
    async with running(speaker):
        await state(speaker, PartState.OK)
        await speaker.play(tone("a", 440, 30))
    await asyncio.wait_for(speaker.drained(), 1)


async def test_a_file_that_cannot_be_written_is_a_lost_speaker(tmp_path: Path) -> None:
    speaker = make_speaker(output=f"wav:{tmp_path}")
    async with running(speaker):
        await state(speaker, PartState.LOST)
        assert "cannot write" in speaker.health.detail


async def test_without_a_card_the_recording_takes_its_place(tmp_path: Path) -> None:
    speaker = make_speaker(output=f"auto:{tmp_path / 'heard.wav'}")
    async with running(speaker):
        await state(speaker, PartState.OK)
        await speaker.play(tone("a", 440, 0.05))
        await speaker.drained()


async def test_a_clip_of_another_rate_is_refused() -> None:
    with pytest.raises(BadSetting, match="accepted: 22050"):
        await make_speaker(output="null").play(Clip("a", np.zeros(9, np.int16), 16000))


@pytest.mark.parametrize("output", ["", "alsa", "wav:", "wav"])
def test_an_unknown_output_names_the_known(output: str) -> None:
    with pytest.raises(BadSetting, match="wav:PATH"):
        make_speaker(output=output)


def test_a_wav_file_is_whole_after_every_write_and_is_continued(tmp_path: Path) -> None:
    path, sound = tmp_path / "a" / "heard.wav", np.arange(100, dtype="<i2")
    for round_ in range(3):
        file = WavFile(path, RATE_HZ)
        assert len(recorded(path)) == 100 * round_
        file.append(sound.tobytes())
        assert np.array_equal(recorded(path)[-100:], sound)
        file.close()


def test_a_wav_file_that_was_cut_between_data_and_header_is_continued_where_it_was_whole(tmp_path: Path) -> None:
    path = tmp_path / "heard.wav"
    file = WavFile(path, RATE_HZ)
    file.append(b"\1\0" * 10)
    file.close()
    path.write_bytes(path.read_bytes() + b"\2\0" * 5)
    file = WavFile(path, RATE_HZ)
    file.append(b"\3\0" * 10)
    file.close()
    assert recorded(path).tolist() == [1] * 10 + [3] * 10


def test_another_kind_of_file_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("dear all, this is no sound at all and must stay as it is")
    with pytest.raises(BadSetting, match="another kind"):
        WavFile(path, RATE_HZ)
    assert path.read_text().startswith("dear all")


def test_a_clip_is_mixed_to_mono_at_the_rate_asked(tmp_path: Path) -> None:
    path, left = tmp_path / "welcome.wav", tone("", 440, 0.5).samples
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, 2 * RATE_HZ, 0, "NONE", ""))
        file.writeframes(b"".join(struct.pack("<hh", sample, sample) for sample in left.tolist()))
    clip = load_clip(path)
    assert (clip.name, clip.rate_hz, clip.samples.dtype.name) == ("welcome", RATE_HZ, "int16")
    assert abs(len(clip.samples) - len(left) // 2) <= 2
    assert 7000 < np.abs(clip.samples).max() <= 8001


@pytest.mark.parametrize("content", [None, b"", b"no sound"])
def test_what_is_no_sound_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "clip.ogg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadSetting, match="Ogg"):
        load_clip(path)

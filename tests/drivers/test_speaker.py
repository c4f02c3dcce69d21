from __future__ import annotations

import asyncio
import struct
import time
import wave
from contextlib import suppress
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis.strategies import DataObject, data, integers

from drivers.audio.mixer import DUCKED_LEVEL, FADE_SAMPLES, Mixer, SoundSource
from drivers.audio.sound import RATE_HZ, open_card
from drivers.audio.sound_file import load_clip
from drivers.audio.speaker import BLOCK_SAMPLES, make_speaker
from drivers.audio.wav_file import WavFile
from drivers.contract import Clip, PartState
from drivers.errors import BadSetting, DeviceLost
from tests.drivers.driver_bench import eventually, running, state
from tests.drivers.flac import flac
from tests.limits import HANG_S


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
        await asyncio.wait_for(first, HANG_S)
        await speaker.drained()
    heard = recorded(tmp_path / "heard.wav")
    assert len(heard) < len(long.samples)
    cut = next(n for n in range(0, len(heard), BLOCK_SAMPLES) if np.array_equal(heard[n : n + 99], short.samples[:99]))
    assert np.array_equal(heard[:cut], long.samples[:cut])
    assert speaker.counters == {"opened": 1, "clips": 2, "cut_short": 1}


def amplitude(heard: np.ndarray, hz: float) -> float:
    """Amplitude of the tone of `hz` in `heard`."""
    at_s = np.arange(len(heard)) / RATE_HZ
    return float(2 * np.abs(np.mean(heard * np.exp(-2j * np.pi * hz * at_s))))


async def test_a_broadcast_goes_on_quietly_below_a_prompt_and_comes_back() -> None:
    mixer, blocks = Mixer(), []
    broadcast, prompt = tone("b", 300, 1.2), tone("p", 1000, 0.4)
    mixer.play(broadcast, SoundSource.BROADCAST)
    blocks += [mixer.pull(BLOCK_SAMPLES) for _ in range(15)]
    mixer.play(prompt, SoundSource.PROMPT)
    while mixer.any_playing is not None:
        blocks.append(mixer.pull(BLOCK_SAMPLES))
    heard, begins = np.concatenate(blocks).astype(np.float64), 15 * BLOCK_SAMPLES
    assert len(heard) - len(broadcast.samples) < BLOCK_SAMPLES  # it continued, it did not wait
    ends = begins + len(prompt.samples)
    before, below, after = heard[:begins], heard[begins + 2 * FADE_SAMPLES : ends], heard[ends + 2 * FADE_SAMPLES :]
    assert [amplitude(part, 1000) for part in (before, below, after[: RATE_HZ // 10])] == pytest.approx(
        [0, 8000, 0], abs=80
    )
    levels = [amplitude(part[: len(part) // 441 * 441], 300) for part in (before, below, after)]
    assert levels == pytest.approx([8000, 8000 * DUCKED_LEVEL, 8000], rel=0.03)
    assert np.abs(np.diff(heard)).max() < 8000 * 2 * np.pi * (300 + 1000) / RATE_HZ  # without clicks


async def test_a_prompt_cuts_a_prompt_and_a_broadcast_a_broadcast(tmp_path: Path) -> None:
    speaker = make_speaker(output=f"wav:{tmp_path / 'heard.wav'}")
    async with running(speaker):
        await state(speaker, PartState.OK)
        for start in (speaker.broadcast, speaker.play):
            await start(tone("long", 300, 30))
            await start(tone("short", 300, 0.05))
        await asyncio.wait_for(speaker.drained(), HANG_S)
    assert speaker.counters["cut_short"] == 2
    assert len(recorded(tmp_path / "heard.wav")) < 30 * RATE_HZ


async def test_the_volume_is_set_and_changed_while_it_plays(tmp_path: Path) -> None:
    speaker, wav = make_speaker(output=f"wav:{tmp_path / 'heard.wav'}", volume=0.5), tmp_path / "heard.wav"
    async with running(speaker):
        await state(speaker, PartState.OK)
        await speaker.play(tone("a", 441, 30))
        await eventually(lambda: wav.stat().st_size > 2 * RATE_HZ // 5)
        speaker.set_volume(0.1)
        played = wav.stat().st_size
        await eventually(lambda: wav.stat().st_size > played + 2 * RATE_HZ // 5)
    assert speaker.volume == 0.1
    heard = recorded(wav).astype(np.float64)
    loud, soft = heard[: RATE_HZ // 10], heard[-RATE_HZ // 10 :]
    assert [amplitude(part, 441) for part in (loud, soft)] == pytest.approx([4000, 800], rel=0.03)


def test_two_voices_at_full_level_are_limited_not_wrapped() -> None:
    async def mixed() -> np.ndarray:
        mixer = Mixer()
        for source in SoundSource:
            mixer.play(Clip("loud", np.full(5000, 32767, np.int16), RATE_HZ), source)
        return mixer.pull(5000)

    assert set(asyncio.run(mixed()).tolist()) == {32767}


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_an_impossible_volume_is_refused(share: float) -> None:
    with pytest.raises(BadSetting, match="accepted: 0 to 1"):
        make_speaker(output="null", volume=share)


async def test_a_clip_replaced_before_its_start_leaves_no_caller_waiting() -> None:
    speaker = make_speaker(output="null")
    async with running(speaker):
        await state(speaker, PartState.OK)
        clips = [tone("a", 440, 5), tone("b", 440, 0.05)]
        started_s = await asyncio.wait_for(asyncio.gather(*map(speaker.play, clips)), HANG_S)
        assert started_s[0] <= started_s[1]
        await asyncio.wait_for(speaker.drained(), HANG_S)


async def test_a_closed_speaker_raises_and_leaves_no_caller_waiting() -> None:
    speaker = make_speaker(output="null")
    with pytest.raises(DeviceLost):
        await speaker.play(tone("a", 440, 1))
    async with running(speaker):
        await state(speaker, PartState.OK)
        await speaker.play(tone("a", 440, 30))
    await asyncio.wait_for(speaker.drained(), HANG_S)


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
    with pytest.raises(BadSetting, match="not such a WAV file"):
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


def test_a_prompt_in_ogg_is_decoded() -> None:
    with resources.as_file(resources.files("config") / "prompts" / "en" / "pass.ogg") as path:
        clip = load_clip(path)
    assert 0.2 < len(clip.samples) / RATE_HZ < 5
    assert np.abs(clip.samples).max() > 1000


def test_flac_is_decoded_to_the_last_bit(tmp_path: Path) -> None:
    samples = tone("", 440, 0.25).samples
    (tmp_path / "clip.flac").write_bytes(flac(samples, RATE_HZ))
    assert np.array_equal(load_clip(tmp_path / "clip.flac").samples, samples)


def test_mp3_is_decoded(tmp_path: Path) -> None:
    silent = b"\xff\xfb\x90\xc4" + bytes(413)  # 1152 samples of MPEG-1 Layer III, 128 kbit/s, 44.1 kHz, mono
    (tmp_path / "clip.mp3").write_bytes(silent * 20)
    clip = load_clip(tmp_path / "clip.mp3")
    assert len(clip.samples) / RATE_HZ == pytest.approx(20 * 1152 / 44100, abs=0.06)
    assert not clip.samples.any()


def opus(path: Path, hz: float, length_s: float, channels: int = 1) -> None:
    seconds = np.arange(int(48000 * length_s)) / 48000
    wave = np.tile(0.5 * np.sin(2 * np.pi * hz * seconds)[:, None], (1, channels))
    soundfile.write(path, wave, 48000, format="OGG", subtype="OPUS")


@pytest.mark.parametrize("channels", [1, 2])
def test_opus_is_decoded(tmp_path: Path, channels: int) -> None:
    opus(tmp_path / "clip", 440, 1.0, channels)
    clip = load_clip(tmp_path / "clip", longest_s=5)
    assert len(clip.samples) / RATE_HZ == pytest.approx(1.0, abs=0.01)
    heard_hz = np.abs(np.fft.rfft(clip.samples[:RATE_HZ])).argmax() * RATE_HZ / len(clip.samples[:RATE_HZ])
    assert heard_hz == pytest.approx(440, abs=2)
    assert np.abs(clip.samples).max() == pytest.approx(16384, rel=0.2)


def test_opus_is_unpacked_no_longer_than_it_may_be(tmp_path: Path) -> None:
    opus(tmp_path / "clip", 440, 2.0)
    assert len(load_clip(tmp_path / "clip", longest_s=0.5).samples) == RATE_HZ // 2


@given(data())
def test_no_damage_to_opus_escapes(draw: DataObject) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "clip"
        opus(path, 440, 0.2)
        whole = bytearray(path.read_bytes())
        for _ in range(draw.draw(integers(1, 8))):
            whole[draw.draw(integers(48, len(whole) - 1))] = draw.draw(integers(0, 255))
        path.write_bytes(whole[: draw.draw(integers(48, len(whole)))])
        with suppress(BadSetting):
            clip = load_clip(path, longest_s=1)
            assert (clip.rate_hz, clip.samples.dtype) == (RATE_HZ, np.int16)
            assert len(clip.samples) <= RATE_HZ


@pytest.mark.parametrize("content", [None, b"", b"no sound", b"OggS" + bytes(24) + b"OpusHead" + bytes(40)])
def test_an_untrusted_file_without_sound_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "clip"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadSetting, match=r"Opus"):
        load_clip(path, longest_s=1)


@pytest.mark.parametrize("content", [None, b"", b"no sound"])
def test_a_file_without_sound_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "clip.ogg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadSetting, match="Ogg"):
        load_clip(path)


@pytest.mark.skipif(Path("/dev/snd").exists(), reason="this machine has a sound card")
def test_a_service_without_a_session_looks_for_no_sound_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd does not set XDG_RUNTIME_DIR; a file in the working folder must not be used as sound server."""
    for name in ("PULSE_SERVER", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "pulse" / "native").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DeviceLost, match="there is no sound card"):
        open_card(Mixer())

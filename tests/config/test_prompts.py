from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from config.catalogue import LANGUAGES, PROMPTS_DIR, load_catalogue, prompt_file
from config.errors import SettingsError
from config.prompts.build import PEAK, TAIL_S, build, faults, tidy
from config.prompts.speech import RATE_HZ, VOICES

PROMPTS = load_catalogue().prompts


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("prompt", PROMPTS)
def test_every_prompt_can_be_heard(prompt: str, language: str) -> None:
    assert faults(prompt_file(prompt, language)) == []


def test_every_sound_belongs_to_a_prompt() -> None:
    wanted = {prompt_file(prompt, language) for prompt in PROMPTS for language in LANGUAGES}
    assert set(PROMPTS_DIR.rglob("*.ogg")) == wanted
    assert sum(path.stat().st_size for path in wanted) < 1_000_000


def test_there_is_a_voice_for_every_language() -> None:
    assert tuple(VOICES) == LANGUAGES


def test_tidy_cuts_the_silence_and_sets_the_peak() -> None:
    tone = 0.1 * np.sin(np.linspace(0, 2000, RATE_HZ)).astype(np.float32)
    silence = np.zeros(RATE_HZ, dtype=np.float32)
    tidied = tidy(np.concatenate([silence, tone, silence]))
    assert tidied.size / RATE_HZ == pytest.approx(1 + TAIL_S, abs=0.02)
    assert np.abs(tidied).max() == pytest.approx(PEAK, abs=0.01)
    assert tidied[0] == tidied[-1] == 0


def test_silence_is_refused() -> None:
    with pytest.raises(SettingsError, match="silence"):
        tidy(np.zeros(RATE_HZ, dtype=np.float32))


def test_a_file_that_is_not_a_sound_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "pass.ogg"
    path.write_bytes(b"OggS but not really")
    assert "cannot be decoded" in faults(path)[0]


def test_a_missing_tool_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SettingsError, match=r"espeak-ng is not installed.*apt-get install espeak-ng"):
        build(tmp_path)

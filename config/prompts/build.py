"""Builds the sound file of every prompt with espeak-ng and oggenc (`edge-agent prompts build`), and validates it.

The same input gives the same bytes, so that a rebuild shows what changed.
"""

from __future__ import annotations

import io
import shutil
import wave
from pathlib import Path

import miniaudio
import numpy as np

from config.catalogue import LANGUAGES, PROMPTS_DIR, load_catalogue, prompt_file
from config.errors import SettingsError
from config.prompts.speech import PROGRAM, RATE_HZ, Samples, run_program, speak

SHORTEST_S = 0.4
LONGEST_S = 8.0
PEAK = 0.7  # Vorbis overshoots its input by some 10 %
SILENCE = 0.02  # of the peak
TAIL_S = 0.12
FADE_S = 0.005
TOOLS = {PROGRAM: PROGRAM, "oggenc": "vorbis-tools"}


def build(folder: Path) -> list[Path]:
    """Write every prompt in every language under `folder`. Raises SettingsError if a tool or a voice fails."""
    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            raise SettingsError(f"{tool} is not installed; it comes with: apt-get install {package}")
    catalogue = load_catalogue()
    written = []
    for language in catalogue.languages:
        (folder / language).mkdir(parents=True, exist_ok=True)
        for prompt in catalogue.prompts:
            path = folder / language / f"{prompt}.ogg"
            encode(tidy(speak(catalogue.text("prompt", prompt, language), language)), path)
            written.append(path)
    return written


def tidy(samples: Samples) -> Samples:
    """`samples` trimmed, normalised to PEAK, with a fade at both ends."""
    loud = np.flatnonzero(np.abs(samples) > SILENCE * np.abs(samples).max(initial=0))
    if not loud.size:
        raise SettingsError(f"{PROGRAM} produced silence")
    fade = int(FADE_S * RATE_HZ)
    cut = samples[max(0, loud[0] - fade) : loud[-1] + int(TAIL_S * RATE_HZ)].copy()
    cut *= PEAK / np.abs(cut).max()
    cut[:fade] *= np.linspace(0, 1, fade, dtype=np.float32)
    cut[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    return cut


def encode(samples: Samples, path: Path) -> None:
    """Write `samples` to `path` as Ogg Vorbis; a fixed stream serial makes the output reproducible."""
    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    run_program(["oggenc", "--quiet", "--quality", "0", "--serial", "1", "--output", str(path), "-"], sound.getvalue())


def faults_in(folder: Path = PROMPTS_DIR) -> list[str]:
    """Faults of the prompts in `folder`: missing, invalid or not in the catalogue. Raises SettingsError."""
    wanted = [prompt_file(name, language, folder) for language in LANGUAGES for name in load_catalogue().prompts]
    found = [fault for path in wanted for fault in (faults(path) if path.exists() else [f"{path}: is missing"])]
    strays = sorted(set(folder.rglob("*.ogg")) - {*wanted})
    return found + [f"{path}: is not a prompt of the catalogue" for path in strays]


def faults(path: Path) -> list[str]:
    """Faults of the sound file at `path`; an empty list if it is valid."""
    try:
        sound = miniaudio.decode_file(str(path), miniaudio.SampleFormat.SIGNED16, 1, RATE_HZ)
    except miniaudio.DecodeError as exc:
        return [f"{path}: cannot be decoded: {exc}"]
    samples = np.frombuffer(sound.samples, dtype=np.int16).astype(np.float32) / 32768
    length_s, peak = samples.size / RATE_HZ, float(np.abs(samples).max(initial=0))
    found = []
    if not SHORTEST_S <= length_s <= LONGEST_S:
        found.append(f"{path}: lasts {length_s:.2f} s, accepted: {SHORTEST_S}-{LONGEST_S} s")
    if peak < 0.1:
        found.append(f"{path}: is silent (peak {peak:.3f})")
    if peak > 0.99:
        found.append(f"{path}: is clipped (peak {peak:.3f})")
    return found

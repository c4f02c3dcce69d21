"""Makes the sound of every prompt with espeak-ng and oggenc: `python -m config.prompts.build [FOLDER]`.

Until a person has recorded them. The same input gives the same bytes, so that a rebuild shows what changed.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

import miniaudio
import numpy as np
from numpy.typing import NDArray

from config.catalogue import PROMPTS_DIR, load_catalogue
from config.errors import SettingsError

RATE_HZ = 22_050
SHORTEST_S = 0.4
LONGEST_S = 8.0
PEAK = 0.7  # Vorbis overshoots what it was given by some 10 %
SILENCE = 0.02  # of the peak
TAIL_S = 0.12
FADE_S = 0.005
# The voice `cmn` of espeak-ng 1.51 (Debian 12) spells Hanzi out as English; its pinyin sister reads them.
VOICES = {"zh-CN": ("cmn-latn-pinyin", 200), "yue": ("yue", 180), "en": ("en-gb", 165)}  # voice, words a minute
TOOLS = {"espeak-ng": "espeak-ng", "oggenc": "vorbis-tools"}
TOOL_LIMIT_S = 30

Samples = NDArray[np.float32]


def build(folder: Path) -> list[Path]:
    """Write every prompt in every language under `folder`. Raises SettingsError where a tool or a voice fails."""
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


def speak(text: str, language: str) -> Samples:
    """`text` as espeak-ng says it, mono at RATE_HZ."""
    voice, words_a_minute = VOICES[language]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        _run(["espeak-ng", "-v", voice, "-s", str(words_a_minute), "-w", str(path), text])
        with wave.open(str(path)) as file:
            if (file.getframerate(), file.getnchannels()) != (RATE_HZ, 1):
                raise SettingsError(f"espeak-ng gave {file.getframerate()} Hz, expected {RATE_HZ} Hz mono")
            samples: Samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(np.float32)
    return samples / np.float32(32768)


def tidy(samples: Samples) -> Samples:
    """`samples` without the silence around them, at PEAK, with soft ends."""
    loud = np.flatnonzero(np.abs(samples) > SILENCE * np.abs(samples).max(initial=0))
    if not loud.size:
        raise SettingsError("espeak-ng gave silence")
    fade = int(FADE_S * RATE_HZ)
    cut = samples[max(0, loud[0] - fade) : loud[-1] + int(TAIL_S * RATE_HZ)].copy()
    cut *= PEAK / np.abs(cut).max()
    cut[:fade] *= np.linspace(0, 1, fade, dtype=np.float32)
    cut[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    return cut


def encode(samples: Samples, path: Path) -> None:
    """Write `samples` to `path` as Ogg Vorbis; a fixed stream serial keeps the bytes the same."""
    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    _run(["oggenc", "--quiet", "--quality", "0", "--serial", "1", "--output", str(path), "-"], sound.getvalue())


def faults(path: Path) -> list[str]:
    """What is wrong with the sound file at `path`; an empty list when it can be played."""
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


def _run(command: list[str], given: bytes = b"") -> None:
    try:
        subprocess.run(command, input=given, capture_output=True, check=True, timeout=TOOL_LIMIT_S)
    except subprocess.CalledProcessError as exc:
        said = exc.stderr.decode(errors="replace").strip()
        raise SettingsError(f"{command[0]} failed with status {exc.returncode}: {said}") from exc
    except subprocess.TimeoutExpired as exc:
        raise SettingsError(f"{command[0]} did not finish within {TOOL_LIMIT_S} s") from exc


def main() -> None:
    """Build, check and say what was made; exit status 1 with the reason when that fails."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else PROMPTS_DIR
    try:
        written = build(folder)
    except SettingsError as exc:
        sys.exit(str(exc))
    if found := [fault for path in written for fault in faults(path)]:
        sys.exit("\n".join(found))
    size_kb = sum(path.stat().st_size for path in written) / 1024
    sys.stdout.write(f"{len(written)} prompts, {size_kb:.0f} KB, in {folder}\n")


if __name__ == "__main__":
    main()

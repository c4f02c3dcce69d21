"""Speech synthesis by espeak-ng, for the prompts of the catalogue and for the text of broadcasts.

The text is passed through a pipe, never on a command line, and without special characters: espeak-ng interprets `[[…]]`
as phonemes. Markup is not enabled.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import unicodedata
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from config.errors import SettingsError

RATE_HZ = 22_050
# The voice `cmn` of espeak-ng 1.51 (Debian 12) spells Chinese characters in English; `cmn-latn-pinyin` reads them.
VOICES = {"zh-CN": ("cmn-latn-pinyin", 200), "yue": ("yue", 180), "en": ("en-gb", 165)}  # voice, words per minute
PROGRAM = "espeak-ng"
LIMIT_S = 30
_UNSPEAKABLE = str.maketrans(dict.fromkeys("<>[]{}|\\^`~#*_=&@", " "))

Samples = NDArray[np.float32]


def can_speak() -> bool:
    """Whether espeak-ng is installed."""
    return shutil.which(PROGRAM) is not None


def plain(text: str) -> str:
    """`text` on one line, in Unicode form NFC, without control and format characters."""
    printable = (
        " " if unicodedata.category(character) in ("Zl", "Zp", "Zs", "Cc") else character
        for character in unicodedata.normalize("NFC", text)
        if unicodedata.category(character) not in ("Cf", "Co", "Cn", "Cs")
    )
    return " ".join("".join(printable).split())


def speak(text: str, language: str) -> Samples:
    """`text` as speech, mono at RATE_HZ. Blocks. Raises SettingsError if the program or the voice fails."""
    if not can_speak():
        raise SettingsError(f"{PROGRAM} is not installed; it comes with: apt-get install {PROGRAM}")
    voice, words_per_min = VOICES[language]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        command = [PROGRAM, "-v", voice, "-s", str(words_per_min), "-b", "1", "-w", str(path), "--stdin"]
        run_program(command, plain(text).translate(_UNSPEAKABLE).encode())
        try:
            with wave.open(str(path)) as file:
                rate_hz, channels = file.getframerate(), file.getnchannels()
                samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(np.float32)
        except (OSError, EOFError, wave.Error) as exc:
            raise SettingsError(f"{PROGRAM} produced no sound") from exc
    if (rate_hz, channels) != (RATE_HZ, 1):
        raise SettingsError(f"{PROGRAM} produced {rate_hz} Hz, expected {RATE_HZ} Hz mono")
    return samples / np.float32(32768)


def run_program(command: list[str], stdin: bytes = b"") -> None:
    """Run `command` with input `stdin`. Raises SettingsError with its error output if it fails or times out."""
    try:
        subprocess.run(command, input=stdin, capture_output=True, check=True, timeout=LIMIT_S)
    except OSError as exc:
        raise SettingsError(f"{command[0]} cannot be run: {exc.strerror}") from exc
    except subprocess.CalledProcessError as exc:
        stderr = exc.stderr.decode(errors="replace").strip()
        raise SettingsError(f"{command[0]} failed with status {exc.returncode}: {stderr}") from exc
    except subprocess.TimeoutExpired as exc:
        raise SettingsError(f"{command[0]} did not finish within {LIMIT_S} s") from exc

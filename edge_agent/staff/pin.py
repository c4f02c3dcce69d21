"""The PIN of the staff view: kept as a scrypt hash in a file of its own, and guessed slowly."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from enum import StrEnum
from itertools import pairwise
from pathlib import Path

from config.errors import SettingsError
from sync.storage.atomic_files import replace_whole

FEWEST_DIGITS, MOST_DIGITS = 6, 12
FREE_TRIES = 5
LOCK_S = 30.0  # after the free tries; doubles with every wrong one, up to the cap
LOCK_CAP_S = 3600.0
_SCHEME = "scrypt"
_COST, _BLOCK, _LANES = 2**15, 8, 1  # 32 MiB and some 60 ms a try
_MEMORY_BYTES = 64 * 1024 * 1024


def check_pin(pin: str) -> None:
    """Raises SettingsError for a PIN that is too short, no number, or too easy."""
    if not (FEWEST_DIGITS <= len(pin) <= MOST_DIGITS and pin.isascii() and pin.isdecimal()):
        raise SettingsError(f"a PIN has {FEWEST_DIGITS} to {MOST_DIGITS} digits")
    steps = {(int(b) - int(a)) % 10 for a, b in pairwise(pin)}
    if len(steps) == 1 and steps <= {0, 1, 9}:
        raise SettingsError("that PIN is the first that anybody would try")


def write_pin(path: Path, pin: str) -> None:
    """Put the hash of `pin` into `path`, readable by its owner alone. Raises SettingsError."""
    check_pin(pin)
    salt = secrets.token_bytes(16)
    line = f"{_SCHEME}${_COST}${_BLOCK}${_LANES}${salt.hex()}${_hash(pin, salt).hex()}\n"
    try:
        replace_whole(path, line.encode())
    except OSError as exc:
        raise SettingsError(f"{path}: cannot be written: {exc.strerror}") from exc


class PinResult(StrEnum):
    """What the staff view answers to a PIN."""

    OPEN = "open"
    WRONG = "wrong"
    LOCKED = "locked"  # too many wrong ones: wait
    SHUT = "shut"  # no PIN was ever set, or its file cannot be used


class PinLock:
    """Compares PINs, one at a time; wrong ones lock it for ever longer. The file is read anew each time."""

    def __init__(self, path: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._monotonic = monotonic
        self._turn = asyncio.Lock()
        self._wrong = 0
        self._locked_until_s = 0.0

    @property
    def is_set(self) -> bool:
        """Whether there is a PIN."""
        return self._read() is not None

    @property
    def locked_s(self) -> float:
        """Seconds until the next try."""
        return max(0.0, self._locked_until_s - self._monotonic())

    async def try_pin(self, pin: str) -> PinResult:
        """Whether `pin` opens."""
        async with self._turn:
            if self.locked_s:
                return PinResult.LOCKED
            kept = self._read()
            if kept is None:
                return PinResult.SHUT
            salt, wanted = kept
            given = await asyncio.to_thread(_hash, pin[: MOST_DIGITS + 1], salt)
            if hmac.compare_digest(given, wanted):
                self._wrong = 0
                return PinResult.OPEN
            self._wrong += 1
            if self._wrong >= FREE_TRIES:
                lock_s = min(LOCK_CAP_S, LOCK_S * 2.0 ** min(self._wrong - FREE_TRIES, 20))
                self._locked_until_s = self._monotonic() + lock_s
            return PinResult.WRONG

    def _read(self) -> tuple[bytes, bytes] | None:
        """Salt and hash, None where there is no usable file."""
        try:
            scheme, cost, block, lanes, salt, wanted = self._path.read_text(encoding="ascii").strip().split("$")
            if (scheme, cost, block, lanes) != (_SCHEME, str(_COST), str(_BLOCK), str(_LANES)):
                return None
            return bytes.fromhex(salt), bytes.fromhex(wanted)
        except (OSError, ValueError):
            return None


def _hash(pin: str, salt: bytes) -> bytes:
    return hashlib.scrypt(pin.encode(), salt=salt, n=_COST, r=_BLOCK, p=_LANES, maxmem=_MEMORY_BYTES)

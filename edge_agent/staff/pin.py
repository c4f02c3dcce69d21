"""The PIN of the staff view: stored as a scrypt hash in its own file, with a delay after wrong ones."""

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

from config.credentials import make_secret_folder
from config.errors import SettingsError
from sync.storage.atomic_files import replace_whole

FEWEST_DIGITS, MOST_DIGITS = 6, 12
FREE_TRIES = 5
LOCK_S = 30.0  # after the free tries; doubles with every wrong PIN, up to the cap
LOCK_CAP_S = 60.0  # the longest that the right PIN can be made to wait, by whatever was tried before
ALARM_INTERVAL_S = 3600.0  # while wrong ones go on
_SCHEME = "scrypt"
_COST, _BLOCK, _LANES = 2**15, 8, 1  # 32 MiB and about 60 ms a try
_MEMORY_BYTES = 64 * 1024 * 1024


def check_pin(pin: str) -> None:
    """Raises SettingsError for a PIN of the wrong length, with other characters than digits, or easy to guess."""
    if not (FEWEST_DIGITS <= len(pin) <= MOST_DIGITS and pin.isascii() and pin.isdecimal()):
        raise SettingsError(f"a PIN has {FEWEST_DIGITS} to {MOST_DIGITS} digits")
    steps = {(int(b) - int(a)) % 10 for a, b in pairwise(pin)}
    if len(steps) == 1 and steps <= {0, 1, 9}:
        raise SettingsError("this PIN is too easy to guess")


def write_pin(path: Path, pin: str) -> None:
    """Write the hash of `pin` to `path`, readable by its owner only; makes its folder. Raises SettingsError."""
    check_pin(pin)
    salt = secrets.token_bytes(16)
    line = f"{_SCHEME}${_COST}${_BLOCK}${_LANES}${salt.hex()}${_hash(pin, salt).hex()}\n"
    try:
        make_secret_folder(path)
        replace_whole(path, line.encode())
    except OSError as exc:
        raise SettingsError(f"{path}: cannot be written: {exc.strerror}") from exc


class PinResult(StrEnum):
    """The result of one attempt."""

    OPEN = "open"
    WRONG = "wrong"
    LOCKED = "locked"  # too many wrong PINs: wait; this one was not compared and does not extend the wait
    SHUT = "shut"  # no PIN is set, or its file cannot be used


class PinLock:
    """Compares PINs, one at a time, and reads the file at each try.

    After FREE_TRIES wrong ones each further one makes the next try wait, LOCK_CAP_S at most: a guesser has 1,440 tries
    a day, and the right PIN is never kept out for longer.
    """

    def __init__(self, path: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._monotonic = monotonic
        self._one_at_a_time = asyncio.Lock()
        self._wrong = 0
        self._locked_until_s = 0.0
        self._alarm_due_s = 0.0

    @property
    def is_set(self) -> bool:
        """Whether a usable PIN is set."""
        return self._read() is not None

    @property
    def locked_s(self) -> float:
        """Seconds until the next try is accepted."""
        return max(0.0, self._locked_until_s - self._monotonic())

    async def try_pin(self, pin: str) -> PinResult:
        """Compare `pin` with the stored hash."""
        async with self._one_at_a_time:
            if self.locked_s:
                return PinResult.LOCKED
            stored = self._read()
            if stored is None:
                return PinResult.SHUT
            salt, expected = stored
            actual = await asyncio.to_thread(_hash, pin[: MOST_DIGITS + 1], salt)
            if hmac.compare_digest(actual, expected):
                self.unlock()
                return PinResult.OPEN
            self._wrong += 1
            if self._wrong >= FREE_TRIES:
                lock_s = min(LOCK_CAP_S, LOCK_S * 2.0 ** min(self._wrong - FREE_TRIES, 20))
                self._locked_until_s = self._monotonic() + lock_s
            return PinResult.WRONG

    def unlock(self) -> None:
        """Forget the wrong PINs: the next try is compared at once."""
        self._wrong, self._locked_until_s, self._alarm_due_s = 0, 0.0, 0.0

    def take_alarm(self) -> bool:
        """Whether wrong PINs are to be reported now: when they first cause a wait, then once in ALARM_INTERVAL_S."""
        now_s = self._monotonic()
        if self._wrong < FREE_TRIES or now_s < self._alarm_due_s:
            return False
        self._alarm_due_s = now_s + ALARM_INTERVAL_S
        return True

    def _read(self) -> tuple[bytes, bytes] | None:
        """Salt and hash; None without a usable file."""
        try:
            scheme, cost, block, lanes, salt, digest = self._path.read_text(encoding="ascii").strip().split("$")
            if (scheme, cost, block, lanes) != (_SCHEME, str(_COST), str(_BLOCK), str(_LANES)):
                return None
            return bytes.fromhex(salt), bytes.fromhex(digest)
        except (OSError, ValueError):
            return None


def _hash(pin: str, salt: bytes) -> bytes:
    return hashlib.scrypt(pin.encode(), salt=salt, n=_COST, r=_BLOCK, p=_LANES, maxmem=_MEMORY_BYTES)

"""Runs a program for its output."""

from __future__ import annotations

import subprocess


def command_output(*command: str, limit_s: float) -> str:
    """Standard output of `command`, whatever its exit status; "" if it cannot be run or exceeds `limit_s` seconds."""
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ended.stdout.strip()

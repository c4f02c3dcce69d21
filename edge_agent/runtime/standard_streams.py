"""The standard streams of a command, made fit for use whatever the caller did to them."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper

STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))  # by the number of their descriptor


def make_usable() -> None:
    """A closed stream becomes the null device, or the next file to be opened would take its place and be written over.

    What an encoding lacks is written in an escape: a plain terminal is no reason to fail.
    """
    for number, (name, mode) in enumerate(STREAMS):
        if getattr(sys, name) is None:
            while os.open(os.devnull, os.O_RDWR) < number:
                pass
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def give_up_output() -> None:
    """Nothing more is written to the standard output: what waits there would fail once more at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

"""Makes the standard streams of a command usable when the caller closed them or chose a limited encoding."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper

STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))  # in the order of their file descriptors


def make_usable() -> None:
    """Open the null device for each closed stream: otherwise the next file opened gets its descriptor and its output.

    Characters that the encoding of a stream lacks are written as backslash escapes.
    """
    for number, (name, mode) in enumerate(STREAMS):
        if getattr(sys, name) is None:
            while os.open(os.devnull, os.O_RDWR) < number:
                pass
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

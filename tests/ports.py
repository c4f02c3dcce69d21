"""Ports for what listens in tests, so that nobody else gets them between the choice and the use.

They lie below those that the kernel gives to whoever asks for any port, as outgoing connections do. Each process of
the tests claims a block of them by a socket in the abstract namespace, which goes with the process.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator

FIRST, END, BLOCK = 20_000, 32_000, 100


def _claimed() -> Iterator[int]:
    """The ports of a block that no other process has claimed, in turn and for ever."""
    for first in range(FIRST, END, BLOCK):
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0sentinel-tests-{first}")
        except OSError:
            claim.close()
            continue
        yield from itertools.cycle(range(first, first + BLOCK))
    raise RuntimeError(f"every block of ports from {FIRST} to {END} is claimed")


_ports = _claimed()


def free_port() -> int:
    """A TCP port on loopback that nobody listens on, and that nobody else is told of."""
    for port in _ports:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("a cycle has no end")

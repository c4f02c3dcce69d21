"""What can go wrong while installing; each message says what to do."""

from __future__ import annotations


class InstallError(Exception):
    """The box cannot be changed as asked; everything is as it was before."""

"""Errors of the installer; each message says what to do."""

from __future__ import annotations


class InstallError(Exception):
    """The box cannot be changed as requested; all changes were undone."""


class NotUndone(InstallError):
    """Not done, and some changes could not be undone; the message names them."""

"""Errors of parsing codes and cards. Messages never contain the text."""

from __future__ import annotations


class CodeError(Exception):
    """Base: the text is not a valid credential."""


class CodeUnknown(CodeError):
    """Not a code of any configured provider."""


class CodeMalformed(CodeError):
    """A code of a configured provider, but damaged or forged; retry, then call staff."""

"""What can be wrong with the text of a code. Messages never contain the text."""

from __future__ import annotations


class CodeError(Exception):
    """Base: the code gives no credential."""


class CodeUnknown(CodeError):
    """Not a code of any provider in use: somebody held up something else."""


class CodeMalformed(CodeError):
    """A provider's code, but damaged or made up: try again, then staff."""

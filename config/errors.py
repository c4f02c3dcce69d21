"""Errors in files that people edit."""


class SettingsError(Exception):
    """A file of settings, policy or prompts is invalid; the message names the place and what is accepted.

    `line` is the line of its first fault, counted from 1, if known.
    """

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line

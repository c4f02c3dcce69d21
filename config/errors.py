"""What can be wrong with what people wrote."""


class SettingsError(Exception):
    """A file of settings, policy or prompts cannot be used; the message names the place and what is accepted.

    `line` is that of its first fault, counted from 1, where it is known.
    """

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line

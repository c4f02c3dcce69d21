"""What can be wrong with what people wrote."""


class SettingsError(Exception):
    """A file of settings, policy or prompts cannot be used; the message names the place and what is accepted."""

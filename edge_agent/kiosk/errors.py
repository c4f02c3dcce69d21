"""What can go wrong with the resident's page."""


class KioskError(Exception):
    """The page cannot be served; the message names the address and what to change."""

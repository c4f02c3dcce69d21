"""Errors of the kiosk's HTTP server."""


class KioskError(Exception):
    """The page cannot be served; the message has the address and what to change."""

"""Why a broadcast cannot be heard."""


class NoSound(Exception):
    """There is nothing to play now; the message says why, without the text of the broadcast."""

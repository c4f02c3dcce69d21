"""What can keep the demo from running."""


class DemoError(Exception):
    """The demo cannot go on; the message says why and what to do."""

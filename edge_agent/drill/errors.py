"""What can keep a drill from being played."""


class DrillImpossible(Exception):
    """This fault cannot be played on this machine; the message says why and what would help."""

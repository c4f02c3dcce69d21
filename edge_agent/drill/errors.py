"""Errors of a drill."""


class DrillImpossible(Exception):
    """This fault cannot be injected on this machine; the message says why and what to do."""

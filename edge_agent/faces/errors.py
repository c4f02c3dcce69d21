"""Errors of the register of faces."""


class FaceError(Exception):
    """Base class of the errors of registered faces."""


class FaceUnfit(FaceError):
    """The quality of the picture is insufficient for recognition; a better one is needed."""


class FaceTaken(FaceError):
    """The face is already registered for another person; staff must verify the identities."""


class RegisterFull(FaceError):
    """The register is full; faces must be removed first."""


class ConsentMissing(FaceError):
    """The consent does not cover this registration."""


class PairsUnreadable(FaceError):
    """A list of pairs of pictures cannot be read."""


class NumberUnread(FaceError):
    """The typed text is not a document number."""


class ClockUnsure(FaceError):
    """The clock is not in sync, so it cannot be known which consents have expired."""

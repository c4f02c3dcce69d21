"""What can go wrong with registered faces, by what the caller may do about it."""


class FaceError(Exception):
    """Base of every error of registered faces."""


class FaceUnfit(FaceError):
    """The picture does not show a face that could be known again; a better one is wanted."""


class FaceTaken(FaceError):
    """The face is registered for another person already; staff must find out who is who."""


class RegisterFull(FaceError):
    """No more faces are taken before others are removed."""


class ConsentMissing(FaceError):
    """What was agreed to does not cover this registration."""


class NumberUnread(FaceError):
    """What was typed is no number of a document."""

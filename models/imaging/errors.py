"""Errors of pictures."""


class PictureError(Exception):
    """Base of all errors of a picture; the message is a reason without the name of the file."""


class NotAPicture(PictureError):
    """Not a picture of an accepted kind, or its header is not valid."""


class PictureTooLarge(PictureError):
    """The decoder would produce more pixels, or read more scans, than the limit."""


class PictureDamaged(PictureError):
    """Part of the picture is missing or altered."""

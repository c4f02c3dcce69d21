"""Errors of models, classified by what the caller can do."""


class ModelError(Exception):
    """Base of all model errors."""


class ModelMissing(ModelError):
    """The weights are not on this box; install them with `edge-agent models add` or `pull`."""


class ModelDamaged(ModelError):
    """The weights have a wrong checksum or format; they must be replaced."""


class PictureUnreadable(ModelError):
    """The file cannot be decoded as a picture."""


class ModelUnknown(ModelError):
    """Unknown name of a detector or pack, or a file whose checksum is not pinned; the choice must change."""


class PackRefused(ModelError):
    """The licence of the pack must be accepted explicitly."""


class ExtraMissing(ModelError):
    """The choice needs an optional part of the package that is not installed; another choice, or that part, helps."""


class PackUnavailable(ModelError):
    """The pack could not be downloaded or stored; a retry may help."""

"""What can go wrong with a model, by what the caller may do about it."""


class ModelError(Exception):
    """Base of every error of a model."""


class ModelMissing(ModelError):
    """The weights are not on this box; `edge-agent models add` or `pull` brings them."""


class ModelDamaged(ModelError):
    """The weights are there but their checksum or format is wrong; they must be replaced."""


class PictureUnreadable(ModelError):
    """The file is no picture that can be decoded."""


class ModelUnknown(ModelError):
    """No detector or pack has that name, or no pinned pack has that checksum; the choice must change."""


class PackRefused(ModelError):
    """The pack may not be used as asked: its licence needs an explicit yes."""


class ExtraMissing(ModelError):
    """The choice needs an optional part of the package that is not installed; another choice, or that part, helps."""


class PackUnavailable(ModelError):
    """The pack could not be fetched or stored now; trying again may help."""

"""The recipe of the built-in vision model: `python -m models.training prepare | train | export | evaluate`."""

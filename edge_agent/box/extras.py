"""Whether this box carries the extras that its settings need."""

from __future__ import annotations

from config.errors import SettingsError
from config.settings import Settings
from models.detectors.face import DETECTORS
from models.errors import ExtraMissing
from models.packs.packs import PackStore


def check_extras(settings: Settings) -> None:
    """Raises SettingsError for the first setting that needs an extra which is not installed."""
    chosen = {f'[vision] detector = "{settings.vision.detector}"': DETECTORS[settings.vision.detector].pack}
    if settings.recognition.enabled:
        chosen[f'[recognition] pack = "{settings.recognition.pack}"'] = settings.recognition.pack
    store = PackStore()
    for place, pack in chosen.items():
        try:
            store.check_extra(pack)
        except ExtraMissing as exc:
            raise SettingsError(f"{place}: {exc}") from exc

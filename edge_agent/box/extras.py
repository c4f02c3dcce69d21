"""Whether this box has the extras and the models that its settings need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from config.errors import SettingsError
from config.settings import Settings
from models.detectors.face import DETECTORS
from models.errors import ModelError
from models.packs.packs import PackStore
from models.recognition.liveness import PACKS as LIVENESS_PACKS


def check_extras(settings: Settings) -> None:
    """Raises SettingsError for the first setting that needs an extra which is not installed."""
    store = PackStore()
    for place, pack, _ in _chosen(settings):
        try:
            store.check_extra(pack)
        except ModelError as exc:
            raise SettingsError(f"{place}: {exc}") from exc


def check_packs(settings: Settings) -> None:
    """Raises SettingsError for the first setting whose pack cannot be loaded: extra, licence, file, checksum."""
    store = PackStore(Path(settings.box.data_dir) / "models")
    for place, pack, is_accepted in _chosen(settings):
        try:
            store.check_extra(pack)
            store.check_licence(pack, accept_non_commercial=is_accepted)
            store.find(pack)
        except ModelError as exc:
            raise SettingsError(f"{place}: {exc}") from exc


def _chosen(settings: Settings) -> Iterator[tuple[str, str, bool]]:
    """The setting, the pack that it needs, and whether a non-commercial licence of the pack is accepted."""
    vision, recognition = settings.vision, settings.recognition
    detector, place = DETECTORS[vision.detector], f'[vision] detector = "{vision.detector}"'
    yield place, detector.pack, vision.accept_non_commercial
    if detector.second_look is not None:
        yield place, detector.second_look, True
    if recognition.enabled:
        yield f'[recognition] pack = "{recognition.pack}"', recognition.pack, recognition.accept_non_commercial
        for pack, _ in LIVENESS_PACKS:
            yield "[recognition] enabled = true", pack, True

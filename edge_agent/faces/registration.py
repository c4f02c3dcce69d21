"""What staff do at the register from the command line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from config.credentials import secret_path
from config.settings import Settings
from edge_agent.box.devices import camera_from
from edge_agent.box.key_files import make_data_dir, read_community_key
from edge_agent.faces.consent import Consent
from edge_agent.faces.document import Document
from edge_agent.faces.enrolment import Enrolment, EnrolmentSession, Vector, sit
from edge_agent.faces.register import FILE, FaceRegister, Registered
from edge_agent.privacy.key_file import load_or_make_cipher
from models.detectors.face import make_detector
from models.picture import read_picture
from models.recognition.embedding import make_embedder
from models.recognition.liveness import make_liveness
from sync.contract.identity import person_key


@asynccontextmanager
async def _register(settings: Settings) -> AsyncIterator[FaceRegister]:
    path = make_data_dir(Path(settings.box.data_dir)) / FILE
    async with FaceRegister.opened(path, load_or_make_cipher(settings)) as register:
        yield register


class FaceRegistration:
    """Registers faces on one box. Raises ModelError where a pack is missing, SettingsError where a key is."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._packs = Path(settings.box.data_dir) / "models"
        self._key = read_community_key(secret_path(settings.directory.community_key_file))
        self._embedder = make_embedder(
            settings.recognition.pack,
            data_dir=self._packs,
            accept_non_commercial=settings.recognition.accept_non_commercial,
        )
        vision = settings.vision
        detector = make_detector(
            vision.detector,
            size=vision.size,
            data_dir=self._packs,
            accept_non_commercial=vision.accept_non_commercial,
        )
        self._enrolment = Enrolment(detector, self._embedder)
        self._alike = settings.recognition.threshold or self._embedder.threshold

    def of_photo(self, path: Path) -> Vector:
        """The face of a photo. Raises PictureUnreadable, FaceUnfit."""
        return self._enrolment.of_photo(read_picture(path))

    async def of_camera(self, tell: Callable[[str], None]) -> Vector:
        """The face of whoever sits before the box's camera. Raises ModelMissing, FaceUnfit, DriverError."""
        liveness = make_liveness(data_dir=self._packs)
        sitting = EnrolmentSession(self._enrolment, liveness, live=self._settings.recognition.live, alike=self._alike)
        return await sit(camera_from(self._settings), sitting, lambda flaw: tell(flaw.sentence))

    async def register(self, document: Document, vector: Vector, consent: Consent) -> int:
        """The row under which the face is registered now. Raises FaceTaken, RegisterFull, StoreFailed."""
        key = person_key(self._key, document.number)
        async with _register(self._settings) as register:
            return await register.add(key, vector, self._embedder.name, consent, alike=self._alike)


async def rows(settings: Settings) -> list[Registered]:
    """What is registered."""
    async with _register(settings) as register:
        return await register.rows()


async def withdraw(settings: Settings, whose: Document | int) -> bool:
    """Forget the face of a document's owner, or of a row; False where there is none."""
    async with _register(settings) as register:
        if isinstance(whose, int):
            return await register.remove(whose)
        key = person_key(read_community_key(secret_path(settings.directory.community_key_file)), whose.number)
        return await register.remove_person(key)


async def expired(settings: Settings) -> int:
    """How many faces were forgotten because their consent is over."""
    async with _register(settings) as register:
        return await register.expire(datetime.now(UTC))

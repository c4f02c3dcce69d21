"""The operations of the command line on the register of faces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from config.credentials import secret_path
from config.settings import Settings
from edge_agent.box.devices import camera_from
from edge_agent.box.key_files import make_data_dir, read_community_key
from edge_agent.box.model_packs import detector_from, embedders_from, liveness_from
from edge_agent.box.wall_clock import WallClock
from edge_agent.faces.consent import Consent
from edge_agent.faces.document import Document
from edge_agent.faces.enrolment import Enrolment, EnrolmentSession, capture
from edge_agent.faces.errors import ClockUnsure
from edge_agent.faces.register import FILE, FaceEntry, FaceRegister, Registered
from edge_agent.privacy.key_file import load_or_make_cipher
from models.picture import read_picture
from models.recognition.embedding import EMBEDDINGS, FaceVectors
from sync.contract.identity import person_key


@asynccontextmanager
async def _register(settings: Settings) -> AsyncIterator[FaceRegister]:
    path = make_data_dir(Path(settings.box.data_dir)) / FILE
    async with FaceRegister.opened(path, load_or_make_cipher(settings)) as register:
        yield register


class FaceRegistration:
    """Registers faces on one box. Raises ModelError for a missing model pack, SettingsError for a missing key."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._key = read_community_key(secret_path(settings.directory.community_key_file))
        self._embedders = embedders_from(settings)
        self._enrolment = Enrolment(detector_from(settings), self._embedders)
        self._alike = self._embedders.whole.threshold

    def vectors_from_photo(self, path: Path) -> FaceVectors:
        """The vectors of the face in a photo. Raises PictureUnreadable, FaceUnfit."""
        return self._enrolment.vectors_from_photo(read_picture(path))

    async def vectors_from_camera(self, on_flaw: Callable[[str], None]) -> FaceVectors:
        """The vectors of the person at the box's camera; `on_flaw` gets a sentence for each new flaw.

        Raises ModelMissing, FaceUnfit, DriverError.
        """
        liveness = liveness_from(self._settings)
        session = EnrolmentSession(self._enrolment, liveness, live=self._settings.recognition.live, alike=self._alike)
        return await capture(camera_from(self._settings), session, lambda flaw: on_flaw(flaw.sentence))

    async def register(self, document: Document, vectors: FaceVectors, consent: Consent) -> int:
        """Register the face; returns its row. Raises FaceTaken, RegisterFull, StoreFailed."""
        key = person_key(self._key, document.number)
        entry = FaceEntry.of(key, vectors, self._embedders)
        async with _register(self._settings) as register:
            return await register.add(entry, consent, alike=self._alike)


async def rows(settings: Settings) -> list[Registered]:
    """The registered rows."""
    async with _register(settings) as register:
        return await register.rows()


def known_masked(row: Registered) -> bool:
    """Whether the person of a row is recognised with a mask on; if not, the person has to register again."""
    entry = EMBEDDINGS.get(row.pack)
    return entry is not None and entry.upper is not None and row.upper_pack == entry.upper.pack


async def withdraw(settings: Settings, whose: Document | int) -> bool:
    """Delete the face of a document's owner, or of a row; returns False if there is none."""
    async with _register(settings) as register:
        if isinstance(whose, int):
            return await register.remove(whose)
        key = person_key(read_community_key(secret_path(settings.directory.community_key_file)), whose.number)
        return await register.remove_person(key)


async def remove_expired(settings: Settings) -> int:
    """Delete every face whose consent has expired; returns how many. Raises ClockUnsure: nothing is deleted then."""
    now = WallClock().now()
    if not now.in_sync:
        raise ClockUnsure(
            "时钟未与 NTP 同步，未删除任何登记。请先校时：timedatectl set-ntp true。"
            "The clock is not in sync with NTP; nothing was removed. Enable NTP first: timedatectl set-ntp true."
        )
    async with _register(settings) as register:
        return await register.expire(now)

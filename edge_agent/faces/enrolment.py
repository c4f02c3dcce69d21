"""Computes the feature vectors to register from pictures of one person; no picture is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from drivers.contract import Camera
from drivers.errors import DeviceLost
from edge_agent.faces.errors import FaceUnfit
from edge_agent.faces.quality import REGISTER_EYES_PX, Flaw, find_flaw, is_unmasked, only_face
from edge_agent.runtime.background import background
from models.detections import Face, FaceDetector
from models.detectors.close_up import find_faces_closely
from models.picture import shrink
from models.recognition.embedding import FaceEmbedders, FaceVectors, unit
from models.recognition.liveness import Liveness

_PICTURES = 5  # from the camera, which must match each other
_RATE_FPS = 5.0
_LIMIT_S = 40.0
LONG_SIDE_PX = 1280  # larger photos are scaled down; the detector scales them to 320 px

Image = NDArray[np.uint8]


class Enrolment:
    """Extracts a face and its feature vectors from a picture, if its quality is sufficient."""

    def __init__(self, detector: FaceDetector, embedders: FaceEmbedders) -> None:
        self._detector = detector
        self._embedders = embedders

    def vectors_from_photo(self, photo: Image) -> FaceVectors:
        """The vectors of the only face in a photo, without a liveness check. Raises FaceUnfit."""
        image = shrink(photo, LONG_SIDE_PX)
        face = self.find_face(image)
        if isinstance(face, Flaw):
            raise FaceUnfit(face.sentence)
        return self.embed(image, face)

    def find_face(self, image: Image) -> Face | Flaw:
        """The only face in a picture, or the flaw that prevents registration."""
        face = only_face(find_faces_closely(self._detector, image))
        if isinstance(face, Flaw):
            return face
        if not is_unmasked(face):
            return Flaw.MASKED
        return find_flaw(face, image, least_eyes_px=REGISTER_EYES_PX) or face

    def embed(self, image: Image, face: Face) -> FaceVectors:
        """The vectors of a face returned by `find_face`."""
        assert face.landmarks is not None  # noqa: S101 - a face without landmarks has a flaw
        return self._embedders.embed(image, face.landmarks)


class EnrolmentSession:
    """Collects vectors of one live person at the camera until enough pictures match each other."""

    def __init__(self, enrolment: Enrolment, liveness: Liveness, *, live: float, alike: float) -> None:
        self._enrolment = enrolment
        self._liveness = liveness
        self._live = live
        self._alike = alike
        self._vectors: list[FaceVectors] = []

    @property
    def vectors(self) -> FaceVectors | None:
        """The mean vectors, None until there are enough pictures."""
        if len(self._vectors) < _PICTURES:
            return None
        uppers = [each.upper for each in self._vectors if each.upper is not None]
        whole = unit(np.mean([each.whole for each in self._vectors], axis=0))
        return FaceVectors(whole, unit(np.mean(uppers, axis=0)) if uppers else None)

    def add_picture(self, image: Image) -> Flaw | None:
        """Add one picture; returns its flaw, if any. A face that differs from the earlier ones restarts the session."""
        face = self._enrolment.find_face(image)
        if isinstance(face, Flaw):
            return face
        if self._liveness.live_probability(image, face.box) < self._live:
            return Flaw.NOT_LIVE
        vectors = self._enrolment.embed(image, face)
        if any(float(vectors.whole @ earlier.whole) < self._alike for earlier in self._vectors):
            self._vectors.clear()
        self._vectors.append(vectors)
        return None


async def capture(camera: Camera, session: EnrolmentSession, on_flaw: Callable[[Flaw], None]) -> FaceVectors:
    """Run the session with the camera; returns the vectors. Calls `on_flaw` when the flaw changes.

    Raises FaceUnfit, DeviceLost.
    """
    async with background(camera.run()):
        try:
            async with asyncio.timeout(_LIMIT_S):
                return await _add_pictures(camera, session, on_flaw)
        except TimeoutError:
            if camera.frames.value is None:
                detail = camera.health.detail or camera.health.state.value
                raise DeviceLost(f"摄像头没有图像。No picture from the camera: {detail}") from None
            raise FaceUnfit(
                "未能登记，请改善光线后再试。No suitable pictures in time: improve the light and try again."
            ) from None


async def _add_pictures(camera: Camera, session: EnrolmentSession, on_flaw: Callable[[Flaw], None]) -> FaceVectors:
    camera.limit_rate(_RATE_FPS)
    sequence, reported = 0, None
    while (vectors := session.vectors) is None:
        sequence, frame = await camera.frames.after(sequence)
        flaw = await asyncio.to_thread(session.add_picture, frame.image)
        if flaw is not None and flaw is not reported:
            on_flaw(flaw)
        reported = flaw
    return vectors

"""Computes the feature vector to register from pictures of one person; no picture is stored."""

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
from models.picture import shrink
from models.recognition.embedding import FaceEmbedder
from models.recognition.liveness import Liveness

_PICTURES = 5  # from the camera, which must match each other
_RATE_FPS = 5.0
_LIMIT_S = 40.0
_LONG_SIDE_PX = 1280  # larger photos are scaled down; the detector scales them to 320 px

Vector = NDArray[np.float32]
Image = NDArray[np.uint8]


class Enrolment:
    """Extracts a face and its feature vector from a picture, if its quality is sufficient."""

    def __init__(self, detector: FaceDetector, embedder: FaceEmbedder) -> None:
        self._detector = detector
        self._embedder = embedder

    def vector_from_photo(self, photo: Image) -> Vector:
        """The unit vector of the only face in a photo, without a liveness check. Raises FaceUnfit."""
        image = shrink(photo, _LONG_SIDE_PX)
        face = self.find_face(image)
        if isinstance(face, Flaw):
            raise FaceUnfit(face.sentence)
        return self.embed(image, face)

    def find_face(self, image: Image) -> Face | Flaw:
        """The only face in a picture, or the flaw that prevents registration."""
        face = only_face(self._detector.detect(image))
        if isinstance(face, Flaw):
            return face
        if not is_unmasked(face):
            return Flaw.MASKED
        return find_flaw(face, image, least_eyes_px=REGISTER_EYES_PX) or face

    def embed(self, image: Image, face: Face) -> Vector:
        """The unit vector of a face returned by `find_face`."""
        assert face.landmarks is not None  # noqa: S101 - a face without landmarks has a flaw
        return self._embedder.embed(image, face.landmarks)


class EnrolmentSession:
    """Collects vectors of one live person at the camera until enough pictures match each other."""

    def __init__(self, enrolment: Enrolment, liveness: Liveness, *, live: float, alike: float) -> None:
        self._enrolment = enrolment
        self._liveness = liveness
        self._live = live
        self._alike = alike
        self._vectors: list[Vector] = []

    @property
    def vector(self) -> Vector | None:
        """The mean unit vector, None until there are enough pictures."""
        if len(self._vectors) < _PICTURES:
            return None
        mean = np.mean(self._vectors, axis=0)
        return np.asarray(mean / np.linalg.norm(mean), np.float32)

    def add_picture(self, image: Image) -> Flaw | None:
        """Add one picture; returns its flaw, if any. A face that differs from the earlier ones restarts the session."""
        face = self._enrolment.find_face(image)
        if isinstance(face, Flaw):
            return face
        if self._liveness.live_probability(image, face.box) < self._live:
            return Flaw.NOT_LIVE
        vector = self._enrolment.embed(image, face)
        if any(float(vector @ earlier) < self._alike for earlier in self._vectors):
            self._vectors.clear()
        self._vectors.append(vector)
        return None


async def capture(camera: Camera, session: EnrolmentSession, on_flaw: Callable[[Flaw], None]) -> Vector:
    """Run the session with the camera; returns the vector. Calls `on_flaw` when the flaw changes.

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


async def _add_pictures(camera: Camera, session: EnrolmentSession, on_flaw: Callable[[Flaw], None]) -> Vector:
    camera.limit_rate(_RATE_FPS)
    sequence, reported = 0, None
    while (vector := session.vector) is None:
        sequence, frame = await camera.frames.after(sequence)
        flaw = await asyncio.to_thread(session.add_picture, frame.image)
        if flaw is not None and flaw is not reported:
            on_flaw(flaw)
        reported = flaw
    return vector

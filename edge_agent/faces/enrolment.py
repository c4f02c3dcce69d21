"""From pictures of one person to the vector that is registered; the pictures are gone when it returns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.contract import Camera
from drivers.errors import DeviceLost
from edge_agent.faces.errors import FaceUnfit
from edge_agent.faces.quality import REGISTER_EYES_PX, Flaw, find_flaw, is_unmasked, only_face
from models.detections import Face, FaceDetector
from models.recognition.embedding import FaceEmbedder
from models.recognition.liveness import Liveness

_PICTURES = 5  # that agree, from the camera
_PACE_FPS = 5.0
_LIMIT_S = 40.0
_LONG_SIDE_PX = 1280  # a photo is made no larger than this: landmarks are found on 320 px of it

Vector = NDArray[np.float32]
Image = NDArray[np.uint8]


class Enrolment:
    """Takes the face of a picture where it is fit for registering."""

    def __init__(self, detector: FaceDetector, embedder: FaceEmbedder) -> None:
        self._detector = detector
        self._embedder = embedder

    def of_photo(self, photo: Image) -> Vector:
        """The unit vector of the one face of a photo; whether it lives is for the staff to see. Raises FaceUnfit."""
        image = _reduced(photo)
        face = self.face_of(image)
        if isinstance(face, Flaw):
            raise FaceUnfit(face.sentence)
        return self.vector_of(image, face)

    def face_of(self, image: Image) -> Face | Flaw:
        """The one face of a picture, fit for registering, or what is wrong."""
        face = only_face(self._detector.detect(image))
        if isinstance(face, Flaw):
            return face
        if not is_unmasked(face):
            return Flaw.MASKED
        return find_flaw(face, image, least_eyes_px=REGISTER_EYES_PX) or face

    def vector_of(self, image: Image, face: Face) -> Vector:
        """The unit vector of a face that `face_of` found fit."""
        assert face.landmarks is not None  # noqa: S101 - without them it has a flaw
        return self._embedder.embed(image, face.landmarks)


class EnrolmentSession:
    """One living person before the camera, until enough pictures agree on the face."""

    def __init__(self, enrolment: Enrolment, liveness: Liveness, *, live: float, alike: float) -> None:
        self._enrolment = enrolment
        self._liveness = liveness
        self._live = live
        self._alike = alike
        self._vectors: list[Vector] = []

    @property
    def vector(self) -> Vector | None:
        """The unit vector of the person, None before enough pictures were good."""
        if len(self._vectors) < _PICTURES:
            return None
        mean = np.mean(self._vectors, axis=0)
        return np.asarray(mean / np.linalg.norm(mean), np.float32)

    def see(self, image: Image) -> Flaw | None:
        """Take in one picture; returns what is wrong with it. Another face than before begins the sitting anew."""
        face = self._enrolment.face_of(image)
        if isinstance(face, Flaw):
            return face
        if self._liveness.live(image, face.box) < self._live:
            return Flaw.NOT_LIVE
        vector = self._enrolment.vector_of(image, face)
        if any(float(vector @ earlier) < self._alike for earlier in self._vectors):
            self._vectors.clear()
        self._vectors.append(vector)
        return None


async def sit(camera: Camera, sitting: EnrolmentSession, tell: Callable[[Flaw], None]) -> Vector:
    """The vector of whoever sits before the camera; `tell` hears each new flaw. Raises FaceUnfit, DeviceLost."""
    running = asyncio.create_task(camera.run())
    try:
        async with asyncio.timeout(_LIMIT_S):
            return await _sat(camera, sitting, tell)
    except TimeoutError:
        if camera.frames.value is None:
            raise DeviceLost(
                f"摄像头没有图像。The camera gives no picture: {camera.health.detail or camera.health.state.value}"
            ) from None
        raise FaceUnfit("未能登记，请改善光线后再试。No good pictures in time: better light, and again.") from None
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _sat(camera: Camera, sitting: EnrolmentSession, tell: Callable[[Flaw], None]) -> Vector:
    camera.limit_rate(_PACE_FPS)
    sequence, told = 0, None
    while (vector := sitting.vector) is None:
        sequence, frame = await camera.frames.after(sequence)
        flaw = await asyncio.to_thread(sitting.see, frame.image)
        if flaw is not None and flaw is not told:
            tell(flaw)
        told = flaw
    return vector


def _reduced(photo: Image) -> Image:
    scale = _LONG_SIDE_PX / max(photo.shape[:2])
    if scale >= 1:
        return photo
    return np.asarray(cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)

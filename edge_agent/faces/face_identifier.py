"""Knows registered faces at the gate. Who is not known for sure is asked for a code or card like everybody."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from edge_agent.diagnostics.metrics import Metrics
from edge_agent.domain.passage import Credential, CredentialKind
from edge_agent.faces.consecutive_matches import ConsecutiveMatches
from edge_agent.faces.current import CurrentFaces
from edge_agent.faces.recogniser import Recogniser
from edge_agent.measurement.face_detection import Detections, FaceDetectionLoop
from edge_agent.passage.person_tracker import PersonTracker

NAME = "face"


class FaceIdentifier:
    """Looks at whoever stands at the gate and showed nothing.

    Looks in a thread of its own, `looks_per_s` times a second at most, and only so often at one arrival; nobody waits
    for it.
    """

    def __init__(
        self,
        *,
        sight: FaceDetectionLoop,
        presence: PersonTracker,
        faces: CurrentFaces,
        recogniser: Recogniser,
        frames: int,
        looks_per_s: float,
        figures: Metrics,
    ) -> None:
        self._sight = sight
        self._presence = presence
        self._faces = faces
        self._recogniser = recogniser
        self._agreement = ConsecutiveMatches(frames)
        self._pause_s = 1 / looks_per_s
        self._figures = figures

    async def run(self, take: Callable[[Credential, str], None]) -> None:
        """Look until cancelled; `take` is given the credential that a face is, and the name of this reader."""
        sequence = 0
        with ThreadPoolExecutor(1, thread_name_prefix=NAME) as worker:
            while True:
                sequence, sighting = await self._sight.detections.after(sequence)
                begun_s = time.monotonic()
                # Whoever is registered may come hours from now: if the thread stands still, it shows before.
                await asyncio.get_running_loop().run_in_executor(worker, lambda: None)
                if (credential := await self._look(sighting, worker)) is not None:
                    take(credential, NAME)
                await asyncio.sleep(max(0.0, self._pause_s - (time.monotonic() - begun_s)))

    async def _look(self, sighting: Detections, worker: ThreadPoolExecutor) -> Credential | None:
        gallery = await self._faces.gallery()
        person, face = self._presence.unidentified, sighting.nearest
        if not gallery.person_keys or person is None or face is None or not self._agreement.wants(person):
            return None
        begun_s = time.perf_counter()
        said = await asyncio.get_running_loop().run_in_executor(
            worker, self._recogniser.look, sighting.frame.image, face, gallery
        )
        self._figures.note("face_ms", (time.perf_counter() - begun_s) * 1000)
        if self._presence.unidentified is not person:
            return None  # somebody else stands there by now, or another credential was shown
        if (person_key := self._agreement.note(said)) is None:
            return None
        return Credential(CredentialKind.FACE, sighting.frame.taken_at_s, person_key)

"""Identifies registered faces at the gate; a person who is not identified is asked for a code or card."""

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
    """Looks at the person at the gate who has not shown a credential.

    Runs in its own thread, at most `looks_per_s` times a second and with a limit per arrival; no other task waits for
    it.
    """

    def __init__(
        self,
        *,
        detection_loop: FaceDetectionLoop,
        tracker: PersonTracker,
        faces: CurrentFaces,
        recogniser: Recogniser,
        frames: int,
        looks_per_s: float,
        metrics: Metrics,
    ) -> None:
        self._detection_loop = detection_loop
        self._tracker = tracker
        self._faces = faces
        self._recogniser = recogniser
        self._matches = ConsecutiveMatches(frames)
        self._pause_s = 1 / looks_per_s
        self._metrics = metrics

    async def run(self, on_credential: Callable[[Credential, str], None]) -> None:
        """Look until cancelled; calls `on_credential` with the credential of an identified face and NAME."""
        sequence = 0
        with ThreadPoolExecutor(1, thread_name_prefix=NAME) as worker:
            while True:
                sequence, detections = await self._detection_loop.detections.after(sequence)
                started_s = time.monotonic()
                # Probe the thread also while no registered person comes, so that the watchdog detects a stuck one.
                await asyncio.get_running_loop().run_in_executor(worker, lambda: None)
                if (credential := await self._look(detections, worker)) is not None:
                    on_credential(credential, NAME)
                await asyncio.sleep(max(0.0, self._pause_s - (time.monotonic() - started_s)))

    async def _look(self, detections: Detections, worker: ThreadPoolExecutor) -> Credential | None:
        galleries = await self._faces.galleries()
        person, face = self._tracker.unidentified, detections.nearest
        if not galleries.whole.person_keys or person is None or face is None or not self._matches.wants(person):
            return None
        started_s = time.perf_counter()
        person_key = await asyncio.get_running_loop().run_in_executor(
            worker, self._recogniser.look, detections.frame.image, face, galleries
        )
        self._metrics.note("face_ms", (time.perf_counter() - started_s) * 1000)
        if self._tracker.unidentified is not person:
            return None  # meanwhile another person came, or a credential was shown
        if (identified := self._matches.note(person_key)) is None:
            return None
        return Credential(CredentialKind.FACE, detections.frame.taken_at_s, identified)

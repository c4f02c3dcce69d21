"""Follows the nearest face at the gate and collects the measurements of that person.

Detections, temperatures, distances and credentials are added on the event loop. Every time in here is the monotonic
second at which the evidence was taken, so that the same evidence always gives the same answer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from config.settings import ArrivalSettings, ThermometerSettings
from drivers.contract import DistanceReading, SpotReading, ThermalFrame
from edge_agent.domain.passage import Credential, CredentialKind, MaskReading, TemperatureReading
from edge_agent.measurement.camera_to_thermal import CameraToThermal, Point
from edge_agent.measurement.core_temperature import shipped
from edge_agent.measurement.face_detection import Detections
from edge_agent.measurement.face_regions import face_regions
from edge_agent.measurement.screening import SkinSample, SkinSensor, screen
from models.detections import Face, MaskScores, MaskState

FractionBox = tuple[float, float, float, float]

_VOTES_KEPT = 15
_RECENT_VOTES = 3
_SAMPLES_KEPT = 12
_DISTANCE_STALE_S = 2.0


@dataclass(slots=True)
class Person:
    """The face being followed and the evidence gathered of it."""

    box: FractionBox
    eyes: tuple[Point, Point] | None
    first_seen_s: float
    last_seen_s: float
    steady_since_s: float
    steady_count: int = 1
    near: bool = False
    votes: deque[tuple[float, MaskScores, float]] = field(default_factory=lambda: deque(maxlen=_VOTES_KEPT))
    samples: deque[SkinSample] = field(default_factory=lambda: deque(maxlen=_SAMPLES_KEPT))
    served: bool = False


class PersonTracker:
    """The person at the gate now, if any, and the credential that was shown last."""

    def __init__(
        self,
        arrival: ArrivalSettings,
        thermometer: ThermometerSettings,
        view: CameraToThermal | None = None,
        sensor: Callable[[], SkinSensor] | None = None,
    ) -> None:
        """`view` and `sensor`, the correction of the thermometer, None: what the settings say of them."""
        self._arrival = arrival
        self._view = view or CameraToThermal.over(thermometer.covers)
        self._thermometer = thermometer
        own = SkinSensor.from_settings(thermometer)
        self._sensor = sensor or (lambda: own)
        self._farthest_m = shipped().fitted.distance_m[1]
        self._distance: DistanceReading | None = None
        self._person: Person | None = None
        self._credential: Credential | None = None
        self._changed = asyncio.Event()

    @property
    def person(self) -> Person | None:
        """The face being followed."""
        return self._person

    @property
    def steady(self) -> bool:
        """Whether the person is near and still enough to be served."""
        person = self._person
        return person is not None and person.near and person.steady_count >= self._arrival.steady_frames

    @property
    def unidentified(self) -> Person | None:
        """The person who could be served and has shown nothing."""
        person = self._person
        return person if person and self.steady and not person.served and self._credential is None else None

    @property
    def credential(self) -> Credential | None:
        """The credential shown last, while it is held."""
        return self._credential

    async def change(self) -> None:
        """Wait for new evidence."""
        await self._changed.wait()

    def add_detections(self, seen: Detections) -> None:
        """Add the faces of one picture."""
        at_s = seen.frame.taken_at_s
        self._expire_credential(at_s)
        nearest = seen.nearest
        if nearest is None:
            if self._person and at_s - self._person.last_seen_s > self._arrival.leave_s:
                self._person = None
                self._forget_face()
        else:
            self._follow(nearest, seen.size, at_s)
        self._notify()

    def add_reading(self, reading: ThermalFrame | SpotReading) -> None:
        """Add one thermometer reading of the present person."""
        person = self._person
        if person is None or not person.near or reading.taken_at_s <= person.steady_since_s:
            return
        skin_c: dict[str, float]
        if isinstance(reading, SpotReading):
            skin_c = {self._thermometer.spot_region: reading.object_c}
        else:
            skin_c = face_regions(reading.pixels_c, person.box, self._view, person.eyes)
        if skin_c:
            distance_m = self._distance_m(reading.taken_at_s)
            person.samples.append(SkinSample(skin_c, reading.ambient_c, reading.taken_at_s, distance_m))
        self._notify()

    def add_distance(self, reading: DistanceReading) -> None:
        """Take in one reading of the distance sensor; it counts from the next picture and the next temperature on."""
        self._distance = reading

    def add_credential(self, credential: Credential) -> None:
        """Add a presented credential; it replaces the one before."""
        self._credential = credential
        if self._person and self._person.served:
            self._restart(self._person, credential.presented_at_s)
        self._notify()

    def mask(self) -> MaskReading:
        """The mask state voted over the pictures of this person."""
        return vote(self._person.votes if self._person else ())

    def recent_mask(self) -> MaskState | None:
        """The mask state of the last few pictures, None until there are enough of them."""
        votes = self._person.votes if self._person else ()
        return vote(deque(list(votes)[-_RECENT_VOTES:])).state if len(votes) >= _RECENT_VOTES else None

    def temperature(self) -> TemperatureReading:
        """The screening temperature of this person."""
        samples = list(self._person.samples) if self._person else []
        return screen(samples, self._sensor())

    def restart(self, at_s: float, *, drop_credential: bool = False) -> None:
        """Measure the same person again: evidence from before `at_s` does not count.

        The credential is kept unless it is unreadable or `drop_credential` says that the decision rejected it.
        """
        if self._person:
            self._restart(self._person, at_s)
        if drop_credential or (self._credential and self._credential.problem):
            self._credential = None

    def mark_served(self) -> None:
        """Mark the person as served: the next passage needs another person or another credential."""
        if self._person:
            self._person.served = True
        self._credential = None

    def _notify(self) -> None:
        """Wake all waiters; the next wait is for the next change."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _restart(self, person: Person, at_s: float) -> None:
        person.votes.clear()
        person.samples.clear()
        person.served = False
        person.steady_count = 1
        person.steady_since_s = at_s

    def _follow(self, face: Face, size: tuple[int, int], at_s: float) -> None:
        person, box, eyes = self._person, _fractions(face, size), _eyes(face, size)
        if person is None or _overlap(person.box, box) < 0.2:
            person = self._person = Person(box, eyes, at_s, at_s, at_s)
            self._forget_face()
        elif _shift(person.box, box) > self._arrival.steady_shift:
            person.steady_count, person.steady_since_s = 1, at_s
        else:
            person.steady_count += 1
        was_near, person.near = person.near, self._is_near(box, at_s)
        if person.near and not was_near:
            person.steady_count, person.steady_since_s = 1, at_s
        person.box, person.eyes, person.last_seen_s = box, eyes, at_s
        if person.near and face.mask is not None:
            person.votes.append((at_s, face.mask, face.score))

    def _is_near(self, box: FractionBox, at_s: float) -> bool:
        """Whether the face is near enough to be served.

        The camera's rule is always required: the face is `near_height` high. Where a distance sensor measures, what is
        in front of it must also be no farther than the fit of the temperature holds. A sensor that is lost, stale or
        out of range leaves the camera's rule alone. So a distance can only keep a person from being served: a hand
        that is held out, or a sensor that is stuck, never makes a far face near.
        """
        if box[3] < self._arrival.near_height:
            return False
        distance_m = self._distance_m(at_s)
        return distance_m is None or distance_m <= self._farthest_m

    def _distance_m(self, at_s: float) -> float | None:
        """The distance measured last, None where it was not measured or is stale at `at_s`."""
        latest = self._distance
        if latest is None or at_s - latest.taken_at_s > _DISTANCE_STALE_S:
            return None
        return latest.distance_m

    def _forget_face(self) -> None:
        """Drop a credential of kind `face`: unlike a code, it belongs to the person who left."""
        if self._credential and self._credential.kind is CredentialKind.FACE:
            self._credential = None

    def _expire_credential(self, at_s: float) -> None:
        held = self._credential
        if held and not self.steady and at_s - held.presented_at_s > self._arrival.credential_hold_s:
            self._credential = None


def vote(votes: deque[tuple[float, MaskScores, float]] | tuple[()]) -> MaskReading:
    """The mask state of one arrival: softmax scores weighted by how surely each picture shows a face."""
    if not votes:
        return MaskReading(None, 0.0, 0)
    weights = {
        MaskState.CORRECT: sum(score * mask.correct for _, mask, score in votes),
        MaskState.INCORRECT: sum(score * mask.incorrect for _, mask, score in votes),
        MaskState.NONE: sum(score * mask.none for _, mask, score in votes),
    }
    winner = max(weights, key=weights.__getitem__)
    return MaskReading(winner, round(weights[winner] / sum(weights.values()), 3), len(votes))


def _fractions(face: Face, size: tuple[int, int]) -> FractionBox:
    width, height = size
    x, y, w, h = face.box
    return x / width, y / height, w / width, h / height


def _eyes(face: Face, size: tuple[int, int]) -> tuple[Point, Point] | None:
    """Right and left eye as fractions of the picture, where the detector finds them."""
    if face.landmarks is None:
        return None
    (right_x, right_y), (left_x, left_y) = (face.landmarks[:2] / np.array(size, np.float32)).tolist()
    return (right_x, right_y), (left_x, left_y)


def _shift(before: FractionBox, after: FractionBox) -> float:
    """How far the centre moved or the height changed, in face heights."""
    dx = (after[0] + after[2] / 2) - (before[0] + before[2] / 2)
    dy = (after[1] + after[3] / 2) - (before[1] + before[3] / 2)
    return max(abs(dx), abs(dy), abs(after[3] - before[3])) / max(before[3], 1e-6)


def _overlap(one: FractionBox, other: FractionBox) -> float:
    """Intersection over union."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    return common / (one[2] * one[3] + other[2] * other[3] - common)

"""At the gate: only who stands there with nothing shown is looked at, and only a sure answer counts."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from config.settings import ArrivalSettings, BoxSettings, RecognitionSettings, ThermometerSettings
from drivers.contract import CameraFrame
from drivers.latest import Latest
from edge_agent.box.wall_clock import WallClock
from edge_agent.diagnostics.metrics import Metrics
from edge_agent.domain.passage import Credential, CredentialKind
from edge_agent.faces.consecutive_matches import ConsecutiveMatches
from edge_agent.faces.current import CurrentFaces
from edge_agent.faces.face_identifier import FaceIdentifier
from edge_agent.faces.gallery import Galleries, Gallery
from edge_agent.faces.recogniser import Recogniser
from edge_agent.faces.register import FaceEntry, FaceRegister
from edge_agent.measurement.face_detection import Detections
from edge_agent.passage.person_tracker import PersonTracker
from edge_agent.records.recorder import PassageRecorder
from models.detections import Face
from models.recognition.embedding import FaceEmbedders
from models.recognition.upper_face import UpperFaceEmbedder
from sync.contract.records import AlarmRaised
from sync.edge.ledger.ledger import Ledger
from sync.storage.encryption import KEY_BYTES, KeyedCipher
from tests.edge_agent.clocks import ClockInSync
from tests.edge_agent.faces.stand import (
    BLUE,
    MASKED,
    RED,
    Image,
    agreed,
    colour_embedder,
    colour_embedders,
    drawn,
    galleries_of,
    key_of,
    liveness,
    masked,
)

SEALER = KeyedCipher(bytes(range(KEY_BYTES)))
NEAR = ArrivalSettings(near_height=0.2, steady_frames=3)
ENOUGH = 60  # sightings: five times the looks that one arrival gets


def test_one_look_knows_who_is_bare_living_and_alike(tmp_path: Path) -> None:
    embedders = colour_embedders(tmp_path)
    galleries = galleries_of(embedders, RED, BLUE)
    sure = Recogniser(embedders, liveness(tmp_path, 0.9), RecognitionSettings())
    assert sure.look(*drawn(RED), galleries) == key_of(1)
    assert sure.look(*drawn(BLUE), galleries) == key_of(2)
    assert sure.look(*drawn((90, 230, 90)), galleries) is None  # a stranger
    assert sure.look(*drawn(RED, size=40.0), galleries) is None  # too far away
    image, face = drawn(RED)
    assert sure.look((image // 8).astype(np.uint8), face, galleries) is None  # too dark
    assert sure.look(image, replace(face, landmarks=None), galleries) is None


@pytest.mark.parametrize("cloth", [(250, 250, 250), (30, 30, 30), (60, 220, 60)])
def test_a_masked_face_is_known_by_its_upper_half_whatever_the_mask(
    cloth: tuple[int, int, int], tmp_path: Path
) -> None:
    embedders = colour_embedders(tmp_path)
    galleries = galleries_of(embedders, RED, BLUE)
    sure = Recogniser(embedders, liveness(tmp_path, 0.9), RecognitionSettings())
    assert sure.look(*masked(RED, cloth), galleries) == key_of(1)
    assert sure.look(*masked(BLUE, cloth), galleries) == key_of(2)
    assert sure.look(*masked((90, 230, 90), cloth), galleries) is None  # a stranger


def test_a_masked_face_is_never_compared_with_whole_faces(tmp_path: Path) -> None:
    embedders = colour_embedders(tmp_path)
    registered_before = Galleries(whole=galleries_of(embedders, RED).whole)
    sure = Recogniser(embedders, liveness(tmp_path, 0.9), RecognitionSettings(margin=0.0))
    assert sure.look(*drawn(RED, mask=MASKED), registered_before) is None
    assert sure.look(*drawn(RED), registered_before) == key_of(1)
    assert sure.look(*drawn(RED), Galleries(upper=galleries_of(embedders, RED).upper)) is None
    without = Recogniser(FaceEmbedders(embedders.whole), liveness(tmp_path, 0.9), RecognitionSettings(margin=0.0))
    assert without.look(*drawn(RED, mask=MASKED), galleries_of(embedders, RED)) is None


def test_a_masked_face_has_a_threshold_of_its_own(tmp_path: Path) -> None:
    whole = colour_embedder(tmp_path)
    affine = np.vstack((np.zeros(6), np.eye(6))).astype(np.float32)
    strict = FaceEmbedders(whole, UpperFaceEmbedder("strict", 1.1, whole, affine))
    sure = Recogniser(strict, liveness(tmp_path, 0.9), RecognitionSettings())
    assert sure.look(*drawn(RED), galleries_of(strict, RED)) == key_of(1)
    assert sure.look(*drawn(RED, mask=MASKED), galleries_of(strict, RED)) is None


@pytest.mark.parametrize(("people", "known"), [(2, True), (30, True), (300, False), (5000, False)])
def test_a_large_register_requires_a_more_similar_masked_face(people: int, known: bool, tmp_path: Path) -> None:
    embedders = colour_embedders(tmp_path)
    whole, upper = embedders.whole, embedders.upper
    assert upper is not None
    image, face = drawn(RED, mask=MASKED)
    assert face.landmarks is not None
    seen = upper.embed(image, face.landmarks)
    across = np.array((1, 0, 0, 0, 0, 0), np.float32)  # at a right angle to every face
    similar = 0.95 * seen + np.sqrt(1 - 0.95**2) * across  # 0.05 above the threshold of a pair
    keys = tuple(key_of(number) for number in range(people))
    vectors = np.array([similar, *[across] * (people - 1)], np.float32)
    galleries = Galleries(whole=galleries_of(embedders, RED).whole, upper=Gallery(keys, vectors))
    sure = Recogniser(embedders, liveness(tmp_path, 0.9), RecognitionSettings())
    assert sure.look(image, face, galleries) == (key_of(0) if known else None)
    assert whole.threshold == upper.threshold == 0.9


def test_a_print_is_nobody(tmp_path: Path) -> None:
    embedders = colour_embedders(tmp_path)
    print_seen = Recogniser(embedders, liveness(tmp_path, 0.4), RecognitionSettings())
    assert print_seen.look(*drawn(RED), galleries_of(embedders, RED)) is None


def test_who_is_as_like_a_second_is_nobody(tmp_path: Path) -> None:
    embedders = colour_embedders(tmp_path)
    twins = galleries_of(embedders, RED, (62, 60, 230))
    assert Recogniser(embedders, liveness(tmp_path, 0.9), RecognitionSettings()).look(*drawn(RED), twins) is None
    lenient = RecognitionSettings(margin=0.0)
    assert Recogniser(embedders, liveness(tmp_path, 0.9), lenient).look(*drawn(RED), twins) is not None


def test_looks_agree_in_a_row_or_not_at_all() -> None:
    agreement, arrival = ConsecutiveMatches(3), object()
    assert agreement.wants(arrival)
    said = ["a", "a", "b", "a", None, "a", "a", "a"]
    assert [agreement.note(each) for each in said] == [None] * 7 + ["a"]


def test_an_arrival_is_looked_at_so_often_and_the_next_anew() -> None:
    agreement, first, second = ConsecutiveMatches(2), object(), object()
    looks = 0
    while agreement.wants(first):
        agreement.note(None)
        looks += 1
    assert looks == 12
    assert agreement.wants(second)
    agreement.note("a")
    assert agreement.wants(object())
    assert agreement.note("a") is None  # another arrival: one look only


@dataclass
class Seen:
    """Stands where the sight stands, and shows the presence what it shows."""

    presence: PersonTracker
    detections: Latest[Detections] = field(default_factory=Latest)
    at_s: float = 0.0

    def show(self, image: Image, *faces: Face) -> None:
        self.at_s += 0.1
        sighting = Detections(faces, CameraFrame(image, self.at_s, 1))
        self.presence.add_detections(sighting)
        self.detections.put(sighting)


@dataclass
class Gate:
    """One lookout with its register and what it handed over."""

    seen: Seen
    presence: PersonTracker
    register: FaceRegister
    outbox: Ledger
    lookout: FaceIdentifier
    figures: Metrics
    taken: list[Credential] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    clock: ClockInSync = field(default_factory=ClockInSync)

    def take(self, credential: Credential, name: str) -> None:
        self.taken.append(credential)
        self.names.add(name)
        self.presence.add_credential(credential)

    async def until(self, done: Callable[[], bool], image: Image, *faces: Face) -> bool:
        """Show pictures until `done`, or until so many were taken up that nothing more is to come."""
        enough = self._taken_up + ENOUGH
        while not done() and self._taken_up < enough:
            self.seen.show(image, *faces)
            await asyncio.sleep(0.005)
        return done()

    @property
    def _taken_up(self) -> int:
        """The sightings that the lookout did not leave to be replaced."""
        return self.seen.detections.sequence - self.seen.detections.replaced

    @property
    def looks(self) -> int:
        return len(self.figures._series.get("face_ms", ()))


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[Gate]:
    async with opened(tmp_path) as running:
        yield running


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Gate]:
    async with AsyncExitStack() as stack:
        outbox = await stack.enter_async_context(
            Ledger.opened(folder / "ledger.db", box="box-1", budget_bytes=10_000_000)
        )
        register = await stack.enter_async_context(FaceRegister.opened(folder / "faces.db", SEALER))
        presence, figures, clock, embedders = (
            PersonTracker(NEAR, ThermometerSettings()),
            Metrics(),
            ClockInSync(),
            colour_embedders(folder),
        )
        seen, now_s = Seen(presence), iter(range(10_000))
        recorder = PassageRecorder(outbox, BoxSettings(), WallClock().now)
        lookout = FaceIdentifier(
            detection_loop=seen,  # type: ignore[arg-type]
            tracker=presence,
            faces=CurrentFaces(register, embedders, recorder, clock, lambda: next(now_s)),
            recogniser=Recogniser(embedders, liveness(folder, 0.9), RecognitionSettings()),
            frames=3,
            looks_per_s=500.0,
            metrics=figures,
        )
        place = Gate(seen, presence, register, outbox, lookout, figures, clock=clock)
        running = asyncio.create_task(lookout.run(place.take))
        try:
            yield place
        finally:
            running.cancel()
            [end] = await asyncio.gather(running, return_exceptions=True)
    assert isinstance(end, asyncio.CancelledError), end


async def enter(gate: Gate, folder: Path, number: int, colour: tuple[int, int, int], days: int = 30) -> int:
    """Register somebody as the command line does: by a connection of its own."""
    image, face = drawn(colour)
    assert face.landmarks is not None
    embedders = colour_embedders(folder)
    entry = FaceEntry.of(key_of(number), embedders.embed(image, face.landmarks), embedders)
    consent = agreed(days, WallClock().now().wall - timedelta(days=1, seconds=1))
    async with FaceRegister.opened(folder / "faces.db", SEALER) as other:
        return await other.add(entry, consent, alike=0.99)


async def test_a_registered_face_is_a_credential_and_a_withdrawn_one_is_not(gate: Gate, tmp_path: Path) -> None:
    image, face = drawn(RED)
    row = await enter(gate, tmp_path, 1, RED)
    assert await gate.until(lambda: bool(gate.taken), image, face)
    [credential] = gate.taken
    assert (credential.kind, credential.person_key, gate.names) == (CredentialKind.FACE, key_of(1), {"face"})
    assert gate.looks == 3
    gate.presence.mark_served()
    assert not await gate.until(lambda: len(gate.taken) > 1, image, face)  # served: not looked at again
    async with FaceRegister.opened(tmp_path / "faces.db", SEALER) as other:
        await other.remove(row)
    gate.presence.restart(gate.seen.at_s)
    assert not await gate.until(lambda: len(gate.taken) > 1, image, face)
    alarms = [record.record() for record in reversed(await gate.outbox.recent(10))]
    assert [(each.kind, each.subject, each.detail) for each in alarms if isinstance(each, AlarmRaised)] == [
        ("face_registered", "faces", ""),
        ("face_withdrawn", "faces", ""),
    ]
    assert await gate.register.events() == []


async def test_a_registered_face_is_a_credential_with_a_mask_on_by_looks_that_agree(gate: Gate, tmp_path: Path) -> None:
    await enter(gate, tmp_path, 1, RED)
    assert await gate.until(lambda: bool(gate.taken), *masked(RED, (240, 240, 240)))
    assert [each.person_key for each in gate.taken] == [key_of(1)]
    assert gate.looks == 3


async def test_a_stranger_is_left_alone_after_some_looks(gate: Gate, tmp_path: Path) -> None:
    await enter(gate, tmp_path, 1, BLUE)
    assert not await gate.until(lambda: bool(gate.taken), *drawn(RED))
    assert gate.looks == 12


async def test_a_consent_that_is_over_is_forgotten_by_the_agent(gate: Gate, tmp_path: Path) -> None:
    await enter(gate, tmp_path, 1, RED, days=1)
    assert not await gate.until(lambda: bool(gate.taken), *drawn(RED))
    assert await gate.register.rows() == []


async def test_faces_wait_for_a_confirmed_clock_and_are_not_lost(
    gate: Gate, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A box that starts without RTC and NTP, at a time when every consent seems to be over."""
    gate.clock.in_sync, gate.clock.error_s = False, None
    gate.clock.wall = datetime.now(UTC) + timedelta(days=3000)
    await enter(gate, tmp_path, 1, RED)
    image, face = drawn(RED)
    assert not await gate.until(lambda: bool(gate.taken), image, face)
    assert len(await gate.register.rows()) == 1
    assert caplog.text.count("face recognition is suspended: the clock is not confirmed") == 1
    gate.clock.in_sync, gate.clock.error_s, gate.clock.wall = True, 0.05, None
    gate.presence.restart(gate.seen.at_s)
    assert await gate.until(lambda: bool(gate.taken), image, face)
    assert "face recognition is resumed" in caplog.text


async def test_nobody_is_looked_at_while_nobody_is_registered(gate: Gate) -> None:
    assert not await gate.until(lambda: gate.looks > 0, *drawn(RED))


async def test_by_a_register_that_cannot_be_read_nobody_is_known_and_the_gate_goes_on(
    gate: Gate, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image, face = drawn(RED)
    await enter(gate, tmp_path, 1, RED)
    assert await gate.until(lambda: bool(gate.taken), image, face)
    gate.presence.mark_served()
    with closing(sqlite3.connect(tmp_path / "faces.db")) as other:
        other.execute("ALTER TABLE face RENAME TO lost")
    gate.presence.restart(gate.seen.at_s)
    assert not await gate.until(lambda: len(gate.taken) > 1, image, face)
    assert caplog.text.count("face recognition is suspended") == 1
    with closing(sqlite3.connect(tmp_path / "faces.db")) as other:
        other.execute("ALTER TABLE lost RENAME TO face")
    assert await gate.until(lambda: len(gate.taken) > 1, image, face)


async def test_another_credential_goes_before_the_face(gate: Gate, tmp_path: Path) -> None:
    await enter(gate, tmp_path, 1, RED)
    gate.presence.add_credential(Credential(CredentialKind.CODE, 0.0, key_of(7)))
    image, face = drawn(RED)
    gate.seen.show(image, face)
    assert not await gate.until(lambda: gate.looks > 0, image, face)

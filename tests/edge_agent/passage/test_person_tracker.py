"""Who stands at the gate: followed, measured and served once."""

import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import ArrivalSettings, ThermometerSettings
from drivers.contract import CameraFrame, DistanceReading, RangeState, SpotReading, ThermalFrame
from edge_agent.domain.passage import Credential, CredentialKind, CredentialProblem
from edge_agent.measurement.face_detection import Detections
from edge_agent.passage.person_tracker import PersonTracker
from models.detections import Face, MaskScores, MaskState
from tests.limits import HANG_S

PICTURE = np.zeros((480, 640, 3), np.uint8)
CORRECT = MaskScores(0.9, 0.05, 0.05)
NONE = MaskScores(0.05, 0.05, 0.9)
NEAR = (220.0, 120.0, 200.0, 220.0)
FAR = (300.0, 200.0, 40.0, 50.0)
PERIOD_S = 0.1


class Gate:
    """Feeds a presence with evidence, a tenth of a second apart."""

    def __init__(self) -> None:
        self.presence = PersonTracker(ArrivalSettings(), ThermometerSettings())
        self.now_s = 100.0

    def see(self, *boxes: tuple[float, float, float, float], mask: MaskScores | None = CORRECT, times: int = 1) -> None:
        for _ in range(times):
            self.now_s += PERIOD_S
            faces = tuple(Face(box, 0.9, None, mask) for box in boxes)
            self.presence.add_detections(Detections(faces, CameraFrame(PICTURE, self.now_s, 0)))

    def feel(self, skin_c: float = 35.5) -> None:
        self.now_s += PERIOD_S
        self.presence.add_reading(ThermalFrame(np.full((24, 32), skin_c, np.float32), 23.0, self.now_s))

    def measure(self, distance_mm: int | None, state: RangeState = RangeState.MEASURED, ago_s: float = 0.0) -> None:
        self.presence.add_distance(DistanceReading(distance_mm, state, self.now_s - ago_s))

    def show(self, key: str = "key", problem: CredentialProblem | None = None) -> None:
        self.presence.add_credential(Credential(CredentialKind.CODE, self.now_s, key, problem))


@pytest.fixture
def gate() -> Gate:
    return Gate()


async def test_a_near_face_that_stands_still_becomes_steady(gate: Gate) -> None:
    gate.see(NEAR, times=2)
    assert not gate.presence.steady
    gate.see(NEAR)
    assert gate.presence.steady


async def test_a_far_face_is_followed_but_never_steady(gate: Gate) -> None:
    gate.see(FAR, times=10)
    assert gate.presence.person is not None
    assert not gate.presence.steady


async def test_a_face_that_moves_is_not_steady(gate: Gate) -> None:
    for step in range(10):
        gate.see((100.0 + 40 * step, 120.0, 200.0, 220.0))
        assert not gate.presence.steady


async def test_steadiness_counts_from_the_first_still_picture(gate: Gate) -> None:
    gate.see(FAR, times=3)
    gate.see(NEAR, times=3)
    assert gate.presence.person is not None
    assert gate.presence.person.steady_since_s == pytest.approx(gate.now_s - 2 * PERIOD_S)


async def test_the_nearest_face_is_the_one_that_is_served(gate: Gate) -> None:
    gate.see(FAR, NEAR, times=3)
    assert gate.presence.person is not None
    assert gate.presence.person.box[3] == pytest.approx(220 / 480)


async def test_one_picture_without_the_face_loses_nobody(gate: Gate) -> None:
    gate.see(NEAR, times=3)
    gate.see()
    gate.see(NEAR)
    assert gate.presence.steady


async def test_a_face_gone_for_long_has_left(gate: Gate) -> None:
    gate.see(NEAR, times=3)
    gate.see(times=8)
    assert gate.presence.person is None


async def test_one_bad_frame_does_not_change_the_vote(gate: Gate) -> None:
    gate.see(NEAR, times=4)
    gate.see(NEAR, mask=NONE)
    assert gate.presence.mask().state is MaskState.CORRECT
    assert gate.presence.mask().frames == 5


async def test_a_detector_without_masks_votes_for_nothing(gate: Gate) -> None:
    gate.see(NEAR, mask=None, times=5)
    assert gate.presence.mask().state is None


async def test_skin_counts_only_while_somebody_stands_near(gate: Gate) -> None:
    gate.feel()
    gate.see(FAR)
    gate.feel()
    assert gate.presence.temperature().samples == 0
    gate.see(NEAR)
    gate.feel()
    assert gate.presence.temperature().samples == 1


async def test_skin_measured_before_the_arrival_does_not_count(gate: Gate) -> None:
    gate.see(NEAR)
    early = SpotReading(35.5, 23.0, gate.now_s - PERIOD_S)
    gate.presence.add_reading(early)
    assert gate.presence.temperature().estimate_c is None


async def test_a_wall_is_no_skin(gate: Gate) -> None:
    gate.see(NEAR, times=3)
    gate.feel(24.0)
    assert gate.presence.temperature().estimate_c is None


async def test_nobody_is_served_twice_without_a_new_credential(gate: Gate) -> None:
    gate.see(NEAR, times=3)
    gate.show()
    gate.presence.mark_served()
    gate.see(NEAR, times=5)
    assert gate.presence.person is not None
    assert gate.presence.person.served
    assert gate.presence.credential is None
    gate.show("other")
    gate.see(NEAR, times=3)
    assert not gate.presence.person.served
    assert gate.presence.steady


async def test_a_recheck_keeps_the_credential_and_forgets_the_measurement(gate: Gate) -> None:
    gate.see(NEAR, mask=NONE, times=5)
    gate.feel()
    gate.show()
    gate.presence.restart(gate.now_s)
    assert gate.presence.credential is not None
    assert gate.presence.mask().frames == 0
    assert gate.presence.temperature().samples == 0


async def test_a_useless_credential_is_not_kept_for_the_recheck(gate: Gate) -> None:
    gate.see(NEAR, times=3)
    gate.show(problem=CredentialProblem.UNREADABLE)
    gate.presence.restart(gate.now_s)
    assert gate.presence.credential is None


async def test_a_credential_without_a_person_is_held_for_a_while_only(gate: Gate) -> None:
    gate.show()
    gate.see(times=50)
    assert gate.presence.credential is not None
    gate.see(times=60)
    assert gate.presence.credential is None


async def test_evidence_wakes_everybody_who_waits(gate: Gate) -> None:
    waiters = [asyncio.create_task(gate.presence.change()) for _ in range(2)]
    await asyncio.sleep(0)
    assert not any(waiter.done() for waiter in waiters)
    gate.see(NEAR)
    async with asyncio.timeout(HANG_S):
        await asyncio.gather(*waiters)


@pytest.mark.parametrize(("kind", "held"), [(CredentialKind.FACE, False), (CredentialKind.CODE, True)])
@pytest.mark.parametrize("gone", [False, True])
async def test_a_face_identifies_nobody_who_comes_after_it(
    gate: Gate, kind: CredentialKind, held: bool, gone: bool
) -> None:
    gate.see(NEAR, times=3)
    assert gate.presence.unidentified is gate.presence.person
    gate.presence.add_credential(Credential(kind, gate.now_s, "key"))
    assert gate.presence.unidentified is None
    gate.see(NEAR)
    assert gate.presence.credential is not None
    gate.see(*(() if gone else ((0.0, 120.0, 180.0, 220.0),)), times=8 if gone else 1)
    assert (gate.presence.credential is not None) is held


@pytest.mark.parametrize(
    ("distance_mm", "near"), [(300, True), (700, True), (1000, True), (1001, False), (2500, False)]
)
async def test_the_distance_decides_who_is_to_come_closer(gate: Gate, distance_mm: int, near: bool) -> None:
    for _ in range(3):
        gate.measure(distance_mm)
        gate.see(NEAR)
    assert gate.presence.person is not None
    assert (gate.presence.person.near, gate.presence.steady) == (near, near)


async def test_whoever_comes_closer_is_steady_from_there(gate: Gate) -> None:
    gate.measure(1400)
    gate.see(NEAR, times=3)
    gate.measure(800)
    gate.see(NEAR, times=2)
    assert not gate.presence.steady
    gate.see(NEAR)
    assert gate.presence.steady


async def test_a_hand_that_is_held_out_makes_no_far_face_near(gate: Gate) -> None:
    gate.measure(600)
    gate.see(FAR, times=5)
    gate.feel()
    assert not gate.presence.steady
    assert gate.presence.temperature().samples == 0


@pytest.mark.parametrize(
    ("distance_mm", "state", "ago_s"),
    [
        (None, RangeState.TOO_FAR, 0.0),
        (None, RangeState.TOO_NEAR, 0.0),
        (None, RangeState.NO_MEASURE, 0.0),
        (1600, RangeState.MEASURED, 2.0),
    ],
)
@pytest.mark.parametrize(("box", "near"), [(NEAR, True), (FAR, False)])
async def test_without_a_distance_the_camera_s_rule_holds(
    gate: Gate,
    distance_mm: int | None,
    state: RangeState,
    ago_s: float,
    box: tuple[float, float, float, float],
    near: bool,
) -> None:
    gate.measure(1600)
    gate.measure(distance_mm, state, ago_s)
    gate.see(box, times=3)
    assert gate.presence.steady is near
    gate.feel()
    assert gate.presence.temperature().distance_m is None


async def test_a_distance_counts_for_two_seconds(gate: Gate) -> None:
    gate.measure(1600)
    gate.see(NEAR, times=19)
    assert gate.presence.person is not None
    assert not gate.presence.person.near
    gate.see(NEAR, times=2)
    assert gate.presence.person.near


async def test_each_sample_carries_the_distance_at_which_it_was_taken(gate: Gate) -> None:
    gate.measure(700)
    gate.see(NEAR, times=3)
    for distance_mm in (800, 820, 860):
        gate.measure(distance_mm)
        gate.feel()
    reading = gate.presence.temperature()
    assert (reading.distance_m, reading.outside) == (0.82, ())


async def test_nearer_than_the_fit_holds_is_near_and_outside(gate: Gate) -> None:
    gate.measure(300)
    gate.see(NEAR, times=3)
    gate.feel()
    assert gate.presence.steady
    assert gate.presence.temperature().outside == ("distance",)


DISTANCES = st.one_of(
    st.none(),
    st.builds(lambda distance_mm: (distance_mm, RangeState.MEASURED), st.integers(1, 5000)),
    st.sampled_from([(None, state) for state in RangeState if state is not RangeState.MEASURED]),
)


@given(steps=st.lists(st.tuples(st.sampled_from([NEAR, FAR, None]), DISTANCES), min_size=1, max_size=30))
def test_no_distance_lets_anyone_be_served_who_would_not_be_without_it(
    steps: list[tuple[tuple[float, float, float, float] | None, tuple[int | None, RangeState] | None]],
) -> None:
    """Whatever a distance sensor says and when: it only ever takes away."""
    without, ranged = Gate(), Gate()
    for box, distance in steps:
        if distance is not None:
            ranged.measure(*distance)
        for gate in (without, ranged):
            gate.see(*(() if box is None else (box,)))
            gate.feel()
        assert without.presence.steady or not ranged.presence.steady
        told, usual = ranged.presence.temperature(), without.presence.temperature()
        if told.uncertainty_c is not None and usual.uncertainty_c is not None:
            assert told.estimate_c == usual.estimate_c
            assert told.uncertainty_c >= usual.uncertainty_c
            assert set(told.outside) >= set(usual.outside)
        assert told.samples <= usual.samples

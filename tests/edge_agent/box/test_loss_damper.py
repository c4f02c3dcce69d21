"""A device that comes and goes raises few alarms, whatever its rhythm, and none of them is without its end."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.box.loss_damper import HOLD_S, WATCH_S, LossDamper, LossEvent

DAY_S = 86400.0
LOOK_S = 0.25


def alternating(lost_s: float, usable_s: float, times: int) -> Iterator[tuple[float, bool]]:
    now_s = 10.0
    for _ in range(times):
        yield now_s, True
        now_s += lost_s
        yield now_s, False
        now_s += usable_s


def events(damper: LossDamper, states: Iterator[tuple[float, bool]]) -> list[LossEvent]:
    """The events; between two changes the damper looks again, just before the second."""
    raised: list[LossEvent | None] = []
    lost, last_s = False, 0.0
    for now_s, is_lost in states:
        raised.append(damper.update(is_lost=lost, detail="gone", now_s=max(last_s, now_s - LOOK_S)))
        raised.append(damper.update(is_lost=is_lost, detail="gone", now_s=now_s))
        lost, last_s = is_lost, now_s
    return [event for event in raised if event is not None]


def test_one_loss_and_its_return_are_alarms_at_once() -> None:
    assert events(LossDamper(), alternating(5.0, 0.0, 1)) == [LossEvent("part_lost", "gone"), LossEvent("part_back")]


def test_losses_more_than_an_hour_apart_are_alarms_of_their_own() -> None:
    kinds = [event.kind for event in events(LossDamper(), alternating(5.0, WATCH_S, 3))]
    assert kinds == ["part_lost", "part_back"] * 3


def test_a_hundred_and_six_losses_are_four_alarms_with_the_count_in_the_last() -> None:
    damper = LossDamper()
    raised = events(damper, alternating(2.0, 3.0, 106))
    assert [event.kind for event in raised] == ["part_lost", "part_back", "part_unstable"]
    assert damper.is_unstable and damper.losses == 106
    end_s = 10.0 + 106 * 5.0 - 3.0
    assert damper.update(is_lost=False, detail="", now_s=end_s + HOLD_S - 1) is None
    end = damper.update(is_lost=False, detail="", now_s=end_s + HOLD_S)
    assert end is not None and end.kind == "part_back"
    assert "Lost 106 times in 527 s" in end.detail and "失联 106 次" in end.detail
    assert not damper.is_unstable
    assert damper.update(is_lost=False, detail="", now_s=end_s + DAY_S) is None


@pytest.mark.parametrize("usable_s", [0.5, 30.0, 61.0, 90.0, 300.0, 900.0, 1800.0, 3500.0])
def test_no_rhythm_makes_more_than_twenty_alarms_a_day(usable_s: float) -> None:
    times = min(int(DAY_S / (usable_s + 1.0)), 20_000)
    assert len(events(LossDamper(), alternating(1.0, usable_s, times))) <= 20


@given(st.lists(st.tuples(st.floats(0.25, 7200), st.booleans()), max_size=60))
def test_every_alarm_has_one_end_and_the_count_is_right(steps: list[tuple[float, bool]]) -> None:
    damper, now_s, lost, losses = LossDamper(), 10.0, False, 0
    raised: list[LossEvent] = []
    for wait_s, is_lost in [*steps, (1.0, False), (WATCH_S, False)]:
        now_s += wait_s
        losses += is_lost and not lost
        lost = is_lost
        event = damper.update(is_lost=is_lost, detail="", now_s=now_s)
        if event is not None:
            raised.append(event)
        assert not (event and event.kind == "part_back" and is_lost)
        assert not (event and event.kind != "part_back" and not is_lost)
    assert [event.kind == "part_back" for event in raised] == [False, True] * (len(raised) // 2)
    assert (len(raised) > 0) is (losses > 0)
    counted = sum(event.kind == "part_lost" for event in raised)
    assert counted <= losses and damper.losses <= losses
    for event in raised:
        if match := re.search(r"Lost (\d+) times", event.detail):
            assert 2 <= int(match[1]) <= losses

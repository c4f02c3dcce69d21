from __future__ import annotations

from models.detectors.timing import plain_frame, time_calls


def test_every_call_is_counted() -> None:
    calls: list[int] = []
    timing = time_calls(lambda: calls.append(1), runs=7, warm_up=2)
    assert len(calls) == 9
    assert timing.runs == 7
    assert 0 <= timing.wall_median_ms <= timing.wall_p95_ms


def test_the_plain_frame_is_always_the_same() -> None:
    assert plain_frame().shape == (480, 640, 3)
    assert (plain_frame() == plain_frame()).all()

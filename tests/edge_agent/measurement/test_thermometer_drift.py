"""A crowd is a steady reference: the watch speaks once when it moves or when people are all alike."""

import random

from edge_agent.domain.passage import TemperatureReading
from edge_agent.measurement.core_temperature import shipped
from edge_agent.measurement.thermometer_drift import PEOPLE, ThermometerDriftDetector

USUAL_C = shipped().usual_skin_c("face_max")


def reading(skin_c: float, region: str = "face_max", correction_c: float = 0.0) -> TemperatureReading:
    return TemperatureReading(36.8, 0.3, skin_c, 23.0, 4, "test", {region: skin_c}, correction_c)


class Crowd:
    """Lets seeded people pass a watch."""

    def __init__(self) -> None:
        self.watch = ThermometerDriftDetector()
        self._random = random.Random(4)

    def passes(self, people: int, hour: int, middle_c: float = USUAL_C, spread_c: float = 0.4) -> list[str]:
        told = [self.watch.note(reading(self._random.gauss(middle_c, spread_c)), hour) for _ in range(people)]
        return [each for each in told if each]


def test_an_ordinary_crowd_is_no_news() -> None:
    crowd = Crowd()
    assert [crowd.passes(60, hour) for _ in range(6) for hour in range(24)] == [[]] * 144


def test_a_sensor_far_from_what_people_have_is_told_once() -> None:
    told = Crowd().passes(5 * PEOPLE, 9, USUAL_C - 1.5)
    assert len(told) == 1
    assert "face_max is -1." in told[0]


def test_its_correction_counts() -> None:
    watch, people = ThermometerDriftDetector(), random.Random(4)
    told = [watch.note(reading(people.gauss(USUAL_C - 1.5, 0.4), correction_c=1.5), 9) for _ in range(2 * PEOPLE)]
    assert not any(told)


def test_a_slow_drift_is_seen_against_the_same_hour_of_earlier_days() -> None:
    crowd = Crowd()
    for _ in range(3):
        assert crowd.passes(40, 8) == crowd.passes(40, 17, USUAL_C + 0.3) == []
    [told] = crowd.passes(40, 8, USUAL_C - 0.65)
    assert "past at this hour" in told


def test_people_who_are_all_alike_are_an_alarm() -> None:
    [told] = Crowd().passes(2 * PEOPLE, 9, spread_c=0.02)
    assert "normalise" in told


def test_it_speaks_again_after_it_was_well() -> None:
    crowd = Crowd()
    assert len(crowd.passes(PEOPLE, 9, spread_c=0.02)) == 1
    assert crowd.passes(2 * PEOPLE, 9) == []
    assert len(crowd.passes(2 * PEOPLE, 9, spread_c=0.02)) == 1


def test_few_people_tell_nothing() -> None:
    assert Crowd().passes(PEOPLE - 1, 9, 30.0, 0.0) == []


def test_who_was_not_measured_does_not_count() -> None:
    watch = ThermometerDriftDetector()
    assert watch.note(TemperatureReading(None, None, None, None, 0, "test"), 9) is None
    assert watch.note(reading(35.0, "canthi_max"), 9) is None
    assert watch.note(reading(35.0, "forehead_max"), 9) is None

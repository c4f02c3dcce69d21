"""The eight kinds of visits to the street, generated reproducibly from a seed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

from drivers.simulated.people import residents
from drivers.simulated.people.drawn import PEOPLE
from drivers.simulated.people.masks import MaskWear
from drivers.simulated.people.person_image import PicturedPerson

CODE_LIFE_S = 3 * 3600  # longer than the error that a policy assumes of a clock that nothing confirms
HEALTHY_SKIN_C = (35.2, 35.6)
FEVER_SKIN_C = (37.6, 38.2)
MASK_ON_S = 2.5
EXTRA_HEALTHY = 4  # in each round after the first


class SceneKind(StrEnum):
    """Kind of visit."""

    HEALTHY = "healthy"  # masked, green code, tested
    MASK_LATER = "mask_later"  # arrives without a mask, then puts one on
    FEVER = "fever"
    TEST_EXPIRED = "test_expired"  # nucleic-acid sample too old
    YELLOW_CODE = "yellow_code"
    UNKNOWN_CODE = "unknown_code"  # a number that the platform does not know
    WATCH_LIST = "watch_list"
    PLATFORM_DOWN = "platform_down"  # an unknown number while the platform is offline


@dataclass(frozen=True, slots=True)
class MaskStep:
    """How the mask is worn from `from_s` seconds after standing still."""

    from_s: float
    wear: MaskWear


@dataclass(frozen=True, slots=True)
class Scene:
    """One visit. `expected`, the correct final verdicts, is for scoring and not passed to the agent."""

    kind: SceneKind
    person: PicturedPerson
    masks: tuple[MaskStep, ...]
    skin_max_c: float
    code: str | None = field(repr=False)
    code_shown_at_s: tuple[float, ...]  # after standing still
    expected: frozenset[str]
    needs: str | None = None  # `platform_down`: the caller must cut the link to the platform first


NOT_ADMITTED = frozenset({"refuse", "recheck", "assist"})
EXPECTED = {
    SceneKind.HEALTHY: frozenset({"admit"}),
    SceneKind.MASK_LATER: frozenset({"admit"}),
    SceneKind.FEVER: NOT_ADMITTED,
    SceneKind.TEST_EXPIRED: frozenset({"refuse", "assist"}),
    SceneKind.YELLOW_CODE: frozenset({"refuse", "assist"}),
    SceneKind.UNKNOWN_CODE: NOT_ADMITTED,
    SceneKind.WATCH_LIST: frozenset({"assist"}),
    SceneKind.PLATFORM_DOWN: NOT_ADMITTED,
}
NUMBERS = {
    SceneKind.HEALTHY: tuple(resident.number for resident in residents.HEALTHY),
    SceneKind.MASK_LATER: (residents.FORGETFUL.number,),
    SceneKind.FEVER: tuple(resident.number for resident in residents.FEVERISH),
    SceneKind.TEST_EXPIRED: (residents.OVERDUE.number,),
    SceneKind.YELLOW_CODE: (residents.YELLOW.number,),
    SceneKind.UNKNOWN_CODE: residents.STRANGERS[::2],
    SceneKind.WATCH_LIST: tuple(resident.number for resident in residents.WATCHED),
    SceneKind.PLATFORM_DOWN: residents.STRANGERS[1::2],
}


def health_code(number: str, expires_unix_s: int) -> str:
    """Text of a code of the simulated provider."""
    return f"SHC1:{number}:{expires_unix_s}"


def scenes(seed: int, wall_s: Callable[[], float] = time.time) -> Iterator[Scene]:
    """Endless visits: first each kind once, then rounds of each kind with more healthy ones, all shuffled.

    No face occurs twice in a row. `wall_s` is the time from which the codes expire, read when a scene is generated.
    """
    random = Random(seed)  # noqa: S311 - a repeatable street, not a secret
    kinds = list(SceneKind)
    person: PicturedPerson | None = None
    while True:
        random.shuffle(kinds)
        for kind in kinds:
            person = random.choice([other for other in PEOPLE if other is not person])
            yield _scene(kind, person, random, wall_s())
        kinds = [*SceneKind, *[SceneKind.HEALTHY] * EXTRA_HEALTHY]


def _scene(kind: SceneKind, person: PicturedPerson, random: Random, wall_s: float) -> Scene:
    number = random.choice(NUMBERS[kind])
    late = kind is SceneKind.MASK_LATER
    shown_at_s = random.uniform(0.3, 0.8)
    return Scene(
        kind=kind,
        person=person,
        masks=_late_mask(random) if late else (MaskStep(0.0, MaskWear.CORRECT),),
        skin_max_c=round(random.uniform(*(FEVER_SKIN_C if kind is SceneKind.FEVER else HEALTHY_SKIN_C)), 2),
        code=number if random.random() < 0.25 else health_code(number, int(wall_s) + CODE_LIFE_S),
        code_shown_at_s=(shown_at_s, MASK_ON_S + 2.0) if late else (shown_at_s,),
        expected=EXPECTED[kind],
        needs="platform_down" if kind is SceneKind.PLATFORM_DOWN else None,
    )


def _late_mask(random: Random) -> tuple[MaskStep, ...]:
    """Without a mask or with one below the nose at first, then correct."""
    before = random.choice((MaskWear.NONE, MaskWear.NONE, MaskWear.INCORRECT))
    return MaskStep(0.0, before), MaskStep(MASK_ON_S, MaskWear.CORRECT)

"""What a person agreed to before the face was registered: nothing is registered without it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from edge_agent.faces.errors import ConsentMissing

#: names the text below; another purpose is another text and needs another consent
PURPOSE = "gate-1"
PURPOSE_TEXT = (
    "仅用于在本卡口识别本人以便通行；只存特征值，不存照片和姓名；数据不出本机；可随时撤回；不同意也可用健康码、身份证或人工通行。",
    "Only to know this person at this gate. A vector is kept, no picture and no name; it stays in this box. It may be"
    " withdrawn at any time. Without it a code, an ID card or the staff let people pass just as well.",
)
LONGEST = timedelta(days=366)
GUARDED_YEARS = 14  # PIPL art. 31 and the face-recognition measures: under it a guardian consents


class Giver(StrEnum):
    """Who consented."""

    SELF = "self"
    GUARDIAN = "guardian"


@dataclass(frozen=True, slots=True)
class Consent:
    """`giver` agreed to `purpose` from `given` to `until`, both aware. Raises ConsentMissing where that cannot be."""

    giver: Giver
    given: datetime
    until: datetime
    purpose: str = PURPOSE

    def __post_init__(self) -> None:
        if not self.given < self.until <= self.given + LONGEST:
            raise ConsentMissing(
                f"有效期须在今后 {LONGEST.days} 天之内。The last day must lie ahead, within {LONGEST.days} days."
            )


def check_age(giver: Giver, born: date | None, today: date) -> None:
    """Raises ConsentMissing where a child would consent alone; `born` is None where the number does not tell."""
    if giver is Giver.SELF and born is not None and _age(born, today) < GUARDED_YEARS:
        raise ConsentMissing(
            f"未满 {GUARDED_YEARS} 周岁须由监护人同意。Under {GUARDED_YEARS} years the guardian consents:"
            " --consent guardian."
        )


def _age(born: date, today: date) -> int:
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))

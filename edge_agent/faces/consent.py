"""The consent of a person to the registration of the face."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from edge_agent.domain.passage import Moment
from edge_agent.faces.errors import ConsentMissing

#: identifies the text below; another purpose has another text and needs a new consent
PURPOSE = "gate-1"
PURPOSE_TEXT = (
    "仅用于在本卡口识别本人以便通行；只存特征值，不存照片和姓名；数据不出本机；可随时撤回；不同意也可用健康码、身份证或人工通行。",
    "Only to recognise this person at this gate. Only a feature vector is stored, no picture and no name; it stays on"
    " this box. Consent can be withdrawn at any time. Without it, a health code, an ID card or staff can be used.",
)
LONGEST = timedelta(days=366)
FIRST_DAY = date(2022, 1, 1)  # this software did not run before
GUARDIAN_BELOW_YEARS = 14  # PIPL art. 31 and the face-recognition measures: below this age a guardian consents


class Giver(StrEnum):
    """The person who consented."""

    SELF = "self"
    GUARDIAN = "guardian"


@dataclass(frozen=True, slots=True)
class Consent:
    """Consent by `giver` to `purpose` from `given` to `until` (aware datetimes). Raises ConsentMissing if invalid."""

    giver: Giver
    given: datetime
    until: datetime
    purpose: str = PURPOSE

    def __post_init__(self) -> None:
        if not self.given < self.until <= self.given + LONGEST:
            raise ConsentMissing(
                f"有效期须在今后 {LONGEST.days} 天之内。The last day must be in the future, within {LONGEST.days} days."
            )


def check_age(giver: Giver, born: date | None, now: Moment) -> None:
    """Raises ConsentMissing if a child consents alone; `born` is None if the document number has no date of birth.

    A clock that is not in sync may be years ahead: then who was a child at FIRST_DAY counts as one.
    """
    today = now.wall.astimezone().date() if now.in_sync else FIRST_DAY
    if giver is Giver.SELF and born is not None and _age(born, today) < GUARDIAN_BELOW_YEARS:
        raise ConsentMissing(
            f"未满 {GUARDIAN_BELOW_YEARS} 周岁须由监护人同意。"
            f"Below {GUARDIAN_BELOW_YEARS} years a guardian must consent: --consent guardian."
        )


def _age(born: date, today: date) -> int:
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))

"""State of the fleet, from the births, wills and health reports of the boxes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from sync.contract.messages import BoxState, HealthReport


@dataclass(frozen=True, slots=True)
class BoxView:
    """Last known state of one box."""

    box: str
    online: bool = False
    seen: datetime | None = None
    state: BoxState | None = None
    health: HealthReport | None = None


class Fleet:
    """Last known state of every box. The broker retains births and wills, so a restarted platform receives them."""

    def __init__(self) -> None:
        self._boxes: dict[str, BoxView] = {}

    def state(self, box: str, state: BoxState, seen: datetime) -> None:
        """Store a birth or a will."""
        self._boxes[box] = replace(self.view(box), online=state.online, seen=seen, state=state)

    def health(self, box: str, report: HealthReport, seen: datetime) -> None:
        """Store a health report."""
        self._boxes[box] = replace(self.view(box), seen=seen, health=report)

    def view(self, box: str) -> BoxView:
        """The state of `box`; an unknown box is offline."""
        return self._boxes.get(box, BoxView(box))

    def names(self) -> set[str]:
        """Names of the known boxes."""
        return set(self._boxes)

    def online(self) -> int:
        """How many boxes are online."""
        return sum(view.online for view in self._boxes.values())

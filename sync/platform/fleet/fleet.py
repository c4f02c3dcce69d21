"""What the boxes say of themselves: their births, wills and health reports."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from sync.contract.messages import BoxState, HealthReport


@dataclass(frozen=True, slots=True)
class BoxView:
    """One box as last heard of."""

    box: str
    online: bool = False
    seen: datetime | None = None
    state: BoxState | None = None
    health: HealthReport | None = None


class Fleet:
    """The newest word of every box; births and wills are retained at the broker, so a new platform knows them too."""

    def __init__(self) -> None:
        self._boxes: dict[str, BoxView] = {}

    def state(self, box: str, state: BoxState, seen: datetime) -> None:
        """Note a birth or a will."""
        self._boxes[box] = replace(self.view(box), online=state.online, seen=seen, state=state)

    def health(self, box: str, report: HealthReport, seen: datetime) -> None:
        """Note a health report."""
        self._boxes[box] = replace(self.view(box), seen=seen, health=report)

    def view(self, box: str) -> BoxView:
        """What is known of `box`; a box never heard of is offline."""
        return self._boxes.get(box, BoxView(box))

    def names(self) -> set[str]:
        """Boxes heard of."""
        return set(self._boxes)

    def online(self) -> int:
        """How many boxes are there now."""
        return sum(view.online for view in self._boxes.values())

"""Volume and quiet hours by time of day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time

from config.settings import AnnouncerSettings

FULL_VOLUME = 1.0


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """A part of every day, over midnight where it ends earlier than it begins; equal ends make it empty."""

    start: time
    end: time

    def __contains__(self, moment: time) -> bool:
        if self.start <= self.end:
            return self.start <= moment < self.end
        return moment >= self.start or moment < self.end


class VolumeSchedule:
    """Day and night volume and the quiet hours, from the settings; staff may change the volumes while it runs."""

    def __init__(self, settings: AnnouncerSettings) -> None:
        self.day_volume = settings.day_volume
        self.night_volume = settings.night_volume
        self._night = _span(settings.night)
        self._quiet = _span(settings.quiet)

    def volume(self, moment: time) -> float:
        """Share of the full amplitude at this time of day."""
        return self.night_volume if moment in self._night else self.day_volume

    def is_quiet(self, moment: time) -> bool:
        """Whether no broadcast but an emergency may be played at this time of day."""
        return moment in self._quiet

    def set_volume(self, moment: time, share: float) -> None:
        """Make `share` (0 to 1) the volume of the part of the day that is now."""
        if moment in self._night:
            self.night_volume = share
        else:
            self.day_volume = share


def _span(ends: tuple[str, str]) -> TimeSpan:
    start, end = map(time.fromisoformat, ends)
    return TimeSpan(start, end)

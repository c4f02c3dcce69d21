"""Which policy is active when: the box's own, or one that the platform sent for a date."""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from config.settings import Settings
from edge_agent.domain.passage import Moment
from edge_agent.policy.rules import Policy, load_policy
from sync.errors import DamagedFile
from sync.storage.atomic_files import replace_whole
from sync.storage.checked_json import decode_checked, encode_checked

log = logging.getLogger(__name__)

Instant = Annotated[datetime, Meta(tz=True)]


class PolicyRefused(Exception):
    """The version of a policy is not above that of the active one."""


class ScheduledPolicy(msgspec.Struct, frozen=True):
    """A policy and the instant from which it applies."""

    effective: Instant
    policy: Policy


class SavedPolicies(msgspec.Struct, frozen=True):
    """The policy accepted last, and one that waits for its date."""

    accepted: Policy | None = None
    coming: ScheduledPolicy | None = None


class ActivePolicy:
    """Of the policies whose date has come, the one with the highest version is active.

    A date has come when the clock, less its error, is past it; it never comes by a clock whose error is not known. A
    policy that was active once stays active when the clock goes back, also after a restart; at most one waits. Both are
    stored in the file at `path`; if it cannot be read, the box's own policy is active.
    """

    def __init__(self, own: Policy, path: Path) -> None:
        self._path = path
        self._in_force = own
        self._saved = _read(path)
        self._coming = self._saved.coming
        self._save_failed = False
        accepted = self._saved.accepted
        if accepted is not None and accepted.version > own.version:
            self._in_force = accepted

    @property
    def coming(self) -> ScheduledPolicy | None:
        """The policy that waits for its date."""
        return self._coming

    def at(self, now: Moment) -> Policy:
        """The policy that is active at `now`."""
        coming = self._coming
        if coming is not None and _has_come(coming.effective, now):
            self._coming = None
            if coming.policy.version > self._in_force.version:
                log.info("policy %d is active", coming.policy.version)
                self._in_force = coming.policy
        if self._coming is not self._saved.coming:
            self._try_to_save()
        return self._in_force

    def check(self, policy: Policy, now: Moment) -> None:
        """Raise PolicyRefused unless `policy` is the active one or has a higher version."""
        in_force = self.at(now)
        if policy != in_force and policy.version <= in_force.version:
            raise PolicyRefused(f"policy version {policy.version} is older than the active version {in_force.version}")

    def apply(self, policy: Policy, effective: datetime | None, now: Moment) -> None:
        """Apply `policy` from `effective` on (None: now) and replace one that waits; applying it twice changes nothing.

        It is on the disk when this returns. Raises PolicyRefused for a version not above the active one; OSError.
        """
        self.check(policy, now)
        in_force = self.at(now)
        if policy == in_force:
            return
        later = effective is not None and not _has_come(effective, now)
        coming = ScheduledPolicy(effective, policy) if later and effective is not None else None
        accepted = in_force if coming else policy
        self._save(SavedPolicies(accepted, coming))
        self._in_force, self._coming = accepted, coming

    def _save(self, policies: SavedPolicies) -> None:
        replace_whole(self._path, encode_checked(policies))
        self._saved, self._save_failed = policies, False

    def _try_to_save(self) -> None:
        """Save that the date of a policy has come, so that it stays active after a restart; retried until it works."""
        try:
            self._save(SavedPolicies(self._in_force, self._coming))
        except OSError as exc:
            if not self._save_failed:
                log.warning("%s: the active policy is not saved: %s", self._path, exc)
            self._save_failed = True


def make_active_policy(settings: Settings) -> ActivePolicy:
    """The policy of this box: its own file, or a newer one that the platform sent. Raises SettingsError."""
    own = load_policy(Path(settings.policy.file) if settings.policy.file else None)
    return ActivePolicy(own, Path(settings.box.data_dir) / "policy.json")


def _has_come(effective: datetime, now: Moment) -> bool:
    """Whether it is later than `effective` by every time that it may be now."""
    earliest = now.earliest
    return earliest is not None and effective <= earliest


def _read(path: Path) -> SavedPolicies:
    try:
        return decode_checked(path.read_bytes(), SavedPolicies)
    except FileNotFoundError:
        return SavedPolicies()
    except (OSError, DamagedFile) as exc:
        log.warning("%s: cannot read the platform policy; using the local policy: %s", path, exc)
        return SavedPolicies()

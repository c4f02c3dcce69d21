"""Which policy is in force when: the box's own, and what the platform wants from a date on."""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from edge_agent.policy.rules import Policy
from sync.storage.atomic_files import replace_whole

log = logging.getLogger(__name__)

Instant = Annotated[datetime, Meta(tz=True)]


class PolicyRefused(Exception):
    """This policy does not follow the one in force."""


class ScheduledPolicy(msgspec.Struct, frozen=True):
    """A policy and the instant from which it applies."""

    effective: Instant
    policy: Policy


class SavedPolicies(msgspec.Struct, frozen=True):
    """What the platform wanted last: the policy accepted, and one that waits for its date."""

    accepted: Policy | None = None
    coming: ScheduledPolicy | None = None


class ActivePolicy:
    """Of the policies whose date has come the one with the highest version is in force.

    A policy that was once in force stays so, wherever the clock goes; at most one waits. Both outlive a restart in the
    file at `path`; one that cannot be read is passed over, and the box's own policy holds.
    """

    def __init__(self, own: Policy, path: Path) -> None:
        self._path = path
        self._in_force = own
        page = _read(path)
        self._coming = page.coming
        if page.accepted is not None and page.accepted.version > own.version:
            self._in_force = page.accepted

    @property
    def coming(self) -> ScheduledPolicy | None:
        """The policy that waits for its date."""
        return self._coming

    def at(self, wall: datetime) -> Policy:
        """The policy in force."""
        coming = self._coming
        if coming is not None and coming.effective <= wall:
            self._coming = None
            if coming.policy.version > self._in_force.version:
                log.info("policy %d is in force", coming.policy.version)
                self._in_force = coming.policy
        return self._in_force

    def check(self, policy: Policy, now: datetime) -> None:
        """Raise PolicyRefused unless `policy` is the one in force or follows it."""
        in_force = self.at(now)
        if policy != in_force and policy.version <= in_force.version:
            raise PolicyRefused(f"policy version {policy.version} is not above {in_force.version}, which is in force")

    def adopt(self, policy: Policy, effective: datetime | None, now: datetime) -> None:
        """Take `policy` from `effective` on (None: now), in the place of any that waits; the same twice is as once.

        It is on the disk when this returns. Raises PolicyRefused for a version that is not above the one in force,
        OSError.
        """
        self.check(policy, now)
        in_force = self.at(now)
        if policy == in_force:
            return
        later = effective is not None and effective > now
        coming = ScheduledPolicy(effective, policy) if later and effective is not None else None
        accepted = in_force if coming else policy
        replace_whole(self._path, msgspec.json.encode(SavedPolicies(accepted, coming)))
        self._in_force, self._coming = accepted, coming


def _read(path: Path) -> SavedPolicies:
    try:
        return msgspec.json.decode(path.read_bytes(), type=SavedPolicies)
    except FileNotFoundError:
        return SavedPolicies()
    except (OSError, msgspec.DecodeError) as exc:
        log.warning("%s: the platform's policy cannot be read, the box's own holds: %s", path, exc)
        return SavedPolicies()

"""Saves the queue of broadcasts over a restart, because the platform delivers each one once."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from sync.contract.orders import Broadcast
from sync.storage.atomic_files import replace_whole

_LOG = logging.getLogger(__name__)


class SavedBroadcasts(msgspec.Struct, frozen=True):
    """The broadcasts in order of arrival, and the ids of those that were played.

    The field names are keys of the file.
    """

    broadcasts: tuple[Broadcast, ...] = ()
    told: tuple[str, ...] = ()


class BroadcastFile:
    """One JSON file, replaced atomically. A damaged file or a full disk does not stop queued broadcasts."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> SavedBroadcasts:
        """The saved queue; empty where there is no usable file."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=SavedBroadcasts)
        except FileNotFoundError:
            return SavedBroadcasts()
        except (OSError, msgspec.DecodeError) as exc:
            _LOG.warning("starting with an empty queue of broadcasts: cannot read %s: %s", self._path, exc)
            return SavedBroadcasts()

    def save(self, queue: SavedBroadcasts) -> None:
        """Save the queue; blocks for the disk."""
        try:
            replace_whole(self._path, msgspec.json.encode(queue))
        except OSError as exc:
            _LOG.warning("the queue of broadcasts was not saved: %s", exc)

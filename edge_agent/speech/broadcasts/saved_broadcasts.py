"""Keeps the list of broadcasts over a restart: an order of the platform is delivered once."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from sync.contract.orders import Broadcast
from sync.storage.atomic_files import replace_whole

_LOG = logging.getLogger(__name__)


class SavedBroadcast(msgspec.Struct, frozen=True):
    """The broadcasts in the order they came, and the ids of those that were told."""

    broadcasts: tuple[Broadcast, ...] = ()
    told: tuple[str, ...] = ()


class BroadcastFile:
    """One JSON file, replaced whole. Neither a damaged file nor a full disk silences what is on the list now."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> SavedBroadcast:
        """What was kept last; nothing where there is no usable file."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=SavedBroadcast)
        except FileNotFoundError:
            return SavedBroadcast()
        except (OSError, msgspec.DecodeError) as exc:
            _LOG.warning("the list of broadcasts begins anew, %s cannot be read: %s", self._path, exc)
            return SavedBroadcast()

    def save(self, kept: SavedBroadcast) -> None:
        """Keep the list; blocks for the disk."""
        try:
            replace_whole(self._path, msgspec.json.encode(kept))
        except OSError as exc:
            _LOG.warning("the list of broadcasts was not kept: %s", exc)

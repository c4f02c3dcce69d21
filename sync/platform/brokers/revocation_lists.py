"""Writes the list of revoked certificates for the brokers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from sync.platform.authority.certificates import Authority, CaFiles
from sync.platform.authority.registry import Registry, RegistryTransaction
from sync.platform.brokers.kick import reload_mosquitto
from sync.storage.atomic_files import replace_whole

log = logging.getLogger(__name__)


class RevocationLists:
    """The list in the folder of the authority and in the folders of the registered brokers."""

    def __init__(self, authority: Authority, files: CaFiles, registry: Registry, pid_file: Path) -> None:
        """`pid_file`: of a mosquitto on this machine."""
        self._authority = authority
        self._files = files
        self._registry = registry
        self._pid_file = pid_file

    async def publish(self) -> Sequence[str]:
        """Write all lists and make mosquitto reload; returns what is left to do by hand. Raises StoreFailed, OSError.

        The lists are written within a transaction, so that of two processes the one with the newer list writes last.
        """
        remaining = await self._registry.change(self._write)
        if not reload_mosquitto(self._pid_file):
            remaining.append("请让 broker 重读名单 make the broker reload the list: systemctl reload mosquitto")
        return remaining

    async def update(self) -> None:
        """`publish`, and log what is left to do by hand. Raises StoreFailed."""
        try:
            remaining = await self.publish()
        except OSError as exc:
            remaining = [f"mosquitto 未能重读名单 mosquitto cannot be made to reload its list: {exc.strerror}"]
        for line in remaining:
            log.warning("%s", line)

    def _write(self, transaction: RegistryTransaction) -> list[str]:
        text, remaining = self._authority.revocations(transaction.revoked()), []
        for path in (self._files.revoked, *(folder / "revoked.pem" for folder in transaction.brokers())):
            try:
                replace_whole(path, text, 0o644)
            except OSError as exc:
                remaining.append(
                    f"名单未写入，请手工复制 revocation list not written, copy it by hand: {path}: {exc.strerror}"
                )
        return remaining

"""Broadcast audio from the city: fetched once, checked by length and sum, kept in a folder of bounded size."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Collection
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from edge_agent.speech.broadcasts.errors import NoSound
from sync.contract.orders import Audio
from sync.network_address import ServerAddress
from sync.storage.atomic_files import replace_whole

FETCH_LIMIT_S = 30.0
CHUNK_BYTES = 65_536
_PORTS = {"https": 443, "http": 80}


class AudioStore:
    """Files are named by their checksum; the least recently used are deleted for room."""

    def __init__(self, folder: Path, cap_bytes: int, hosts: Collection[str]) -> None:
        """`hosts` are the only ones asked; plain http is for loopback."""
        self._folder = folder
        self._cap_bytes = cap_bytes
        self._hosts = frozenset(host.lower() for host in hosts)

    async def file(self, audio: Audio) -> Path:
        """Where the sound lies, fetched where it is not there yet. Raises NoSound."""
        path = self._folder / audio.sha256
        try:
            if await asyncio.to_thread(self._is_there, path, audio):
                return path
            self._check(audio)
            data = await self._fetched(audio)
            await asyncio.to_thread(self._keep, path, data)
        except OSError as exc:
            raise NoSound(f"the store of broadcast audio cannot be used: {exc.strerror or exc}") from exc
        return path

    def _check(self, audio: Audio) -> None:
        try:
            url = urlsplit(audio.url)
            address = ServerAddress.parse(f"{url.scheme}://{url.netloc}", _PORTS)
        except ValueError as exc:  # BadAddress is one
            raise NoSound("the address of the audio is not valid") from exc
        if address.at.host not in self._hosts:
            raise NoSound("the audio lies on a host that this box may not ask")
        if address.scheme != "https" and not address.at.is_loopback:
            raise NoSound("the audio is not offered over https")
        if audio.bytes > self._cap_bytes:
            raise NoSound("the audio is larger than the whole store")

    async def _fetched(self, audio: Audio) -> bytes:
        """All of the audio, no more than it may be, and exactly what was announced."""
        limit = aiohttp.ClientTimeout(total=FETCH_LIMIT_S)
        data = bytearray()
        try:
            async with (
                aiohttp.ClientSession(timeout=limit, auto_decompress=False) as session,
                session.get(audio.url, allow_redirects=False) as answer,
            ):
                if answer.status != 200:
                    raise NoSound(f"the audio was answered with status {answer.status}")
                async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
                    data += chunk
                    if len(data) > audio.bytes:
                        raise NoSound("the audio is longer than announced")
        except (aiohttp.ClientError, TimeoutError) as exc:
            raise NoSound("the audio cannot be fetched now") from exc
        if len(data) != audio.bytes or hashlib.sha256(data).hexdigest() != audio.sha256:
            raise NoSound("the audio is not what was announced")
        return bytes(data)

    def _is_there(self, path: Path, audio: Audio) -> bool:
        """Whether the file is there and whole; it counts as used now."""
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return False
        if hashlib.sha256(data).hexdigest() != audio.sha256:
            path.unlink()
            return False
        self._mark_used(path)
        return True

    def _keep(self, path: Path, data: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._make_room(len(data))
        replace_whole(path, data)
        self._mark_used(path)

    def _mark_used(self, path: Path) -> None:
        """Date the file after all others, also when the clock went back."""
        newest_ns = max(file.stat().st_mtime_ns for file in self._folder.iterdir())
        os.utime(path, ns=(newest_ns + 1,) * 2)

    def _make_room(self, wanted_bytes: int) -> None:
        files = sorted((file.stat().st_mtime, file.stat().st_size, file) for file in self._folder.iterdir())
        used = sum(size for _, size, _ in files)
        for _, size, file in files:
            if used + wanted_bytes <= self._cap_bytes:
                return
            file.unlink()
            used -= size

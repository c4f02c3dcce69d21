"""Fetching one pinned file over HTTP into a `.part` file that a later try goes on with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from models.errors import ModelDamaged, PackUnavailable
from models.packs.manifest import check_address

#: bytes here, bytes in all
Progress = Callable[[int, int], None]

#: longest silence of the other end
SILENCE_S = 20.0
_CHUNK = 64 * 1024


def fetch(address: str, part: Path, *, size: int, sha256: str, progress: Progress) -> None:
    """Make `part` the whole file of `size` bytes and this sum, going on where an earlier try stopped.

    Raises PackUnavailable (what came so far is kept) or ModelDamaged (it is deleted).
    """
    check_address(address)
    received = part.stat().st_size if part.exists() else 0
    if received < size:
        received = _transfer(address, part, received, size, progress)
    if received < size:
        raise PackUnavailable(f"{address}: the connection ended after {received} of {size} bytes; try again to go on")
    if received > size or file_sha256(part) != sha256:
        raise _not_pinned(address, part)


def file_sha256(path: Path) -> str:
    """sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _transfer(address: str, part: Path, received: int, size: int, progress: Progress) -> int:
    """Append what is missing, at most a chunk too many; returns the bytes held."""
    request = Request(address, headers={"Range": f"bytes={received}-"} if received else {})  # noqa: S310 - checked in fetch()
    try:
        with urlopen(request, timeout=SILENCE_S) as answer:  # noqa: S310
            if answer.status != HTTPStatus.PARTIAL_CONTENT:
                received = 0  # the server does not go on from the middle
            if answer.length is not None and received + answer.length != size:
                raise _not_pinned(address, part)
            with part.open("ab" if received else "wb") as file:
                while received <= size and (chunk := answer.read(_CHUNK)):
                    received += file.write(chunk)
                    progress(min(received, size), size)
    except HTTPError as exc:
        if exc.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink()  # it serves less than was held: start afresh next time
        with exc:
            raise PackUnavailable(f"{address}: the server answers {exc.code} {exc.reason}") from exc
    except (OSError, HTTPException) as exc:
        reason = exc.reason if isinstance(exc, URLError) else exc
        raise PackUnavailable(f"{address}: {reason}; or bring the file by hand: edge-agent models add FILE") from exc
    return received


def _not_pinned(address: str, part: Path) -> ModelDamaged:
    part.unlink(missing_ok=True)
    return ModelDamaged(f"{address}: what it serves is not the pinned file; nothing was kept")

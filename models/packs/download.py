"""Downloads one pinned file over HTTP into a `.part` file, which a later attempt resumes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import OpenerDirector, ProxyHandler, Request, build_opener

from models.errors import ModelDamaged, PackUnavailable
from models.packs.manifest import check_address, is_this_machine

#: bytes received, bytes in total
Progress = Callable[[int, int], None]

#: timeout for data from the server
SILENCE_S = 20.0
_CHUNK = 64 * 1024


def fetch(address: str, part: Path, *, size: int, sha256: str, progress: Progress) -> None:
    """Download to `part` and check size and checksum, resuming an earlier attempt.

    Raises PackUnavailable (the data received is kept) or ModelDamaged (it is deleted).
    """
    check_address(address)
    received = part.stat().st_size if part.exists() else 0
    if received < size:
        received = _transfer(address, part, received, size, progress)
    if received < size:
        raise PackUnavailable(
            f"{address}: the connection ended after {received} of {size} bytes; run the command again to resume"
        )
    if received > size or file_sha256(part) != sha256:
        raise _not_pinned(address, part)


def file_sha256(path: Path) -> str:
    """sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _transfer(address: str, part: Path, received: int, size: int, progress: Progress) -> int:
    """Append the missing bytes, at most one chunk too many; returns the size of `part`."""
    request = Request(address, headers={"Range": f"bytes={received}-"} if received else {})  # noqa: S310 - checked in fetch()
    try:
        with _opener(address).open(request, timeout=SILENCE_S) as answer:
            if answer.status != HTTPStatus.PARTIAL_CONTENT:
                received = 0  # the server does not support ranges
            if answer.length is not None and received + answer.length != size:
                raise _not_pinned(address, part)
            with part.open("ab" if received else "wb") as file:
                while received <= size and (chunk := answer.read(_CHUNK)):
                    received += file.write(chunk)
                    progress(min(received, size), size)
    except HTTPError as exc:
        if exc.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink()  # the file is now shorter than `part`: start again next time
        with exc:
            raise PackUnavailable(f"{address}: the server replied {exc.code} {exc.reason}") from exc
    except (OSError, HTTPException) as exc:
        reason = exc.reason if isinstance(exc, URLError) else exc
        raise PackUnavailable(f"{address}: {reason}; or add the file manually: edge-agent models add FILE") from exc
    return received


def _opener(address: str) -> OpenerDirector:
    """Opens `address` through the proxy of the environment, but never one on this machine."""
    return build_opener(ProxyHandler({})) if is_this_machine(address) else build_opener()


def _not_pinned(address: str, part: Path) -> ModelDamaged:
    part.unlink(missing_ok=True)
    return ModelDamaged(f"{address}: the download does not match the pinned checksum; discarded")

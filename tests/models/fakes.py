"""Fakes of the model tests: a loopback server of one file, and the type of the network factory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from hypothesis import settings

#: property tests use the same examples every time
steady = settings(derandomize=True)

#: outputs by name, and the side of a fixed input -> file
MakeNetwork = Callable[..., Path]


@dataclass
class FileServer:
    """Serves one file over HTTP, with configurable faults."""

    content: bytes
    address: str = ""
    cut_after: int | None = None  # close the connection once after this many bytes
    ranges: bool = True  # support Range requests
    status: int | None = None  # status to reply instead
    asked: list[str | None] = field(default_factory=list)  # the Range of each request


class FileHandler(BaseHTTPRequestHandler):
    def __init__(self, *args: object, shop: FileServer) -> None:
        self.shop = shop
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        shop, wanted = self.shop, self.headers["Range"]
        shop.asked.append(wanted)
        if shop.status is not None:
            self.send_error(shop.status)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and shop.ranges else 0
        if start and start >= len(shop.content):
            self.send_error(416)
            return
        body = shop.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut, shop.cut_after = shop.cut_after, None
        self.wfile.write(body[:cut])

    def log_message(self, *args: object) -> None:
        pass

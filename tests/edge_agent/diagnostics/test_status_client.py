"""`edge-agent status` where what answers is something else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from edge_agent.diagnostics.status_client import AgentNotResponding, ask_agent


@contextmanager
def answering(body: bytes) -> Iterator[int]:
    """Somebody on loopback who answers everything with `body`; gives the port."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            serving.join()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"{}", "not from an agent"),
        (b"[1]", "not from an agent"),
        (b"<html>", "No agent answers"),
        (b'"' + b"x" * 2**20 + b'"', "No agent answers"),
    ],
)
def test_another_server_is_reported(body: bytes, told: str) -> None:
    with answering(body) as port, pytest.raises(AgentNotResponding, match=told):
        ask_agent("127.0.0.1", port)

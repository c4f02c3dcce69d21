"""`edge-agent status` where what answers is something else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from edge_agent.diagnostics.status_client import AgentAlreadyRunning, AgentNotResponding, ask_agent, check_stopped


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


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_this_machine_is_not_asked_through_a_proxy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    with answering(b'{"safe_mode": "x"}') as port:
        assert ask_agent("127.0.0.1", port) == {"safe_mode": "x"}
        with pytest.raises(AgentAlreadyRunning):
            check_stopped("127.0.0.1", port)


def test_an_ipv6_address_is_shown_in_brackets() -> None:
    with pytest.raises(AgentNotResponding, match=r"http://\[::1\]:9/"):
        ask_agent("::1", 9)


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

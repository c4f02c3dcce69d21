"""`edge-agent status` where what answers is something else."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from edge_agent.diagnostics.status_client import AgentAlreadyRunning, AgentNotResponding, ask_agent, check_stopped
from tests.limits import HANG_S


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


ASK = """
import sys
from edge_agent.diagnostics.status_client import ask_agent
print(ask_agent("127.0.0.1", int(sys.argv[1])))
"""


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_this_machine_is_not_asked_through_a_proxy(name: str) -> None:
    """In a process of its own: a proxy that the environment has at the start is the one that counts."""
    with answering(b'{"safe_mode": "x"}') as port:
        environment = {**os.environ, name: "http://127.0.0.1:9", "no_proxy": "", "NO_PROXY": ""}
        asked = subprocess.run(
            [sys.executable, "-c", ASK, str(port)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=HANG_S,
            check=True,
        )
        assert asked.stdout.strip() == "{'safe_mode': 'x'}"


def test_a_running_agent_is_noticed() -> None:
    with answering(b'{"safe_mode": "x"}') as port, pytest.raises(AgentAlreadyRunning):
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

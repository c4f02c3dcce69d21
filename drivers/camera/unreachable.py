"""Finds out why a camera delivers no pictures: OpenCV only says that it cannot be opened.

Messages contain neither address nor password.
"""

from __future__ import annotations

import base64
import os
import socket
import ssl
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

LIMIT_S = 1.5  # FFmpeg has used 3 s of the 5 s of the driver
_PORTS = {"http": 80, "https": 443, "rtsp": 554}
_MOST_HEAD_BYTES = 16_384
_STATUS = {
    401: "the camera requires a user name and password, or refuses these (401)",
    403: "the camera denies access (403)",
    404: "the camera has no such address (404)",
    454: "the camera closed the session (454)",
}


def why_not_opened(path: str) -> str:
    """Why the device or file at `path` cannot be opened."""
    node = Path(f"/dev/video{path}" if path.isdecimal() else path)
    if not node.exists():
        return "there is no such device or file"
    if not os.access(node, os.R_OK):
        return "no permission to read it; the agent must be in the group video"
    return "cannot be opened; another program may be using it"


def why_no_stream(url: str) -> str:
    """Why `url` (rtsp, http or https) gives no stream: asks once, within LIMIT_S for each step."""
    try:
        parts = urlsplit(url)
        address = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    except ValueError:
        return "the address is not valid"
    try:
        head = _answer(parts, address)
    except socket.gaierror:
        return "the host name of the camera cannot be resolved"
    except TimeoutError:
        return "the host of the camera does not answer"
    except ssl.SSLError:
        return "the camera does not use TLS at this address"
    except OSError as exc:
        return f"no connection to the camera: {exc.strerror or exc}"
    return _explained(head)


def _answer(parts: SplitResult, address: tuple[str, int]) -> bytes:
    """The head of the camera's answer."""
    with socket.create_connection(address, LIMIT_S) as plain:
        plain.settimeout(LIMIT_S)
        stream = _unverified().wrap_socket(plain, server_hostname=address[0]) if parts.scheme == "https" else plain
        with stream:
            stream.sendall(_request(parts, address))
            head = b""
            while b"\r\n\r\n" not in head and len(head) < _MOST_HEAD_BYTES and (data := stream.recv(4096)):
                head += data
    return head


def _unverified() -> ssl.SSLContext:
    """As FFmpeg, which does not verify the certificate of a camera."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _request(parts: SplitResult, address: tuple[str, int]) -> bytes:
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"GET {target} HTTP/1.0", f"Host: {host}:{address[1]}"]
    if parts.scheme == "rtsp":
        lines = [f"DESCRIBE rtsp://{host}:{address[1]}{target} RTSP/1.0", "CSeq: 1", "Accept: application/sdp"]
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        lines.append(f"Authorization: Basic {base64.b64encode(pair.encode()).decode()}")
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "replace")


def _explained(head: bytes) -> str:
    first, *fields = head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    status = int(rest[:3]) if rest[:3].isdecimal() else 0
    if not version.startswith(("HTTP/", "RTSP/")) or not status:
        return "the answer at the address is not from a camera: neither HTTP nor RTSP"
    if 300 <= status < 400:
        return f"the address leads elsewhere, perhaps to a login page ({status})"
    if status >= 400:
        return _STATUS.get(status, f"the camera refuses ({status})")
    kind = next(
        (field.partition(":")[2].strip().lower() for field in fields if field.lower().startswith("content-type:")), ""
    )
    if kind.startswith("text/html"):
        return "the address shows a web page, perhaps a login page, not a stream"
    if kind.startswith("image/"):
        return "the address gives a single picture (snapshot), not a stream"
    return "the camera answers, but its stream cannot be decoded"

"""Configuration of mosquitto (2.0.11 and later) for one district."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sync.platform.authority.certificates import PLATFORM
from sync.platform.brokers.access import of_box, of_platform


@dataclass(frozen=True, slots=True)
class Ports:
    """Where boxes come in, and where the platform's own programs do: an address that boxes do not reach."""

    boxes: int = 8883
    boxes_host: str = "0.0.0.0"  # noqa: S104 - boxes come from outside, with certificates
    platform: int = 8884
    platform_host: str = "127.0.0.1"


_LISTENER = """\
listener {port} {host}
cafile {folder}/ca.pem
certfile {folder}/broker.pem
keyfile {folder}/broker.key
crlfile {folder}/revoked.pem
tls_version tlsv1.2
require_certificate true
use_identity_as_username true
"""

_CONFIG = """\
# Written by `edge-platform broker config --for mosquitto`. Write it anew rather than change it.

# Boxes. The name in the certificate is the user and, whatever a box asks for, the client id too: a box that connected
# under another's client id would end its connection and take its session over, which no rule of topics prevents.
{boxes}use_username_as_clientid true

# The platform's own programs. They open several connections under one name, so their client ids are their own choice;
# therefore boxes must not reach this address.
{platform}
allow_anonymous false
acl_file {folder}/acl

# Without it an answer waits up to 40 ms for an acknowledgement of TCP.
set_tcp_nodelay true

# What is retained (orders for boxes that are away) is on the disk after 20 changes at most. Records are not lost with
# the broker in any case: the platform's own acknowledgement alone frees them on the box.
persistence true
persistence_location {state}/
autosave_on_changes true
autosave_interval 20

# A queue that is full drops the newest and tells the sender nothing. This much is a minute of a district; what does not
# fit is sent again by the box.
max_queued_messages 20000
max_packet_size 1048576

pid_file {pid_file}
"""


def config(folder: Path, state: Path, pid_file: Path, ports: Ports) -> str:
    """`mosquitto.conf`; certificates and rules lie in `folder`, what the broker keeps in `state`."""
    return _CONFIG.format(
        boxes=_LISTENER.format(folder=folder, port=ports.boxes, host=ports.boxes_host),
        platform=_LISTENER.format(folder=folder, port=ports.platform, host=ports.platform_host),
        folder=folder,
        state=state,
        pid_file=pid_file,
    )


def rules(district: str) -> str:
    """The file `acl`. mosquitto says "granted" to every subscription and applies these when it delivers."""
    box, platform = of_box(district, "%u"), of_platform(district)
    lines = [
        *(f"pattern write {topic}" for topic in box.writes),
        *(f"pattern read {topic}" for topic in box.reads),
        "",
        f"user {PLATFORM}",
        *(f"topic write {topic}" for topic in platform.writes),
        *(f"topic read {topic}" for topic in platform.reads),
    ]
    return "\n".join(lines) + "\n"

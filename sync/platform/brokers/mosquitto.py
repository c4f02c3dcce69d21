"""Configuration of mosquitto (2.0.11 and later) for one district."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sync.platform.authority.certificates import PLATFORM
from sync.platform.brokers.access import box_access, platform_access


@dataclass(frozen=True, slots=True)
class Ports:
    """Listening addresses for boxes and for the platform's programs; the latter must not be reachable for boxes."""

    boxes: int = 8883
    boxes_host: str = "0.0.0.0"  # noqa: S104 - boxes connect from outside, with certificates
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

LIMITS = "max_queued_messages 20000\nmax_queued_bytes 67108864\nmax_packet_size 262144"

_CONFIG = """\
# Written by `edge-platform broker config --for mosquitto`. Do not edit: run the command again.

# Boxes. The common name of the certificate is the user name and always the client id: a box that connected with the
# client id of another would disconnect it and take over its session, which topic rules cannot prevent.
{boxes}use_username_as_clientid true

# The platform's programs. They open several connections with one certificate and therefore choose their client ids.
# Boxes must not reach this address.
{platform}
allow_anonymous false
acl_file {folder}/acl

# Without it a response waits up to 40 ms for a TCP acknowledgement.
set_tcp_nodelay true

# Retained messages (orders for offline boxes) are on the disk after at most 20 changes. Records are not lost with the
# broker: a box deletes them only after the acknowledgement of the platform.
persistence true
persistence_location {state}/
autosave_on_changes true
autosave_interval 20

# A full queue drops new messages without an error to the sender. This size holds one minute of a district; boxes send
# dropped records again. One client can hold 64 MiB of the broker's memory.
{limits}

pid_file {pid_file}
"""


def config(folder: Path, state: Path, pid_file: Path, ports: Ports) -> str:
    """The file `mosquitto.conf`; certificates and rules are in `folder`, persistent data in `state`."""
    return _CONFIG.format(
        boxes=_LISTENER.format(folder=folder, port=ports.boxes, host=ports.boxes_host),
        platform=_LISTENER.format(folder=folder, port=ports.platform, host=ports.platform_host),
        folder=folder,
        state=state,
        pid_file=pid_file,
        limits=LIMITS,
    )


def rules(district: str) -> str:
    """The file `acl`. mosquitto grants every subscription and applies read rules on delivery.

    It cannot refuse a shared subscription (`$share`) to boxes: a member of a group receives its share, which the read
    rules then drop. Therefore the group of the ingest processes has a random name (`RecordStore.ingest_group`).
    """
    box, platform = box_access(district, "%u"), platform_access(district)
    lines = [
        *(f"pattern write {topic}" for topic in box.writes),
        *(f"pattern read {topic}" for topic in box.reads),
        "",
        f"user {PLATFORM}",
        *(f"topic write {topic}" for topic in platform.writes),
        *(f"topic read {topic}" for topic in platform.reads),
    ]
    return "\n".join(lines) + "\n"

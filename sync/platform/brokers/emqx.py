"""Configuration of EMQX 5 for one district; identical on every node of a cluster."""

from __future__ import annotations

from sync.network_address import HostPort
from sync.platform.authority.certificates import PLATFORM
from sync.platform.brokers.access import box_access, platform_access
from sync.platform.brokers.mosquitto import Ports

_LISTENER = """\
listeners.ssl.{name} {{
  bind = "{at}"
  zone = {zone}
{limits}  tcp_options {{ nodelay = true }}
  ssl_options {{
    cacertfile = "etc/sentinel/ca.pem"
    certfile = "etc/sentinel/broker.pem"
    keyfile = "etc/sentinel/broker.key"
    versions = ["tlsv1.3", "tlsv1.2"]
    verify = verify_peer
    fail_if_no_peer_cert = true
  }}
}}
"""

# Of each connection. Above them EMQX reads no further, and TCP holds the box back.
_BOX_LIMITS = """\
  messages_rate = "200/s"
  bytes_rate = "1MB/s"
"""

_CONFIG = """\
# Written by `edge-platform broker config --for emqx`. Append it to emqx.conf on every node.

listeners.tcp.default.enable = false
listeners.ws.default.enable = false
listeners.wss.default.enable = false
listeners.ssl.default.enable = false

# Boxes: the common name of the certificate is user name and client id, so no box can take over another's session.
{boxes}
zones.boxes.mqtt {{
  peer_cert_as_username = cn
  peer_cert_as_clientid = cn
  # A member of a shared subscription takes its share of the records of all boxes.
  shared_subscription = false
}}

# The platform's programs, at an address that boxes cannot reach. They choose their client ids.
{platform}
zones.platform.mqtt {{
  peer_cert_as_username = cn
}}

mqtt {{
  max_packet_size = 256KB
  max_mqueue_len = 20000
  mqueue_store_qos0 = false
}}

authorization {{
  no_match = deny
  deny_action = ignore
  sources = [ {{ type = file, enable = true, path = "etc/sentinel/acl.conf" }} ]
}}
"""


def config(ports: Ports) -> str:
    """The text to append to `emqx.conf`; certificates and rules are in `etc/sentinel`."""
    return _CONFIG.format(
        boxes=_LISTENER.format(
            name="boxes", zone="boxes", at=HostPort(ports.boxes_host, ports.boxes), limits=_BOX_LIMITS
        ),
        platform=_LISTENER.format(
            name="platform", zone="platform", at=HostPort(ports.platform_host, ports.platform), limits=""
        ),
    )


def rules(district: str) -> str:
    """The file `acl.conf`."""
    box, platform = box_access(district, "${username}"), platform_access(district)
    lines = [
        _rule(f'{{username, "{PLATFORM}"}}', "publish", platform.writes),
        _rule(f'{{username, "{PLATFORM}"}}', "subscribe", platform.reads),
        '{deny, all, subscribe, ["$share/#", "$queue/#"]}.',
        _rule("all", "publish", box.writes),
        _rule("all", "subscribe", box.reads),
        "{deny, all}.",
    ]
    return "\n\n".join(lines) + "\n"


def _rule(who: str, action: str, topics: tuple[str, ...]) -> str:
    listed = ",\n  ".join(f'"{topic}"' for topic in topics)
    return f"{{allow, {who}, {action}, [\n  {listed}\n]}}."

"""Configuration of EMQX 5 for one district: the same on every node of a cluster."""

from __future__ import annotations

from sync.platform.authority.certificates import PLATFORM
from sync.platform.brokers.access import of_box, of_platform
from sync.platform.brokers.mosquitto import Ports

_LISTENER = """\
listeners.ssl.{name} {{
  bind = "{host}:{port}"
  zone = {zone}
  tcp_options {{ nodelay = true }}
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

_CONFIG = """\
# Written by `edge-platform broker config --for emqx`. Put it at the end of emqx.conf on every node.

listeners.tcp.default.enable = false
listeners.ws.default.enable = false
listeners.wss.default.enable = false
listeners.ssl.default.enable = false

# Boxes: the name in the certificate is user and client id, so no box can take over the session of another.
{boxes}
zones.boxes.mqtt {{
  peer_cert_as_username = cn
  peer_cert_as_clientid = cn
}}

# The platform's own programs, at an address that boxes do not reach; their client ids are their own choice.
{platform}
zones.platform.mqtt {{
  peer_cert_as_username = cn
}}

mqtt {{
  max_packet_size = 1MB
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
    """What to add to `emqx.conf`; certificates and rules lie in `etc/sentinel`."""
    return _CONFIG.format(
        boxes=_LISTENER.format(name="boxes", zone="boxes", host=ports.boxes_host, port=ports.boxes),
        platform=_LISTENER.format(name="platform", zone="platform", host=ports.platform_host, port=ports.platform),
    )


def rules(district: str) -> str:
    """The file `acl.conf`."""
    box, platform = of_box(district, "${username}"), of_platform(district)
    lines = [
        _rule(f'{{username, "{PLATFORM}"}}', "publish", platform.writes),
        _rule(f'{{username, "{PLATFORM}"}}', "subscribe", platform.reads),
        _rule("all", "publish", box.writes),
        _rule("all", "subscribe", box.reads),
        "{deny, all}.",
    ]
    return "\n\n".join(lines) + "\n"


def _rule(who: str, action: str, topics: tuple[str, ...]) -> str:
    listed = ",\n  ".join(f'"{topic}"' for topic in topics)
    return f"{{allow, {who}, {action}, [\n  {listed}\n]}}."

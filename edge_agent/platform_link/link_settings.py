"""The box's place in the city: how it goes to the platform, and what people may see of that."""

from __future__ import annotations

from importlib.metadata import version

from config.settings import Settings
from edge_agent.box.key_files import tls_files
from edge_agent.screen.view_state import LinkView
from sync.edge.directory.directory import NEVER_S, Directory
from sync.edge.link.link import LinkSettings, PlatformLink
from sync.mqtt.broker_address import parse_broker_url
from sync.mqtt.tls_files import TlsFiles


def link_settings(settings: Settings) -> LinkSettings:
    """What the link needs of the settings. Raises UnsafeLink for an address that is not allowed."""
    platform, box = settings.platform, settings.box
    files = tls_files(platform) if parse_broker_url(platform.url).scheme == "mqtts" else TlsFiles()
    return LinkSettings(url=platform.url, district=box.district, box=box.name, tls=files)


def link_view(link: PlatformLink, directory: Directory) -> LinkView:
    """What people may see of the link."""
    status = link.status()
    freshness, age_s = directory.freshness()
    return LinkView(
        connected=status.connected,
        platform_online=status.platform_online,
        freshness=freshness.value,
        age_s=None if age_s >= NEVER_S else float(round(age_s)),
    )


def versions() -> dict[str, str]:
    """Versions of the agent and of the libraries that matter for support."""
    names = ("sentinel-gate", "onnxruntime", "opencv-python", "paho-mqtt")
    return {name: version(name) for name in names}

"""Names of the systemd units that the package installs. Standard library only: the installer runs out of the wheel."""

from __future__ import annotations

AGENT_UNIT = "edge-agent.service"
KIOSK_UNIT = "sentinel-kiosk.service"

"""The serial number that identifies a box before it has a name: the number of its board, never of its card.

`/etc/machine-id` is not used: it is on the card, moves with it, and is copied with it.
"""

from __future__ import annotations

import re
from pathlib import Path

from sync.contract.enrolment import SERIAL_PATTERN

# Numbers that the firmware reports: boards with a device tree, systems on a chip, PCs.
_PLACES = (
    "proc/device-tree/serial-number",
    "sys/devices/soc0/serial_number",
    "sys/class/dmi/id/product_serial",
    "sys/class/dmi/id/board_serial",
    "sys/class/dmi/id/product_uuid",
)
_PLACEHOLDER = re.compile(
    r"none|null|n[-_.]?a|unknown|invalid|default.*|to.?be.?filled.*|oem|o\.e\.m.*|empty|filled.*|chassis.*"
    r"|(system|board|base.?board|product|serial).*(number|serial|product|name|id).*|serial"
    r"|not.?(specified|applicable|available|provided|present|set).*"
    r"|(?P<same>[0-9a-f])(?P=same)*|0?123456789[0-9a-f]*|0*",
    re.IGNORECASE,
)
# The number in the firmware kit of a maker, which many boards were sold with.
_SHARED = {"03000200-0400-0500-0006-000700080009", "00020003-0004-0005-0006-000700080009"}


def box_serial(root: Path = Path("/")) -> str:
    """The serial number of this board; "" if its firmware has none, or only root may read it."""
    for place in _PLACES:
        try:
            serial = (root / place).read_text(encoding="ascii").strip("\0\n ")
        except (OSError, UnicodeDecodeError):
            continue
        if re.fullmatch(SERIAL_PATTERN, serial) and not _is_placeholder(serial):
            return serial
    return ""


def _is_placeholder(serial: str) -> bool:
    """Whether boards share this value because their maker did not set it."""
    return serial.lower() in _SHARED or any(
        _PLACEHOLDER.fullmatch(text) for text in (serial, re.sub("[._-]", "", serial))
    )

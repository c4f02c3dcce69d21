"""The serial number by which a box is known before it has a name."""

from __future__ import annotations

import re
from pathlib import Path

from sync.contract.enrolment import SERIAL_PATTERN

# Boards with a device tree, then PCs, then what every Debian has: an id made at installation.
_PLACES = ("proc/device-tree/serial-number", "sys/class/dmi/id/product_serial", "etc/machine-id")
_NONE = re.compile(r"0+|none|default.string|to.be.filled.*|system.serial.number|not.specified", re.IGNORECASE)


def box_serial(root: Path = Path("/")) -> str:
    """The serial of this box; "" where it has none that can be read."""
    for place in _PLACES:
        try:
            serial = (root / place).read_text(encoding="ascii").strip("\0\n ")
        except (OSError, UnicodeDecodeError):
            continue
        if re.fullmatch(SERIAL_PATTERN, serial) and not _NONE.fullmatch(serial):
            return serial
    return ""

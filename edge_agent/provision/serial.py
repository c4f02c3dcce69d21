"""The serial number that identifies a box before it has a name."""

from __future__ import annotations

import re
from pathlib import Path

from sync.contract.enrolment import SERIAL_PATTERN

# Boards with a device tree, PCs, and the machine id that every Debian installation has.
_PLACES = ("proc/device-tree/serial-number", "sys/class/dmi/id/product_serial", "etc/machine-id")
_PLACEHOLDER = re.compile(r"0+|none|default.string|to.be.filled.*|system.serial.number|not.specified", re.IGNORECASE)


def box_serial(root: Path = Path("/")) -> str:
    """The serial number of this box; "" if none can be read."""
    for place in _PLACES:
        try:
            serial = (root / place).read_text(encoding="ascii").strip("\0\n ")
        except (OSError, UnicodeDecodeError):
            continue
        if re.fullmatch(SERIAL_PATTERN, serial) and not _PLACEHOLDER.fullmatch(serial):
            return serial
    return ""

"""Serial ports by names that stay: the links that udev makes, USB identity, or the socket of the hub.

/dev/ttyUSB0 is whatever was plugged in first; after a fault it is another device, or another number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from serial.tools import list_ports

from drivers.errors import BadSetting, DeviceLost

BY_ID = Path("/dev/serial/by-id")
IDENTITY = re.compile(r"usb:(?P<vendor>[0-9a-fA-F]{4}):(?P<product>[0-9a-fA-F]{4})(:(?P<serial>.+))?")
LOCATION = re.compile(r"usb@(?P<location>[0-9]+-[0-9.]+(:[0-9.]+)?)")
ACCEPTED = "a path, usb:VID:PID, usb:VID:PID:SERIAL, usb@LOCATION"


@dataclass(frozen=True, slots=True)
class PortInfo:
    """One serial port: its path now, and what tells it from others; empty or None where it is not on USB."""

    device: str
    by_id: str = ""
    vendor_id: int | None = None
    product_id: int | None = None
    serial: str = ""
    location: str = ""
    product: str = ""

    def to_dict(self) -> dict[str, object]:
        """The port for JSON."""
        return asdict(self)


def list_serial_ports() -> list[PortInfo]:
    """The serial ports that are there now."""
    links = {link.resolve(): str(link) for link in sorted(BY_ID.glob("*"))}
    return [
        PortInfo(
            device=port.device,
            by_id=links.get(Path(port.device).resolve(), ""),
            vendor_id=port.vid,
            product_id=port.pid,
            serial=port.serial_number or "",
            location=port.location or "",
            product=port.product or "",
        )
        for port in sorted(list_ports.comports())
    ]


def check_name(name: str) -> None:
    """Raise BadSetting where `name` cannot name a port."""
    if not name or (name.startswith("usb") and not (IDENTITY.fullmatch(name) or LOCATION.fullmatch(name))):
        raise BadSetting(f"{name!r} names no port; accepted: {ACCEPTED}")


def resolve(name: str) -> str:
    """The path of the port called `name` now. Raises DeviceLost while there is none, or more than one."""
    return find(name, list_serial_ports()) if name.startswith("usb") else name


def find(name: str, ports: Sequence[PortInfo]) -> str:
    """The path of the port among `ports` that `name` means."""
    check_name(name)
    if not name.startswith("usb"):
        return name
    matching = [port.device for port in ports if _matches(name, port)]
    if not matching:
        raise DeviceLost(f"no port is {name}")
    if len(matching) > 1:
        raise DeviceLost(f"{name} fits {' and '.join(matching)}; name one by usb@LOCATION")
    return matching[0]


def _matches(name: str, port: PortInfo) -> bool:
    if identity := IDENTITY.fullmatch(name):
        same_kind = (int(identity["vendor"], 16), int(identity["product"], 16)) == (port.vendor_id, port.product_id)
        return same_kind and identity["serial"] in (None, port.serial)
    location = LOCATION.fullmatch(name)
    # A device with one port is named by its socket alone; the part after the colon is the interface.
    return location is not None and location["location"] in (port.location, port.location.partition(":")[0])


def stable_name(port: PortInfo, ports: Sequence[PortInfo]) -> str:
    """The name of `port` for the settings: its own serial number if it has one that none of `ports` shares."""
    same_serial = [other for other in ports if (other.vendor_id, other.serial) == (port.vendor_id, port.serial)]
    if port.serial and len(same_serial) == 1:
        return port.by_id or f"usb:{port.vendor_id:04x}:{port.product_id:04x}:{port.serial}"
    return f"usb@{port.location}" if port.location else port.device

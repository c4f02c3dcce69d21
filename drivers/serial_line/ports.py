"""Persistent names of serial ports: udev links, USB identity, or USB location.

A name such as /dev/ttyUSB0 is not persistent: it is assigned in plug-in order and can change after a reconnect.
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
    """One serial port, or camera: its current path and identifying fields, which are empty or None if not on USB."""

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
    """The serial ports present now."""
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
    """Raise BadSetting for an invalid port name."""
    if not name or (name.startswith("usb") and not (IDENTITY.fullmatch(name) or LOCATION.fullmatch(name))):
        raise BadSetting(f"invalid port name {name!r}; accepted: {ACCEPTED}")


def resolve(name: str) -> str:
    """Current path of the port `name`. Raises DeviceLost while none, or more than one, matches; BadSetting."""
    return find(name, list_serial_ports()) if name.startswith("usb") else name


def find(name: str, ports: Sequence[PortInfo]) -> str:
    """As `resolve`, among `ports`."""
    check_name(name)
    if not name.startswith("usb"):
        return name
    matching = [port.device for port in ports if _matches(name, port)]
    if not matching:
        raise DeviceLost(f"no port matches {name}")
    if len(matching) > 1:
        raise DeviceLost(f"{name} matches {' and '.join(matching)}; name one by usb@LOCATION")
    return matching[0]


def _matches(name: str, port: PortInfo) -> bool:
    if identity := IDENTITY.fullmatch(name):
        same_kind = (int(identity["vendor"], 16), int(identity["product"], 16)) == (port.vendor_id, port.product_id)
        return same_kind and identity["serial"] in (None, port.serial)
    location = LOCATION.fullmatch(name)
    # The part after the colon is the USB interface; a device with one port may omit it.
    return location is not None and location["location"] in (port.location, port.location.partition(":")[0])


def stable_name(port: PortInfo, ports: Sequence[PortInfo]) -> str:
    """Persistent name of `port` for the settings: by serial number if it is unique among `ports`, else by location."""
    same_serial = [other for other in ports if (other.vendor_id, other.serial) == (port.vendor_id, port.serial)]
    if port.serial and len(same_serial) == 1:
        return port.by_id or f"usb:{port.vendor_id:04x}:{port.product_id:04x}:{port.serial}"
    return f"usb@{port.location}" if port.location else port.device

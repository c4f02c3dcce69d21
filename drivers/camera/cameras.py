"""The V4L2 cameras of this box and their persistent names: /dev/videoN is assigned in plug-in order."""

from __future__ import annotations

from pathlib import Path

from drivers.serial_line.ports import PortInfo, find


def list_cameras(root: Path = Path("/")) -> list[PortInfo]:
    """The cameras present now; nodes of a camera that deliver no pictures are left out."""
    links = {link.resolve(): link for link in sorted((root / "dev/v4l/by-id").glob("*"))}
    nodes = sorted((root / "sys/class/video4linux").glob("video*"), key=lambda node: (len(node.name), node.name))
    return [_camera(node, root, links) for node in nodes if _text(node / "index") in ("", "0")]


def resolve_camera(name: str, root: Path = Path("/")) -> str:
    """Path or number of the camera `name`. Raises DeviceLost while none, or more than one, matches; BadSetting."""
    return find(name, list_cameras(root)) if name.startswith("usb") else name


def _camera(node: Path, root: Path, links: dict[Path, Path]) -> PortInfo:
    device = root / "dev" / node.name
    link = links.get(device.resolve())
    interface = (node / "device").resolve()
    usb = interface.parent if (interface.parent / "idVendor").is_file() else None
    return PortInfo(
        device=f"/dev/{node.name}",
        by_id="" if link is None else f"/dev/v4l/by-id/{link.name}",
        vendor_id=None if usb is None else int(_text(usb / "idVendor"), 16),
        product_id=None if usb is None else int(_text(usb / "idProduct"), 16),
        serial="" if usb is None else _text(usb / "serial"),
        location="" if usb is None else interface.name,
        product=_text(node / "name"),
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""

"""Takes one picture of every V4L2 camera, and proposes the settings of one that delivers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from drivers.camera.camera import make_camera
from drivers.camera.cameras import list_cameras
from drivers.serial_line.ports import stable_name

LIMIT_S = 8.0


@dataclass(frozen=True, slots=True)
class CameraFound:
    """A camera by its persistent name; `delivers` says whether a picture came, `note` its format or what is wrong."""

    name: str
    device: str
    product: str
    delivers: bool
    note: str

    def to_dict(self) -> dict[str, object]:
        """The result for JSON."""
        return {
            "name": self.name,
            "device": self.device,
            "product": self.product,
            "delivers": self.delivers,
            "note": self.note,
        }

    def line(self) -> str:
        """The result as a line of text."""
        return f"{'✓' if self.delivers else '✗'} {self.device}  摄像头 camera {self.product}: {self.note}"


async def probe_cameras() -> list[CameraFound]:
    """Open all cameras concurrently, each for at most LIMIT_S."""
    cameras = list_cameras()
    names = [stable_name(each, cameras) for each in cameras]
    results = await asyncio.gather(*(_first_picture(each.device) for each in cameras))
    return [
        CameraFound(name, each.device, each.product, *result)
        for name, each, result in zip(names, cameras, results, strict=True)
    ]


async def _first_picture(device: str) -> tuple[bool, str]:
    camera = make_camera(source=device)
    task = asyncio.create_task(camera.run(), name=f"camera {device}")
    try:
        async with asyncio.timeout(LIMIT_S):
            await camera.frames.after(0)
            return True, camera.health.detail
    except TimeoutError:
        return False, camera.health.detail or "no picture"
    finally:
        task.cancel()
        await asyncio.wait([task])


def proposed_camera(found: Sequence[CameraFound]) -> str:
    """The section [camera] (TOML) of the first camera that delivers; further ones are written as comments."""
    named = [each for each in found if each.delivers]
    lines = [f'{"# " if number else ""}source = "{each.name}"' for number, each in enumerate(named)]
    return "\n".join(["[camera]", *lines, ""]) if named else ""

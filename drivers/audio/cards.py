"""The sound cards of this box that can play."""

from __future__ import annotations

import re
from pathlib import Path

from drivers.serial_line.ports import PortInfo

_CARD = re.compile(r"^ *(\d+) \[(\S+) *\]: (.*)$", re.MULTILINE)


def list_sound_cards(root: Path = Path("/")) -> list[PortInfo]:
    """The cards with a playback device, by number; `product` is the name that ALSA gives them."""
    folder = root / "proc/asound"
    try:
        cards = (folder / "cards").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [
        PortInfo(device=f"hw:{number}", product=f"{name}: {description}")
        for number, name, description in _CARD.findall(cards)
        if any((folder / f"card{number}").glob("pcm*p"))
    ]

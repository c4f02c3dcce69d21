"""How long the tests wait for what must come: such a limit only ever ends a hang, on the slowest machine too."""

from __future__ import annotations

HANG_S = 120.0
HANG_MS = 1000 * HANG_S

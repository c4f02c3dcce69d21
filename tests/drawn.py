"""A picture with one face for tests: somebody of the simulated street, drawn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from drivers.simulated.people.drawn import PEOPLE
from drivers.simulated.people.masks import MaskWear
from drivers.simulated.people.person_image import Entrance, Pose, draw_portrait


def bare_face() -> NDArray[np.uint8]:
    """640x480 BGR: a face of 202 px without a mask, its middle at (320, 216)."""
    return Entrance(seed=1).view(draw_portrait(PEOPLE[0], MaskWear.NONE), Pose(0.5, 0.45, 0.42))

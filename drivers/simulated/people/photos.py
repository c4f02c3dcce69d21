"""The faces of the street: photographs contained in other packages, with face positions measured once.

This project contains no photograph and writes none to disk. Boxes and landmarks were measured with YuNet
(`face_detection_yunet_2023mar.onnx`, score 0.9 each); the outline points were set by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.errors import BadSetting

Image = NDArray[np.uint8]
Point = tuple[float, float]

ASTRONAUT = ("skimage", "data/astronaut.png")
GROUP = ("insightface", "data/images/t1.jpg")


@dataclass(frozen=True, slots=True)
class Outline:
    """Points where a mask touches a face: top edge, bottom edge and ears, each from the viewer's left."""

    top: tuple[Point, ...]  # cheek, bridge of the nose, cheek
    bottom: tuple[Point, ...]  # jaw, chin, jaw
    ears: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class PhotographedPerson:
    """One face of a photograph, in its pixels.

    `box` is x, y, width, height; `landmarks` are two eyes, nose, two corners of the mouth, from the viewer's left.
    """

    name: str
    photo: tuple[str, str]
    box: tuple[float, float, float, float]
    landmarks: tuple[Point, ...]
    outline: Outline


PEOPLE = (
    PhotographedPerson(
        name="astronaut",
        photo=ASTRONAUT,
        box=(178.2, 62.9, 89.9, 113.3),
        landmarks=((200.1, 101.8), (247.1, 102.6), (220.4, 124.5), (198.6, 142.8), (239.7, 143.6)),
        outline=Outline(
            top=((183, 121), (222, 111), (266, 124)),
            bottom=((187, 160), (222, 181), (259, 162)),
            ears=((180, 122), (269, 126)),
        ),
    ),
    PhotographedPerson(
        name="group-1",
        photo=GROUP,
        box=(466.1, 266.5, 102.1, 145.2),
        landmarks=((488.3, 323.0), (540.1, 329.7), (507.2, 354.8), (484.0, 372.3), (529.0, 378.7)),
        outline=Outline(
            top=((465, 346), (513, 340), (562, 356)),
            bottom=((477, 394), (504, 417), (540, 398)),
            ears=((463, 335), (572, 345)),
        ),
    ),
    PhotographedPerson(
        name="group-2",
        photo=GROUP,
        box=(748.7, 352.5, 98.7, 123.1),
        landmarks=((766.6, 401.4), (809.3, 403.7), (776.5, 428.0), (768.6, 446.2), (805.7, 447.1)),
        outline=Outline(
            top=((748, 418), (777, 411), (843, 424)),
            bottom=((761, 460), (784, 484), (826, 470)),
            ears=((747, 412), (852, 408)),
        ),
    ),
    PhotographedPerson(
        name="group-3",
        photo=GROUP,
        box=(1125.7, 272.7, 95.5, 123.9),
        landmarks=((1142.9, 321.2), (1190.3, 320.0), (1160.8, 340.3), (1149.0, 363.3), (1190.0, 362.3)),
        outline=Outline(
            top=((1136, 340), (1164, 331), (1226, 342)),
            bottom=((1150, 380), (1179, 403), (1214, 384)),
            ears=((1135, 330), (1229, 330)),
        ),
    ),
    PhotographedPerson(
        name="group-4",
        photo=GROUP,
        box=(60.9, 268.1, 106.9, 128.8),
        landmarks=((86.6, 321.1), (137.5, 311.2), (117.7, 340.1), (100.9, 363.6), (146.3, 355.4)),
        outline=Outline(
            top=((71, 345), (115, 328), (165, 331)),
            bottom=((84, 380), (131, 398), (164, 375)),
            ears=((66, 335), (168, 315)),
        ),
    ),
)


@lru_cache(maxsize=2)
def photograph(photo: tuple[str, str]) -> Image:
    """The whole picture, BGR, from the package that contains it, without importing the package.

    Raises BadSetting when the package or its picture is not installed.
    """
    package, inside = photo
    spec = find_spec(package)
    folders = (spec.submodule_search_locations if spec else None) or []
    for folder in folders:
        image = cv2.imread(str(Path(folder) / inside))
        if image is not None:
            return np.asarray(image, np.uint8)
    raise BadSetting(f"the simulated street needs {inside} of the package {package}, which is not installed")

"""People for tests of recognition: photographs that other packages bring with them, cut by constants measured once.

The drawn people of `drivers/simulated` look alike to a network that recognises faces. No picture is kept in this
project and none is written to disk. Boxes and tips of noses were measured with YuNet
(`face_detection_yunet_2023mar.onnx`, score 0.9 each); the outline points were read off by eye.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.simulated.people.masks import Outline
from drivers.simulated.people.person_image import CENTRE, FACE_PX, SIZE, Bare

Image = NDArray[np.uint8]

ASTRONAUT = ("skimage", "data/astronaut.png")
GROUP = ("insightface", "data/images/t1.jpg")


@dataclass(frozen=True, slots=True)
class PhotographedPerson:
    """One face of a photograph, in its pixels: a `drivers.simulated.people.person_image.Person` that is not drawn.

    `box` is x, y, width, height.
    """

    name: str
    photo: tuple[str, str]
    box: tuple[float, float, float, float]
    outline: Outline

    def bare(self) -> Bare:
        """Cut out of the photograph."""
        x, y, width, height = self.box
        scale = FACE_PX / height
        zero = (CENTRE[0] - (x + width / 2) * scale, CENTRE[1] - (y + height / 2) * scale)
        into = np.array([[scale, 0.0, zero[0]], [0.0, scale, zero[1]]])
        options = {"flags": cv2.INTER_CUBIC, "borderMode": cv2.BORDER_REPLICATE}
        image = np.asarray(cv2.warpAffine(photograph(self.photo), into, SIZE, **options), np.uint8)
        box = (x * scale + zero[0], y * scale + zero[1], width * scale, float(FACE_PX))
        return Bare(image, _cover(box), box, self.outline.scaled(scale, zero))


def _cover(box: tuple[float, float, float, float]) -> Image:
    """What of the photograph is the person: head with hair, neck and shoulders, with a soft edge."""
    x, y, width, height = box
    centre = (round(x + width / 2), round(y + 0.42 * height))
    cover = np.zeros(SIZE[::-1], np.uint8)
    cv2.ellipse(cover, centre, (round(0.62 * height), round(0.74 * height)), 0, 0, 360, 255, -1)
    shoulders = (centre[0], round(y + 2.35 * height))
    cv2.ellipse(cover, shoulders, (round(1.2 * height), round(1.35 * height)), 0, 0, 360, 255, -1)
    return np.asarray(cv2.GaussianBlur(cover, (0, 0), 0.05 * height), np.uint8)


PEOPLE = (
    PhotographedPerson(
        name="astronaut",
        photo=ASTRONAUT,
        box=(178.2, 62.9, 89.9, 113.3),
        outline=Outline(
            top=((183, 121), (222, 111), (266, 124)),
            bottom=((187, 160), (222, 181), (259, 162)),
            ears=((180, 122), (269, 126)),
            nose=(220.4, 124.5),
        ),
    ),
    PhotographedPerson(
        name="group-1",
        photo=GROUP,
        box=(466.1, 266.5, 102.1, 145.2),
        outline=Outline(
            top=((465, 346), (513, 340), (562, 356)),
            bottom=((477, 394), (504, 417), (540, 398)),
            ears=((463, 335), (572, 345)),
            nose=(507.2, 354.8),
        ),
    ),
    PhotographedPerson(
        name="group-2",
        photo=GROUP,
        box=(748.7, 352.5, 98.7, 123.1),
        outline=Outline(
            top=((748, 418), (777, 411), (843, 424)),
            bottom=((761, 460), (784, 484), (826, 470)),
            ears=((747, 412), (852, 408)),
            nose=(776.5, 428.0),
        ),
    ),
    PhotographedPerson(
        name="group-3",
        photo=GROUP,
        box=(1125.7, 272.7, 95.5, 123.9),
        outline=Outline(
            top=((1136, 340), (1164, 331), (1226, 342)),
            bottom=((1150, 380), (1179, 403), (1214, 384)),
            ears=((1135, 330), (1229, 330)),
            nose=(1160.8, 340.3),
        ),
    ),
    PhotographedPerson(
        name="group-4",
        photo=GROUP,
        box=(60.9, 268.1, 106.9, 128.8),
        outline=Outline(
            top=((71, 345), (115, 328), (165, 331)),
            bottom=((84, 380), (131, 398), (164, 375)),
            ears=((66, 335), (168, 315)),
            nose=(117.7, 340.1),
        ),
    ),
)


@lru_cache(maxsize=2)
def photograph(photo: tuple[str, str]) -> Image:
    """The whole picture, BGR, from the package that ships it; the package itself is not imported."""
    package, inside = photo
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return np.asarray(cv2.imread(str(Path(spec.origin).parent / inside)), np.uint8)

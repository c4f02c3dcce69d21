"""The drawn people of the street, each with its own look. Face detectors detect them and classify their masks."""

from __future__ import annotations

from dataclasses import dataclass

from drivers.simulated.people.face_drawing import draw_bare
from drivers.simulated.people.looks import LOOKS, Look, make_outline
from drivers.simulated.people.person_image import CENTRE, FACE_PX, SIZE, Bare


@dataclass(frozen=True, slots=True)
class DrawnPerson:
    """A drawn `person_image.Person`. Recognition networks distinguish them poorly."""

    look: Look

    @property
    def name(self) -> str:
        return self.look.name

    def bare(self) -> Bare:
        """The person without a mask."""
        image, cover = draw_bare(self.look, SIZE, CENTRE, FACE_PX)
        width = 2 * self.look.half_width * FACE_PX
        box = (CENTRE[0] - width / 2, CENTRE[1] - FACE_PX / 2, width, float(FACE_PX))
        return Bare(image, cover, box, make_outline(self.look).scaled(FACE_PX, CENTRE))


PEOPLE = tuple(DrawnPerson(look) for look in LOOKS)

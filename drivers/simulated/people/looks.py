"""Looks of the people of the street: parameters of the drawings.

Lengths are in heights of the face's box (hairline to chin), from the box's centre, x to the viewer's right, y down.
Colours are BGR, 0..1.
"""

from __future__ import annotations

from dataclasses import dataclass

from drivers.simulated.people.masks import Outline

Colour = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Look:
    """Look of one person; the defaults are a plain face, `seed` determines skin and hair."""

    name: str
    seed: int
    skin: Colour = (0.56, 0.68, 0.87)
    hair: Colour = (0.07, 0.08, 0.10)
    iris: Colour = (0.10, 0.17, 0.26)
    shirt: Colour = (0.45, 0.35, 0.22)
    half_width: float = 0.40  # of the head at the cheekbones
    jaw: float = 0.72  # breadth of the chin; 1 is as broad as the cheekbones
    eye_x: float = 0.178
    eye_y: float = -0.135
    eye_width: float = 0.082
    eye_open: float = 0.030
    brow_y: float = -0.235
    brow_thick: float = 0.017
    brow_arch: float = 0.018
    nose_y: float = 0.07
    nose_width: float = 0.060
    nose_rise: float = 0.12
    mouth_y: float = 0.255
    mouth_width: float = 0.135
    lip: float = 0.030
    smile: float = 0.030
    hairline: float = -0.40
    parting: float = -0.12
    hair_end: float = 0.0  # how far down long hair falls; 0 is short hair
    light_x: float = -0.35  # where the light comes from
    light_y: float = -0.45
    ambient: float = 0.45  # light from everywhere
    sockets: float = 0.05  # depth of the eyes


def make_outline(look: Look) -> Outline:
    """Points where a mask touches the drawn face."""
    cheek, jaw, ear = 0.96 * look.half_width, 0.82 * look.half_width, look.half_width + 0.02
    return Outline(
        top=((-cheek, 0.02), (0.0, look.eye_y + 0.075), (cheek, 0.02)),
        bottom=((-jaw, 0.33), (0.0, 0.555), (jaw, 0.33)),
        ears=((-ear, 0.0), (ear, 0.0)),
        nose=(0.0, look.nose_y + 0.02),
    )


LOOKS = (
    Look("drawn-1", 1),
    Look(
        "drawn-2",
        2,
        skin=(0.60, 0.72, 0.90),
        hair=(0.10, 0.13, 0.20),
        shirt=(0.35, 0.30, 0.62),
        half_width=0.375,
        jaw=0.66,
        eye_open=0.034,
        brow_thick=0.012,
        brow_arch=0.028,
        nose_width=0.052,
        mouth_width=0.118,
        lip=0.036,
        hair_end=0.85,
        parting=0.06,
    ),
    Look(
        "drawn-3",
        3,
        skin=(0.38, 0.52, 0.74),
        hair=(0.03, 0.03, 0.04),
        shirt=(0.38, 0.48, 0.40),
        half_width=0.415,
        jaw=0.80,
        brow_thick=0.022,
        nose_width=0.072,
        mouth_width=0.15,
        lip=0.034,
        hairline=-0.44,
        parting=0.10,
        eye_x=0.185,
    ),
    Look(
        "drawn-4",
        4,
        skin=(0.62, 0.72, 0.88),
        hair=(0.42, 0.42, 0.44),
        shirt=(0.30, 0.30, 0.30),
        half_width=0.395,
        jaw=0.76,
        eye_open=0.025,
        brow_thick=0.015,
        brow_arch=0.010,
        nose_rise=0.14,
        hairline=-0.46,
        eye_x=0.170,
        mouth_y=0.262,
        lip=0.024,
    ),
    Look(
        "drawn-5",
        5,
        skin=(0.28, 0.40, 0.60),
        hair=(0.04, 0.05, 0.07),
        shirt=(0.35, 0.55, 0.75),
        half_width=0.385,
        jaw=0.70,
        eye_open=0.034,
        brow_thick=0.015,
        brow_arch=0.024,
        nose_width=0.066,
        lip=0.038,
        mouth_width=0.13,
        hair_end=0.55,
        parting=0.0,
    ),
)

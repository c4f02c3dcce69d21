"""The devices of one box, made from its settings: each name in the TOML selects a driver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from config.settings import Settings
from drivers.audio.speaker import make_speaker
from drivers.camera.camera import make_camera
from drivers.contract import Camera, CardReader, CodeReader, Gate, Part, Ranger, Speaker, Thermometer
from drivers.distance.table import make_ranger
from drivers.gates.table import make_gate
from drivers.readers.qr_camera import QrCamera
from drivers.readers.table import make_card_reader, make_reader
from drivers.readers.wrapping import Wrapping
from drivers.thermometers.table import MODELS, make_thermometer


@dataclass(frozen=True, slots=True)
class Devices:
    """All devices; `ranger` and `card_reader` are None where none is connected."""

    camera: Camera
    thermometer: Thermometer
    ranger: Ranger | None
    reader: CodeReader
    card_reader: CardReader | None
    gate: Gate
    speaker: Speaker

    @classmethod
    def from_settings(cls, settings: Settings) -> Devices:
        """The devices that `settings` name; nothing is opened yet. Raises DriverError."""
        return cls(
            camera=camera_from(settings),
            thermometer=thermometer_from(settings),
            ranger=ranger_from(settings),
            reader=reader_from(settings),
            card_reader=card_reader_from(settings),
            gate=gate_from(settings),
            speaker=speaker_from(settings),
        )

    @property
    def others(self) -> tuple[Part, ...]:
        """All but the camera and the thermometer, for which the policy has rules."""
        others = (self.ranger, self.reader, self.card_reader, self.gate, self.speaker)
        return tuple(part for part in others if part is not None)

    @property
    def parts(self) -> tuple[Part, ...]:
        """Every device."""
        return (self.camera, self.thermometer, *self.others)


def camera_from(settings: Settings) -> Camera:
    """The camera."""
    wired = settings.camera
    return make_camera(
        source=wired.source,
        width=wired.width,
        height=wired.height,
        fps=wired.fps,
        rotate_deg=wired.rotate,
        flip=wired.flip,
    )


def thermometer_from(settings: Settings) -> Thermometer:
    """The thermometer."""
    wired = settings.thermometer
    mirror = wired.mirror and MODELS[wired.driver].is_array  # a spot has no columns
    return make_thermometer(driver=wired.driver, port=wired.port, baud=wired.baud or None, mirror=mirror)


def ranger_from(settings: Settings) -> Ranger | None:
    """The distance sensor, None where none is connected."""
    wired = settings.ranger
    if wired.driver == "none":
        return None
    return make_ranger(driver=wired.driver, port=wired.port, baud=wired.baud or None)


def reader_from(settings: Settings) -> CodeReader:
    """The code reader."""
    wired = settings.reader
    return make_reader(driver=wired.driver, port=wired.port, baud=wired.baud or None, wrapping=wrapping_from(settings))


def wrapping_from(settings: Settings) -> Wrapping:
    """What the code reader of this box adds to a code."""
    wired = settings.reader
    return Wrapping(wired.prefixes, wired.suffixes, wired.ignore)


def card_reader_from(settings: Settings) -> CardReader | None:
    """The card reader, None where none is connected."""
    wired = settings.card_reader
    return None if wired.driver == "none" else make_card_reader(driver=wired.driver, port=wired.port)


def code_camera_from(settings: Settings, camera: Camera, is_needed: Callable[[], bool]) -> QrCamera | None:
    """The camera as a reader of codes, which looks while `is_needed`; None where the settings leave it out."""
    return QrCamera(camera.frames, is_needed) if settings.reader.camera else None


def gate_from(settings: Settings) -> Gate:
    """The gate, with what else is wired to its relay board."""
    wired = settings.gate
    return make_gate(
        driver=wired.driver,
        port=wired.port,
        channel=wired.channel,
        lamp_channel=wired.lamp_channel,
        passage_input=wired.passage_input,
    )


def speaker_from(settings: Settings) -> Speaker:
    """The speaker."""
    return make_speaker(output=settings.speaker.output)

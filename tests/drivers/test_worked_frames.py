"""Worked frames of public sources are decoded, and the bytes of commands are built, exactly."""

from __future__ import annotations

import numpy as np
import pytest

from drivers.distance import evo_mini, tofsense
from drivers.serial_line import modbus
from drivers.serial_line.checksums import crc8, crc32_mpeg2
from drivers.serial_line.recording import Piece
from drivers.simulated.devices import sensor_frames
from drivers.thermometers import cjmcu_90614, evo_thermal_33, gy_614v, gy_mcu90640, pyrousb
from drivers.tools.device_protocols import PROTOCOLS
from drivers.tools.reading_output import to_dict
from drivers.tools.replay import Replay

ARRAY = "5A5A0206" + "420E" * 768 + "C4092030"
ARRAY_MIXED = "5A5A0206" + "0CFE" + "B80B" * 766 + "6E0E6AFFD07C"
EVO = "0D00" + "180C" * 1024 + "A60B" + "0000" * 7 + "68C589EF"


def temperatures(object_c: float, ambient_c: float | None) -> dict[str, object]:
    return {"object_c": object_c, "ambient_c": ambient_c}


def distance(distance_mm: int | None, state: str = "measured") -> dict[str, object]:
    return {"distance_mm": distance_mm, "state": state}


def array(rows: int, cols: int, ambient_c: float, most_c: float, least_c: float, mean_c: float) -> dict[str, object]:
    sizes = {"rows": rows, "cols": cols, "ambient_c": ambient_c}
    return {**sizes, "max_c": most_c, "min_c": least_c, "mean_c": mean_c}


@pytest.mark.parametrize(
    ("driver", "sent", "expected"),
    [
        ("gy-mcu90640", ARRAY, array(24, 32, 25.0, 36.5, 36.5, 36.5)),
        ("gy-mcu90640", ARRAY_MIXED, array(24, 32, -1.5, 36.94, -5.0, 29.963)),
        ("gy-mcu90614", "5A5A4504 0D7A 09C4 51", temperatures(34.5, 25.0)),
        ("gy-mcu90614", "5A5A4504 FDF8 FECA BA", temperatures(-5.2, -3.1)),
        ("gy-mcu90614", "5A5A4504 0C78 0D19 A7", temperatures(31.92, 33.53)),
        ("gy-614v", "A4030707 62 0D7A 09C4 0E51 CA", temperatures(34.5, 25.0)),
        ("cjmcu-90614", "66660104 0A83 0A83 1A", temperatures(26.91, 26.91)),
        ("evo-thermal-33", EVO, array(32, 32, 25.05, 36.45, 36.45, 36.45)),
        ("pyrousb", "010402 016D 794D", temperatures(36.5, None)),
        ("pyrousb", "010404 016D016E EBD9", temperatures(36.5, None)),
        ("pyrousb", "FF0306 016D016E00FB E4AB", temperatures(36.5, 25.1)),
        ("optris", "04D3", temperatures(23.5, None)),
        ("optris-hr", "303E", temperatures(23.5, None)),
        ("tof10120", b"145mm\r\n".hex(), distance(145)),
        ("evo-mini", "54 01C2 DA", distance(450)),
        ("evo-mini", "54 FFFF AB", distance(None, "too_far")),
        ("tofsense", "5700FF00 9E8F0000 AD0800 00 0300 FF 3A", distance(2221)),
        ("qr-line", "5348430D", {"result": "ignored", "text": "SHC", "raw": "SHC\\x0d", "taken_off": "CR"}),
        ("lcus", "A0 01 01 A2", {"channel": 1, "on": True}),
        ("lcus", "A0 01 00 A1", {"channel": 1, "on": False}),
        ("lcus", "A0 02 01 A3", {"channel": 2, "on": True}),
        ("modbus-relay", "01050000FF008C3A", {"channel": 1, "on": True}),
        ("modbus-relay", "010500000000CDCA", {"channel": 1, "on": False}),
        ("modbus-relay", "010500005500F29A", {"channel": 1, "toggle": True}),
        ("modbus-relay", "010500FFFF00BC0A", {"channel": "all", "on": True}),
        ("modbus-relay", "010500FF0000FDFA", {"channel": "all", "on": False}),
        ("modbus-relay", "010F0000000801 00FE95", {"channel": "all", "on": False}),
        ("modbus-relay", "0105020000078DB0", {"channel": 1, "pulse_ms": 700}),
        ("modbus-relay", "0105020000050C71", {"channel": 1, "pulse_ms": 500}),
    ],
)
def test_a_worked_frame(driver: str, sent: str, expected: dict[str, object]) -> None:
    replay = Replay(PROTOCOLS[driver])
    readings = list(replay.readings([Piece(0.0, bytes.fromhex(sent))]))
    assert [to_dict(reading) for _, reading in readings] == [expected]
    assert {name: count for name, count in replay.counts.items() if count} == {"frames": 1}


@pytest.mark.parametrize(
    ("driver", "sent"),
    [
        ("gy-mcu90640", "5A5A5F13"),  # emissivity 0.95
        ("evo-thermal-33", sensor_frames.terabee_ack(0x14, 0x05).hex()),
        ("modbus-relay", "0101000000083DCC"),
        ("modbus-relay", (b"\x01\x01\x01\x00" + modbus.crc16(b"\x01\x01\x01\x00")).hex()),
        ("gy-614v", "A4060301AE"),
    ],
)
def test_an_intact_frame_about_something_else(driver: str, sent: str) -> None:
    replay = Replay(PROTOCOLS[driver])
    assert not list(replay.readings([Piece(0.0, bytes.fromhex(sent))]))
    assert {name: count for name, count in replay.counts.items() if count} == {"other_frames": 1}


def test_the_pixels_are_listed_row_by_row() -> None:
    (reading,) = PROTOCOLS["gy-mcu90640"].parser().feed(bytes.fromhex(ARRAY_MIXED), 0.0)
    pixels = to_dict(reading, pixels=True)["pixels_c"]
    assert (len(pixels), len(pixels[0]), pixels[0][0], pixels[0][1], pixels[23][31]) == (24, 32, -5.0, 30.0, 36.94)


def test_the_sensor_side_builds_the_same_frames() -> None:
    assert sensor_frames.gy_mcu90614(34.5, 25.0).hex() == "5a5a45040d7a09c451"
    assert sensor_frames.gy_614v(34.5, 25.0, 36.65).hex() == "a4030707620d7a09c40e51ca"
    assert sensor_frames.cjmcu_90614(26.91, 26.91).hex() == "666601040a830a831a"
    assert sensor_frames.evo_thermal_33(np.full(1024, 36.45), 25.05).hex() == EVO.lower()
    assert sensor_frames.pyrousb(36.5).hex() == "010402016d794d"
    assert sensor_frames.optris(23.5).hex() == "04d3"
    assert sensor_frames.evo_mini(450).hex() == "5401c2da"
    assert sensor_frames.tofsense(2221).hex() == "5700ff009e8f0000ad080000" + "0300ff3a"


@pytest.mark.parametrize(
    ("built", "worked"),
    [
        (gy_mcu90640.READ_EMISSIVITY, "A55501FB"),
        (gy_614v.ONLY_WHEN_ASKED, "A4060301AE"),
        (gy_614v.QUERY, "A4030707B5"),
        (cjmcu_90614.CONTINUOUS, "66660156"),
        (evo_thermal_33.ACTIVATE, "00520201DF"),
        (evo_thermal_33.set_emissivity(0.98), "00516230"),
        (pyrousb.modbus.request(1, 4, 0x12, 1), "01040012000191CF"),
        (evo_mini.AS_BYTES, "0011024C"),
        (evo_mini.ONE_PIXEL, "002101BC"),
        (evo_mini.LONG_RANGE, "006103E9"),
        (tofsense.QUERY, "5710FFFF00FFFF63"),
    ],
)
def test_a_command(built: bytes, worked: str) -> None:
    assert built.hex() == worked.lower()


@pytest.mark.parametrize("setter", [gy_mcu90640.set_emissivity, evo_thermal_33.set_emissivity])
@pytest.mark.parametrize("emissivity", [0.0, 1.01])
def test_an_emissivity_that_cannot_be_is_refused(setter: object, emissivity: float) -> None:
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        setter(emissivity)  # type: ignore[operator]


def test_the_check_values_of_the_crc_catalogue() -> None:
    assert (crc8(b"123456789"), crc32_mpeg2(b"123456789")) == (0xF4, 0x0376E6E7)

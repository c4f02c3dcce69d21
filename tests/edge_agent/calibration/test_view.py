"""Camera and thermometer are aligned by touches: recovered through noise, refused where it makes no sense, used."""

from __future__ import annotations

import json
import math
import os
from datetime import UTC, datetime
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from typer.testing import CliRunner

from config.errors import SettingsError
from config.settings import CameraSettings, Settings, ThermometerSettings, parse_settings
from drivers.contract import CameraFrame, ThermalFrame
from drivers.serial_line.recording import Recorder
from drivers.simulated.devices.gy_mcu90640_module import encode_frame
from drivers.simulated.devices.thermal_scene import ThermalScene, WarmFace
from edge_agent.app import opened
from edge_agent.box.versioned_file import previous
from edge_agent.calibration.errors import BadCalibration
from edge_agent.calibration.view.alignment import PLACES, Alignment
from edge_agent.calibration.view.view_file import (
    FILE_NAME,
    ViewCalibration,
    aligned,
    load_camera_to_thermal,
    load_view,
    save_view,
)
from edge_agent.calibration.view.warm_spot import LEAST_READINGS, steady_spot, warm_spot
from edge_agent.commands.cli import app
from edge_agent.measurement.camera_to_thermal import CameraToThermal, Point, Touch, fit_camera_to_thermal
from edge_agent.measurement.face_detection import Detections
from models.detections import Face
from sync.storage.checked_json import decode_checked
from tests.edge_agent.town import settings_text

ARRAY = (32, 24)
NOW = datetime(2026, 11, 25, 8, 0, tzinfo=UTC)
MOUNTED = CameraToThermal((1.2, 0.06, -0.15), (-0.05, 1.1, 0.02))  # turned a little, looking past each other a little
QUARTERS = st.sampled_from([0.0, math.pi / 2, math.pi, -math.pi / 2])


def shown(view: CameraToThermal, at: tuple[Point, ...] = PLACES) -> list[Touch]:
    """What an installer with a steady hand would touch."""
    return [Touch(point, view.at(point)) for point in at]


def crossed(pair: list[Touch]) -> list[Touch]:
    """Two touches taken for each other."""
    one, other = pair
    return [Touch(one.camera, other.thermal), Touch(other.camera, one.thermal)]


@st.composite
def mounted(draw: st.DrawFn) -> CameraToThermal:
    """Any way in which somebody could mount the two: any scale of either axis, turned, shifted; not mirrored."""
    turn = draw(QUARTERS) + draw(st.floats(-0.3, 0.3))
    wide, high = draw(st.floats(0.4, 3.0)), draw(st.floats(0.4, 3.0))
    right, down = draw(st.floats(-0.5, 0.5)), draw(st.floats(-0.5, 0.5))
    return CameraToThermal(
        (wide * math.cos(turn), -wide * math.sin(turn), right), (high * math.sin(turn), high * math.cos(turn), down)
    )


places = st.tuples(*(st.tuples(*(st.floats(-0.08, 0.08) for _ in "xy")) for _ in PLACES)).map(
    lambda moves: tuple((x + dx, y + dy) for (x, y), (dx, dy) in zip(PLACES, moves, strict=True))
)
grid = st.tuples(st.floats(0.2, 0.8), st.floats(0.2, 0.8))


@given(mounted(), places, grid)
def test_any_mounting_is_recovered(view: CameraToThermal, at: tuple[Point, ...], anywhere: Point) -> None:
    fit = fit_camera_to_thermal(shown(view, at), ARRAY, mirror=True)
    assert fit.residual_px <= 0.001
    assert fit.view.at(anywhere) == pytest.approx(view.at(anywhere), abs=1e-4)


@given(mounted(), places, grid, st.integers(0, 2**32 - 1))
def test_a_shaking_hand_moves_it_by_no_more_than_it_shook(
    view: CameraToThermal, at: tuple[Point, ...], anywhere: Point, seed: int
) -> None:
    error_px = 0.4
    moves = np.random.default_rng(seed).uniform(-error_px, error_px, (len(at), 2)) / ARRAY
    touches = [
        Touch(touch.camera, (touch.thermal[0] + dx, touch.thermal[1] + dy))
        for touch, (dx, dy) in zip(shown(view, at), moves.tolist(), strict=True)
    ]
    fit = fit_camera_to_thermal(touches, ARRAY, mirror=True)
    assert fit.residual_px <= math.hypot(error_px, error_px)
    wrong_px = np.abs(np.subtract(fit.view.at(anywhere), view.at(anywhere)) * ARRAY)
    assert wrong_px.max() < 5 * error_px


@given(mounted(), grid)
def test_there_and_back(view: CameraToThermal, point: Point) -> None:
    assert view.back(view.at(point)) == pytest.approx(point, abs=1e-9)


def lenses(camera: Point, past_deg: float, span_deg: float, *, bent: bool) -> Point:
    """Where an array 4 cm beside a 60° camera, both at 60 cm, sees a point of a flat scene; `bent`: a wide lens."""
    focal, away_m = 0.5 / math.tan(math.radians(30)), 0.6
    across, down = ((camera[0] - 0.5) * away_m / focal - 0.04, (camera[1] - 0.5) * 0.75 * away_m / focal)
    sine, cosine = math.sin(math.radians(past_deg)), math.cos(math.radians(past_deg))
    across, ahead = cosine * across - sine * away_m, sine * across + cosine * away_m
    aside, half = math.hypot(across, down), math.radians(span_deg) / 2
    angle = math.atan2(aside, ahead)
    stretch = (angle / half if bent else math.tan(angle) / math.tan(half)) / (2 * aside)
    return 0.5 + stretch * across, 0.5 + stretch * down / 0.75


@pytest.mark.parametrize(
    ("past_deg", "span_deg", "bent", "most_px"),
    [(0, 55, False, 0.01), (0, 110, True, 0.53), (5, 55, False, 0.5), (5, 35, False, 0.63), (10, 35, False, 1.3)],
)
def test_what_an_affine_mapping_leaves_out(past_deg: float, span_deg: float, bent: bool, most_px: float) -> None:
    def seen(camera: Point) -> Point:
        return lenses(camera, past_deg, span_deg, bent=bent)

    view = fit_camera_to_thermal([Touch(place, seen(place)) for place in PLACES], ARRAY, mirror=True).view
    middle = [(x, y) for x in np.linspace(0.15, 0.85, 15).tolist() for y in np.linspace(0.15, 0.85, 15).tolist()]
    on_both = [point for point in middle if all(0 <= share <= 1 for share in seen(point))]
    wrong_px = [np.linalg.norm(np.subtract(view.at(point), seen(point)) * ARRAY) for point in on_both]
    assert len(on_both) > 50
    assert 0.75 * most_px - 0.01 < max(wrong_px) < most_px


def test_covers_is_a_view() -> None:
    view = CameraToThermal.over((0.25, 0.5, 0.5, 0.25))
    assert view.at((0.25, 0.5)) == (0.0, 0.0)
    assert view.box((0.5, 0.5, 0.25, 0.25)) == (0.5, 0.0, 0.5, 1.0)


@pytest.mark.parametrize(
    ("touches", "zh", "en"),
    [
        (shown(MOUNTED)[:3], "4", "4 touches are needed"),
        (shown(MOUNTED, ((0.1, 0.1), (0.3, 0.3), (0.6, 0.6), (0.9, 0.9))), "直线", "one line"),
        (shown(MOUNTED, ((0.1, 0.1), (0.28, 0.1), (0.28, 0.28), (0.1, 0.28))), "集中", "one corner"),
        ([Touch(at, (0.5, 0.5)) for at in PLACES], "几乎不动", "hardly moved"),
        ([Touch((x, y), (0.5, y)) for x, y in PLACES], "几乎不动", "hardly moved"),
        (shown(CameraToThermal((6.0, 0.0, -2.5), (0.0, 6.0, -2.5))), "很小一部分", "small part"),
        (shown(CameraToThermal((-1.0, 0.0, 1.0), (0.0, 1.0, 0.0))), "mirror = false", "mirror = false"),
        ([*shown(MOUNTED)[:3], Touch(PLACES[3], (0.9, 0.4))], "不吻合", "do not fit"),
        ([*shown(MOUNTED)[:2], *crossed(shown(MOUNTED)[2:])], "不吻合", "do not fit"),
    ],
)
def test_nonsense_is_refused(touches: list[Touch], zh: str, en: str) -> None:
    with pytest.raises(BadCalibration) as caught:
        fit_camera_to_thermal(touches, ARRAY, mirror=True)
    assert zh in caught.value.zh
    assert en in caught.value.en


def test_the_other_way_round_names_the_other_setting() -> None:
    with pytest.raises(BadCalibration, match="mirror = true"):
        fit_camera_to_thermal(shown(CameraToThermal((-1.0, 0.0, 1.0), (0.0, 1.0, 0.0))), ARRAY, mirror=False)


def test_a_fifth_touch_is_welcome() -> None:
    fit = fit_camera_to_thermal(shown(MOUNTED, (*PLACES, (0.5, 0.5))), ARRAY, mirror=True)
    assert fit.view.at((0.4, 0.4)) == pytest.approx(MOUNTED.at((0.4, 0.4)), abs=1e-4)


def cup(at: Point, seed: int = 1, warm_c: float = 50.0, size: float = 0.12) -> NDArray[np.float32]:
    """A cup of hot water at `at` of the thermal picture, with the sensor's noise."""
    scene = ThermalScene(seed)
    return scene.picture(WarmFace(*at, size, size * 4 / 3, warm_c)).astype(np.float32)


@given(st.tuples(st.floats(0.2, 0.8), st.floats(0.2, 0.8)), st.integers(0, 99), st.floats(38, 80))
def test_the_cup_is_found_within_half_a_pixel(at: Point, seed: int, warm_c: float) -> None:
    found = warm_spot(cup(at, seed, warm_c))
    assert np.abs(np.subtract(found.at, at) * ARRAY).max() < 0.5
    assert found.warmer_c == pytest.approx(warm_c - 24, abs=0.6)


def test_a_hand_that_holds_the_cup_does_not_pull_it() -> None:
    pixels_c = cup((0.5, 0.5))
    pixels_c[13:18, 14:22] = np.maximum(pixels_c[13:18, 14:22], 33.0)
    assert np.abs(np.subtract(warm_spot(pixels_c).at, (0.5, 0.5)) * ARRAY).max() < 0.5


@pytest.mark.parametrize(
    ("pixels_c", "why"),
    [
        (cup((0.5, 0.5), warm_c=30.0), "No object is warm enough"),
        (np.maximum(cup((0.3, 0.5)), cup((0.8, 0.5))), "Several objects"),
        (cup((0.5, 0.5), size=0.6), "too large"),
        (cup((0.02, 0.5)), "at the edge"),
    ],
)
def test_what_is_no_cup_is_refused(pixels_c: NDArray[np.float32], why: str) -> None:
    with pytest.raises(BadCalibration, match=why):
        warm_spot(pixels_c)


def test_a_moving_cup_is_refused() -> None:
    still = [cup((0.5, 0.5), seed) for seed in range(LEAST_READINGS)]
    assert steady_spot(still).at == pytest.approx((0.5, 0.5), abs=0.01)
    with pytest.raises(BadCalibration, match="moves"):
        steady_spot([*still, cup((0.6, 0.5))])
    with pytest.raises(BadCalibration, match="Too few"):
        steady_spot(still[1:])


def hold(alignment: Alignment, at: Point) -> None:
    """Let the thermometer look at a cup for a second."""
    for seed in range(LEAST_READINGS):
        alignment.add_thermal(ThermalFrame(cup(at, seed), 24.0, float(seed)))


def test_four_touches_make_it() -> None:
    alignment = Alignment(mirror=True)
    with pytest.raises(BadCalibration, match="No reading"):
        _ = alignment.thermal_size
    for place in PLACES:
        assert alignment.fit is None
        hold(alignment, MOUNTED.at(place))
        alignment.touch(place)
        with pytest.raises(BadCalibration, match=r"Too close|are made"):
            alignment.touch(place)
    assert alignment.fit is not None
    assert alignment.fit.residual_px < 0.3
    assert alignment.thermal_size == ARRAY
    alignment.restart()
    assert (alignment.fit, alignment.touches) == (None, ())


def test_a_bad_fourth_touch_begins_anew() -> None:
    alignment = Alignment(mirror=True)
    for place in PLACES[:3]:
        hold(alignment, MOUNTED.at(place))
        alignment.touch(place)
    hold(alignment, (0.8, 0.3))
    with pytest.raises(BadCalibration, match="do not fit"):
        alignment.touch(PLACES[3])
    assert alignment.touches == ()


def test_old_readings_do_not_count() -> None:
    alignment = Alignment(mirror=True)
    hold(alignment, (0.5, 0.5))
    alignment.clear_thermal()
    with pytest.raises(BadCalibration, match="Too few"):
        alignment.touch((0.5, 0.5))


def box(folder: Path, **thermometer: object) -> Settings:
    return msgspec.convert({"box": {"data_dir": str(folder)}, "thermometer": thermometer}, Settings)


def made(settings: Settings, view: CameraToThermal = MOUNTED) -> ViewCalibration:
    return aligned(
        shown(view), (640, 480), ARRAY, settings=settings, by="installer", at=NOW, serial="A1", camera_serial="C1"
    )


def test_it_is_kept_with_the_one_before_and_used(tmp_path: Path) -> None:
    settings = box(tmp_path / "data", covers=[0.5, 0.5, 0.5, 0.5])
    assert load_view(tmp_path / "data") is None
    assert load_camera_to_thermal(settings) == CameraToThermal.over((0.5, 0.5, 0.5, 0.5))
    first, second = made(settings), made(settings, CameraToThermal())
    save_view(first, tmp_path / "data")
    path = save_view(second, tmp_path / "data")
    assert load_view(tmp_path / "data") == second
    assert load_camera_to_thermal(settings) == second.view == CameraToThermal()
    assert decode_checked(previous(path).read_bytes(), ViewCalibration) == first


def test_a_disk_that_takes_nothing_leaves_the_old_one(tmp_path: Path) -> None:
    settings = box(tmp_path)
    path = save_view(made(settings), tmp_path)
    path.with_name(f".{FILE_NAME}.new").mkdir()
    with pytest.raises(OSError, match=FILE_NAME):
        save_view(made(settings, CameraToThermal()), tmp_path)
    assert load_camera_to_thermal(settings) == made(settings).view


def test_no_link_is_copied_into_the_previous_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("known to another")
    (tmp_path / FILE_NAME).symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match=FILE_NAME):
        save_view(made(box(tmp_path)), tmp_path)
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(("secret", FILE_NAME))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_aligned_is_the_agents(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    path = save_view(made(box(tmp_path)), tmp_path)
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"thermometer": ThermometerSettings(driver="evo-thermal-33")}, "gy-mcu90640"),
        ({"thermometer": ThermometerSettings(mirror=False)}, "mirror was true"),
        ({"camera": CameraSettings(width=1280, height=720)}, "640x480"),
    ],
)
def test_that_of_another_box_is_not_used(
    tmp_path: Path, changed: dict[str, object], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = box(tmp_path)
    save_view(made(settings), tmp_path)
    assert load_camera_to_thermal(msgspec.structs.replace(settings, **changed)) == CameraToThermal()
    assert why in caplog.text


@pytest.mark.parametrize("text", ["{}", "[1", '{"version": 2}'])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=FILE_NAME):
        load_camera_to_thermal(box(tmp_path))


def test_a_file_that_was_changed_by_hand_is_not_used(tmp_path: Path) -> None:
    path = save_view(made(box(tmp_path)), tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"by": "', b'"by": "x'))
    with pytest.raises(SettingsError, match=r"checksum is wrong.*align again"):
        load_view(tmp_path)


def test_a_view_onto_a_line_does_not_exist(tmp_path: Path) -> None:
    kept = msgspec.to_builtins(made(box(tmp_path)))
    kept["view"]["down"] = kept["view"]["across"]
    (tmp_path / FILE_NAME).write_bytes(msgspec.json.encode(kept))
    with pytest.raises(SettingsError, match="not to a line"):
        load_view(tmp_path)


async def test_the_agent_looks_where_the_alignment_says(tmp_path: Path) -> None:
    """The same face and the same warm pixel, before and after the box was aligned."""
    settings = parse_settings(settings_text(tmp_path, "http://127.0.0.1:9/video.mjpg"))
    column, row = (int(value) for value in np.multiply(MOUNTED.at((0.14, 0.3)), ARRAY))
    pixels_c = np.full((24, 32), 24.0, np.float32)
    pixels_c[row, column] = 35.5
    face = Face((0.1 * 640, 0.2 * 480, 0.08 * 640, 0.2 * 480), 0.9, None, None)
    felt = []
    for _ in "before", "after":
        async with opened(settings) as sentinel:
            for second in (1.0, 1.1):
                frame = CameraFrame(np.zeros((480, 640, 3), np.uint8), second, 0)
                sentinel.tracker.add_detections(Detections((face,), frame))
            sentinel.tracker.add_reading(ThermalFrame(pixels_c, 24.0, 1.2))
            felt.append(sentinel.tracker.temperature().skin_c)
        save_view(made(settings), Path(settings.box.data_dir))
    assert felt == [None, 35.5]


def shots(folder: Path, view: CameraToThermal) -> list[str]:
    """Pictures and recordings of four places, as words of the command; the module sends its rows from the right."""
    words: list[str] = []
    for number, (x, y) in enumerate(PLACES):
        picture, thermal = folder / f"{number}.png", folder / f"{number}.rec"
        cv2.imwrite(str(picture), np.zeros((480, 640, 3), np.uint8))
        recorder = Recorder(thermal, driver="gy-mcu90640", port="/dev/ttyUSB0")
        for second in range(5):
            recorder.write(encode_frame(cup(view.at((x, y)), second)[:, ::-1], 24.0), float(second))
        recorder.close()
        words += ["--picture", str(picture), "--at", f"{x * 640 - 0.5:g},{y * 480 - 0.5:g}", "--thermal", str(thermal)]
    return words


def settings_file(folder: Path, mirror: bool = True) -> Path:
    file = folder / "sentinel.toml"
    text = f"[box]\ndata_dir = {json.dumps(str(folder / 'data'))}\n[thermometer]\nmirror = {str(mirror).lower()}\n"
    file.write_text(text, encoding="utf-8")
    return file


def test_pictures_and_recordings_will_do(tmp_path: Path) -> None:
    words = ["calibrate", "view", "--by", "me", "--config", str(settings_file(tmp_path)), *shots(tmp_path, MOUNTED)]
    done = CliRunner().invoke(app, [*words, "--serial", "A1", "--yes", "--json"])
    assert done.exit_code == 0, done.output
    kept = load_view(tmp_path / "data")
    assert kept == msgspec.json.decode(done.stdout, type=ViewCalibration)
    assert kept is not None
    assert (kept.by, kept.serial, kept.camera_size, kept.thermal_size) == ("me", "A1", (640, 480), ARRAY)
    for point in ((0.3, 0.4), (0.6, 0.7)):
        assert np.abs(np.subtract(kept.view.at(point), MOUNTED.at(point)) * ARRAY).max() < 0.3


def test_the_installer_is_asked(tmp_path: Path) -> None:
    words = ["calibrate", "view", "--by", "me", "--config", str(settings_file(tmp_path)), *shots(tmp_path, MOUNTED)]
    assert CliRunner().invoke(app, words, input="n\n").exit_code == 1
    assert load_view(tmp_path / "data") is None
    assert CliRunner().invoke(app, words, input="y\n").exit_code == 0
    assert load_view(tmp_path / "data") is not None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (["--picture", "more.png"], "Each place needs"),
        (["--picture", "absent.png", "--at", "1,1", "--thermal", "FIRST"], "not a readable picture"),
        (["--picture", "PICTURE", "--at", "640,1", "--thermal", "FIRST"], "is outside"),
        (["--picture", "PICTURE", "--at", "a,b", "--thermal", "FIRST"], "expected X,Y"),
        (["--picture", "PICTURE", "--at", "1,1", "--thermal", "absent.rec"], "cannot read"),
        (["--picture", "PICTURE", "--at", "1,1", "--thermal", "SPOT"], "recorded from a optris"),
        (["--picture", "SMALL", "--at", "1,1", "--thermal", "FIRST"], "different sizes"),
    ],
)
def test_files_that_do_not_fit_are_named(tmp_path: Path, change: list[str], named: str) -> None:
    words = ["calibrate", "view", "--by", "me", "--config", str(settings_file(tmp_path)), *shots(tmp_path, MOUNTED)]
    spot = Recorder(tmp_path / "spot.rec", driver="optris", port="x")
    spot.write(b"\x05\x55", 0.0)
    spot.close()
    cv2.imwrite(str(tmp_path / "small.png"), np.zeros((24, 32, 3), np.uint8))
    names = {"PICTURE": "0.png", "FIRST": "0.rec", "SPOT": "spot.rec", "SMALL": "small.png"}
    change = [str(tmp_path / names[word]) if word in names else word for word in change]
    done = CliRunner().invoke(app, [*words, *change, "--yes"])
    assert done.exit_code == 1
    assert named in done.output
    assert load_view(tmp_path / "data") is None


def test_a_spot_sensor_has_nothing_to_align(tmp_path: Path) -> None:
    config = settings_file(tmp_path)
    config.write_text('[thermometer]\ndriver = "optris"\nmirror = false\n', encoding="utf-8")
    words = ["calibrate", "view", "--by", "me", "--config", str(config)]
    for files in ([], shots(tmp_path, MOUNTED)):
        done = CliRunner().invoke(app, [*words, *files])
        assert done.exit_code == 1
        assert "measures a single spot" in done.output


def test_a_wrong_mirror_is_named_by_files_too(tmp_path: Path) -> None:
    words = ["calibrate", "view", "--by", "me", "--config", str(settings_file(tmp_path, mirror=False))]
    done = CliRunner().invoke(app, [*words, *shots(tmp_path, MOUNTED), "--yes"])
    assert done.exit_code == 1
    assert "mirror = true" in done.output

"""Recordings: pieces and times are restored, damage is reported, and a pause between pieces ends a frame."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from drivers.contract import SpotReading
from drivers.errors import BadSetting
from drivers.readers.qr_line import ScannedLine
from drivers.serial_line import recording
from drivers.serial_line.recording import Piece, Recorder, open_recording
from drivers.simulated.devices.sensor_frames import gy_mcu90614
from drivers.tools.device_protocols import PROTOCOLS
from drivers.tools.replay import Replay


def recorded(path: Path, *pieces: Piece) -> Path:
    recorder = Recorder(path, driver="gy-mcu90614", port="/dev/ttyUSB0")
    for piece in pieces:
        recorder.write(piece.data, piece.at_s)
    recorder.close()
    return path


def test_a_recording_gives_back_bytes_times_and_driver(tmp_path: Path) -> None:
    pieces = [Piece(0.25, b"ab\n"), Piece(1.5, b"\x00\xff")]
    path = recorded(tmp_path / "new", *pieces)
    opened = open_recording(path)
    assert (opened.driver, opened.is_bare, list(opened.pieces())) == ("gy-mcu90614", False, pieces)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_raw_bytes_are_pieces_without_time(tmp_path: Path) -> None:
    (tmp_path / "bare").write_bytes(b"x" * 5000)
    opened = open_recording(tmp_path / "bare")
    assert (opened.driver, opened.is_bare) == ("", True)
    assert [(piece.at_s, len(piece.data)) for piece in opened.pieces()] == [(0.0, 4096), (0.0, 904)]


@pytest.mark.parametrize("lost_bytes", [1, 5, 12])
def test_a_recording_that_was_cut_off_gives_what_is_whole(tmp_path: Path, lost_bytes: int) -> None:
    path = recorded(tmp_path / "new", Piece(0.0, b"first"), Piece(1.0, b"second"))
    path.write_bytes(path.read_bytes()[:-lost_bytes])
    assert list(open_recording(path).pieces()) == [Piece(0.0, b"first")]


def test_what_cannot_be_recorded_or_read_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = recorded(tmp_path / "new", Piece(0.0, b"abc"))
    with pytest.raises(BadSetting, match="already exists"):
        Recorder(path, driver="x", port="y")
    with pytest.raises(BadSetting, match="cannot write"):
        Recorder(tmp_path / "no" / "folder", driver="x", port="y")
    with pytest.raises(BadSetting, match="cannot read"):
        open_recording(tmp_path / "absent")
    (tmp_path / "head").write_bytes(recording.MAGIC + b"[]\n")
    with pytest.raises(BadSetting, match="its header"):
        open_recording(tmp_path / "head")
    (tmp_path / "head").write_bytes(recording.MAGIC + b"[" * 3000 + b"\n")
    with pytest.raises(BadSetting, match="its header"):
        open_recording(tmp_path / "head")
    with pytest.raises(BadSetting, match="cannot read"):
        open_recording(Path("/proc/self/mem"))
    path.write_bytes(path.read_bytes() + recording.PIECE.pack(0.0, 1 << 30))
    with pytest.raises(BadSetting, match="a piece of 1073741824 bytes"):
        list(open_recording(path).pieces())
    monkeypatch.setattr(recording, "CAP_BYTES", 10)
    full = Recorder(tmp_path / "full", driver="x", port="y")
    full.write(b"0123456789", 0.0)
    with pytest.raises(BadSetting, match="its limit"):
        full.write(b"0", 0.0)
    full.close()


def test_a_pause_ends_what_was_begun() -> None:
    codes = Replay(PROTOCOLS["qr-line"])
    expected = [it for _, it in codes.readings([Piece(0.0, b"one"), Piece(0.05, b"more"), Piece(1.0, b"two more")])]
    assert [line.text for line in expected if isinstance(line, ScannedLine)] == ["onemore", "two more"]

    spot, frame = Replay(PROTOCOLS["gy-mcu90614"]), gy_mcu90614(36.0, 25.0)
    readings = list(spot.readings([Piece(0.0, frame[:5]), Piece(2.0, frame[5:]), Piece(2.1, frame)]))
    assert [(at_s, type(reading)) for at_s, reading in readings] == [(2.1, SpotReading)]
    assert spot.counts["resync_bytes"] == len(frame)


def test_the_end_of_the_file_ends_everything() -> None:
    replay = Replay(PROTOCOLS["gy-mcu90614"])
    assert len(list(replay.readings([Piece(0.0, gy_mcu90614(36.0, 25.0) + b"\x5a\x5a\x45")]))) == 1
    assert replay.counts["resync_bytes"] == 3


@pytest.mark.parametrize("at_s", [float("nan"), float("inf"), -1.0, 0.5])
def test_a_time_that_cannot_be_is_damage(tmp_path: Path, at_s: float) -> None:
    path = recorded(tmp_path / "new", Piece(1.0, b"abc"), Piece(at_s, b"abc"))
    with pytest.raises(BadSetting, match="is damaged: a piece of second"):
        list(open_recording(path).pieces())


def test_a_recording_of_nothing_leaves_no_file(tmp_path: Path) -> None:
    assert not recorded(tmp_path / "new").exists()

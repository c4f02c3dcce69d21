from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.errors import ModelDamaged, ModelMissing, ModelUnknown, PackRefused, PackUnavailable
from models.packs.manifest import Archive, Pack, PackKind, read_manifest
from models.packs.packs import PackState, PackStore
from tests.models.fakes import FileServer


def pinned(content: bytes, address: str | None = None, *, commercial: bool = True) -> Pack:
    return Pack(
        name="tiny",
        file="tiny.onnx",
        kind=PackKind.FACE_DETECTOR,
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        licence="MIT" if commercial else "research only",
        commercial=commercial,
        source="made here",
        address=address,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "models"


@pytest.fixture
def store(file_server: FileServer, folder: Path) -> PackStore:
    return PackStore(folder, packs=[pinned(file_server.content, file_server.address)])


def test_the_manifest_pins_every_pack_once() -> None:
    packs = read_manifest()
    assert len({pack.name for pack in packs}) == len({pack.file for pack in packs}) == len(packs)
    assert {pack.name for pack in packs if not pack.commercial} == {"scrfd-500m", "mobilefacenet", "arcface-mbf"}


def test_the_manifest_fits_the_weights_beside_the_checkout(shared_weights: Path) -> None:
    states = {status.pack.name: status.state for status in PackStore(shared_weights).verify()}
    there = {"yunet-n", "yunet-s", "mobilefacenet", "minifasnet-v2", "minifasnet-v1se"}
    assert {states[name] for name in there} == {PackState.READY}


@pytest.mark.parametrize(
    "wrong",
    [{"address": "http://example.org/x"}, {"address": "file:///x"}, {"file": "../x"}, {"sha256": "12"}, {"bytes": 0}],
)
def test_an_invalid_pack_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"not|file"):
        replace(pinned(b"x"), **wrong)  # type: ignore[arg-type]


def test_pull_brings_the_file_and_shows_progress(store: PackStore, file_server: FileServer, folder: Path) -> None:
    (before,) = store.list()
    assert (before.state, before.path) == (PackState.MISSING, None)
    steps: list[tuple[int, int]] = []
    status = store.pull("tiny", progress=lambda done, size: steps.append((done, size)))
    assert (status.state, status.path) == (PackState.READY, folder / "tiny.onnx")
    assert store.find("tiny").read_bytes() == file_server.content
    assert steps == sorted(steps)
    assert steps[-1] == (300_000, 300_000)
    assert [path.name for path in folder.iterdir()] == ["tiny.onnx"]


def test_this_machine_is_not_asked_through_a_proxy(store: PackStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert store.pull("tiny").state is PackState.READY


def test_a_pack_that_is_there_is_not_fetched_again(store: PackStore, file_server: FileServer) -> None:
    store.pull("tiny")
    store.pull("tiny")
    assert len(file_server.asked) == 1


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_resumes(store: PackStore, file_server: FileServer, folder: Path, ranges: bool) -> None:
    file_server.cut_after, file_server.ranges = 100_000, ranges
    with pytest.raises(PackUnavailable, match="100000 of 300000"):
        store.pull("tiny")
    assert not (folder / "tiny.onnx").exists()
    assert store.pull("tiny").state is PackState.READY
    assert file_server.asked == [None, "bytes=100000-"]


@pytest.mark.parametrize("content", [b"x" * 300_000, b"x" * 299_999, b"x" * 400_000, b""])
def test_a_wrong_file_leaves_nothing(store: PackStore, file_server: FileServer, folder: Path, content: bytes) -> None:
    file_server.content = content
    with pytest.raises(ModelDamaged, match="discarded"):
        store.pull("tiny")
    assert list(folder.iterdir()) == []


def test_a_file_that_changed_between_two_tries_leaves_nothing(
    store: PackStore, file_server: FileServer, folder: Path
) -> None:
    file_server.cut_after = 100_000
    with pytest.raises(PackUnavailable):
        store.pull("tiny")
    file_server.content = b"y" * 300_000
    with pytest.raises(ModelDamaged):
        store.pull("tiny")
    assert list(folder.iterdir()) == []


def test_a_file_that_shrank_between_two_tries_is_started_afresh(store: PackStore, file_server: FileServer) -> None:
    whole = file_server.content
    file_server.cut_after = 100_000
    with pytest.raises(PackUnavailable):
        store.pull("tiny")
    file_server.content = b"short"
    with pytest.raises(PackUnavailable, match="416"):
        store.pull("tiny")
    file_server.content = whole
    assert store.pull("tiny").state is PackState.READY
    assert file_server.asked[-1] is None


def test_a_server_error_can_be_retried(store: PackStore, file_server: FileServer) -> None:
    file_server.status = 503
    with pytest.raises(PackUnavailable, match="503"):
        store.pull("tiny")


def test_an_unreachable_server_is_reported(folder: Path, unused_tcp_port: int) -> None:
    store = PackStore(folder, packs=[pinned(b"x", f"http://127.0.0.1:{unused_tcp_port}/x")])
    with pytest.raises(PackUnavailable, match="refused"):
        store.pull("tiny")


def test_a_pack_inside_an_archive(file_server: FileServer, folder: Path) -> None:
    weights = np.random.default_rng(5).bytes(1000)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("inside/model.onnx", weights)
        archive.writestr("other.onnx", b"other")
    file_server.content = packed.getvalue()
    outer = Archive("inside/model.onnx", len(file_server.content), hashlib.sha256(file_server.content).hexdigest())
    pack = replace(pinned(weights, file_server.address), archive=outer)
    status = PackStore(folder, packs=[pack]).pull("tiny")
    assert status.state is PackState.READY
    assert [path.name for path in folder.iterdir()] == ["tiny.onnx"]
    (folder / "tiny.onnx").unlink()
    with pytest.raises(ModelDamaged, match="discarded"):
        PackStore(folder, packs=[replace(pack, archive=replace(outer, member="other.onnx"))]).pull("tiny")
    assert list(folder.iterdir()) == []


def test_a_non_commercial_licence_must_be_accepted(file_server: FileServer, folder: Path, tmp_path: Path) -> None:
    store = PackStore(folder, packs=[pinned(file_server.content, file_server.address, commercial=False)])
    by_hand = tmp_path / "by-hand"
    by_hand.write_bytes(file_server.content)
    with pytest.raises(PackRefused, match="research only"):
        store.pull("tiny")
    with pytest.raises(PackRefused):
        store.add(by_hand)
    assert file_server.asked == []
    assert store.pull("tiny", accept_non_commercial=True).state is PackState.READY
    assert store.add(by_hand, accept_non_commercial=True).state is PackState.READY


def test_a_local_file_is_identified_by_its_checksum(folder: Path, tmp_path: Path) -> None:
    store = PackStore(folder, packs=[pinned(b"weights")])
    by_hand = tmp_path / "whatever.bin"
    by_hand.write_bytes(b"weights")
    assert store.add(by_hand).path == folder / "tiny.onnx"
    by_hand.write_bytes(b"other")
    with pytest.raises(ModelUnknown, match=r"whatever\.bin"):
        store.add(by_hand)
    with pytest.raises(ModelMissing):
        store.add(tmp_path / "nowhere")


def test_a_damaged_pack_is_detected_and_replaced(store: PackStore, folder: Path) -> None:
    store.pull("tiny")
    target = folder / "tiny.onnx"
    target.write_bytes(b"x" * 300_000)
    assert store.list()[0].state is PackState.READY  # by its size
    assert store.verify()[0].state is PackState.DAMAGED
    with pytest.raises(ModelDamaged, match=r"tiny\.onnx"):
        store.find("tiny")
    assert store.pull("tiny").state is PackState.READY


def test_unavailable_packs_are_reported(file_server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(ModelUnknown, match="tiny"):
        PackStore(tmp_path, packs=[pinned(b"x")]).pull("large")
    with pytest.raises(PackUnavailable, match="manually"):
        PackStore(tmp_path, packs=[pinned(b"x")]).pull("tiny")
    with pytest.raises(PackUnavailable, match="no data folder"):
        PackStore(None, packs=[pinned(b"x", file_server.address)]).pull("tiny")
    (tmp_path / "file").touch()
    with pytest.raises(PackUnavailable, match="cannot create"):
        PackStore(tmp_path / "file", packs=[pinned(b"x", file_server.address)]).pull("tiny")

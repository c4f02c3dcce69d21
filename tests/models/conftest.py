"""Fixtures: generated networks, a file server on loopback, and photos of installed packages."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tests.limits import HANG_S
from tests.models.fakes import FileHandler, FileServer, MakeNetwork


@pytest.fixture
def make_network(tmp_path: Path) -> MakeNetwork:
    """Writes a network that returns the same arrays for every picture."""

    def make(outputs: dict[str, NDArray[np.float32]], name: str = "network.onnx", size: int | None = None) -> Path:
        side = (size, size) if size else ("height", "width")
        picture = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, *side])
        nodes = [
            helper.make_node("Constant", [], [key], value=numpy_helper.from_array(value, key))
            for key, value in outputs.items()
        ]
        answers = [helper.make_tensor_value_info(k, TensorProto.FLOAT, v.shape) for k, v in outputs.items()]
        graph = helper.make_graph(nodes, "constant", [picture], answers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.save(model, tmp_path / name)
        return tmp_path / name

    return make


@pytest.fixture(scope="session")
def astronaut() -> Path:
    """A portrait of scikit-image: one bare face."""
    spec = importlib.util.find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "data" / "astronaut.png"


@pytest.fixture
def file_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    shop = FileServer(np.random.default_rng(3).bytes(300_000))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(FileHandler, shop=shop)) as server:
        shop.address = f"http://127.0.0.1:{server.server_port}/model.onnx"
        worker = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        worker.start()
        yield shop
        server.shutdown()
        worker.join(HANG_S)

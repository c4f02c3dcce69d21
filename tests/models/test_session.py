from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models.errors import ModelDamaged, ModelMissing
from models.session import OnnxSession
from tests.models.fakes import MakeNetwork

ROOT = Path(__file__).parents[2]


def test_runs_a_network_and_lists_its_ports(make_network: MakeNetwork) -> None:
    answer = np.arange(6, dtype=np.float32).reshape(1, 6)
    session = OnnxSession(make_network({"answer": answer}))
    assert [(port.name, port.shape, port.kind) for port in session.inputs] == [
        ("input", (1, 3, None, None), "tensor(float)")
    ]
    outputs = session.run({"input": np.zeros((1, 3, 8, 8), np.float32)})
    assert list(outputs) == ["answer"]
    assert outputs["answer"].tolist() == answer.tolist()


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"nowhere\.onnx"):
        OnnxSession(tmp_path / "nowhere.onnx")


@pytest.mark.parametrize("content", [b"", b"this is no model", None])
def test_a_damaged_file_is_damaged(make_network: MakeNetwork, content: bytes | None) -> None:
    path = make_network({"answer": np.zeros((1, 100), np.float32)})
    path.write_bytes(path.read_bytes()[:-200] if content is None else content)
    with pytest.raises(ModelDamaged, match=path.name):
        OnnxSession(path)


def test_the_runtime_stores_no_device_id_and_sends_no_telemetry(tmp_path: Path) -> None:
    code = "from models.detectors.face import make_detector; make_detector('sentinel')"
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, check=True)
    assert list(tmp_path.rglob("*")) == []

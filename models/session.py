"""Loads and runs ONNX networks: outside `training`, the only module that imports onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from models.errors import ModelDamaged, ModelMissing

#: errors of onnxruntime for a file that is not a network, is truncated or uses unsupported operators
_UNLOADABLE = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output of a network; a dynamic dimension is None."""

    name: str
    shape: tuple[int | None, ...]
    kind: str  # in the notation of onnxruntime: "tensor(float)", "tensor(uint8)"


class OnnxSession:
    """One loaded network on the CPU. `run` blocks: call it from one worker thread.

    Raises ModelMissing when the file does not exist, ModelDamaged when it cannot be loaded.
    """

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        if not path.is_file():
            raise ModelMissing(f"no model file {path}")
        try:
            self.raw: Any = ort.InferenceSession(str(path), _options(threads), providers=["CPUExecutionProvider"])
        except _UNLOADABLE as exc:
            raise ModelDamaged(f"{path} is not a usable model: {exc}") from exc
        self.inputs = tuple(_port(node) for node in self.raw.get_inputs())
        self.outputs = tuple(_port(node) for node in self.raw.get_outputs())
        self._names = [port.name for port in self.outputs]

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """All outputs by name, for `inputs` by name."""
        return dict(zip(self._names, self.raw.run(self._names, dict(inputs)), strict=True))


def _options(threads: int) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # a spinning thread pool would occupy a core of a two-core box between frames
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # measured on YuNet-s at 640 px: arena without patterns +27 MiB, with patterns +43, no arena +51 to +116; same speed
    options.enable_cpu_mem_arena = True
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    return options


def _port(node: Any) -> Port:
    shape = tuple(size if isinstance(size, int) else None for size in node.shape)
    return Port(node.name, shape, node.type)

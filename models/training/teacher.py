"""YuNet-n as teacher: its dense outputs on every training canvas are soft targets. None of its weights are used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort

from models.training.data import Floats, Pixels

STRIDES = (8, 16, 32)
#: score; box dx dy log-w log-h; five landmarks dx dy: in strides from the cell's corner
COLUMNS = 15


class Teacher:
    """Outputs (n, anchors, 15) float32 for pictures (n, s, s, 3) uint8 BGR, finest stride first, row by row."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._session: ort.InferenceSession | None = None

    def __call__(self, images: Pixels) -> Floats:
        if self._session is None:
            # opened on first use: a session does not survive the fork into a loader's worker
            options = ort.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            self._session = ort.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"])
        feed = np.ascontiguousarray(images.transpose(0, 3, 1, 2).astype(np.float32))
        names = [o.name for o in self._session.get_outputs()]
        out = dict(zip(names, self._session.run(None, {self._session.get_inputs()[0].name: feed}), strict=True))
        rows = []
        for s in STRIDES:
            score = np.sqrt(np.clip(out[f"cls_{s}"] * out[f"obj_{s}"], 0, 1))
            rows.append(np.concatenate([score, out[f"bbox_{s}"], out[f"kps_{s}"]], -1))
        return np.concatenate(rows, 1)

"""What the tests of registered faces stand on: tiny networks that know a face by its colours, and drawn faces."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge_agent.faces.consent import Consent, Giver
from edge_agent.faces.gallery import Galleries, Gallery
from edge_agent.faces.register import FaceEntry
from models.detections import Face, MaskScores
from models.recognition.embedding import Embedder, EmbedderEntry, FaceEmbedders, FaceVectors
from models.recognition.liveness import Liveness
from models.recognition.upper_face import UpperFaceEmbedder
from models.session import OnnxSession

NOW = datetime(2026, 11, 25, 8, 0, tzinfo=UTC)
RED, BLUE = (60, 60, 230), (240, 120, 40)
BARE, MASKED = MaskScores(0.0, 0.0, 1.0), MaskScores(1.0, 0.0, 0.0)
#: the middle of the eyes, the nose and the mouth of a face of 100 px
_PLACES = np.array(((30, 40), (70, 40), (50, 62), (34, 80), (66, 80)), np.float32)

Image = NDArray[np.uint8]


def agreed(days: int = 30, given: datetime = NOW) -> Consent:
    """A consent from `given`."""
    return Consent(Giver.SELF, given, given + timedelta(days=days))


def key_of(number: int) -> str:
    """A person key."""
    return f"{number:064x}"


def unit(*values: float) -> NDArray[np.float32]:
    """The unit vector in that direction."""
    return np.asarray(np.array(values) / np.linalg.norm(values), np.float32)


def drawn(colour: tuple[int, int, int], *, mask: MaskScores = BARE, size: float = 100.0) -> tuple[Image, Face]:
    """A picture with one drawn face of a colour, and that face."""
    image = np.full((240, 320, 3), 90, np.uint8)
    scale, corner = size / 100, np.array((110, 60), np.float32)
    points = _PLACES * scale + corner
    cv2.ellipse(
        image,
        (round(110 + size / 2), round(60 + size / 2)),
        (round(size * 0.55), round(size * 0.7)),
        0,
        0,
        360,
        colour,
        -1,
    )
    for x, y in points:
        cv2.circle(image, (round(float(x)), round(float(y))), max(2, round(size / 16)), (20, 20, 20), -1)
    return image, Face((110.0, 60.0, size, size), 0.9, points, mask)


def colour_embedder(folder: Path) -> Embedder:
    """Knows faces by their mean colour."""
    mean = helper.make_node("ReduceMean", ["input"], ["out"], axes=[2, 3], keepdims=0)
    choice = EmbedderEntry((127.5, 127.5, 127.5), (127.5, 127.5, 127.5), 0.9)
    return Embedder("colour", choice, OnnxSession(_saved(folder / "colour.onnx", [mean], 112)))


def colour_embedders(folder: Path) -> FaceEmbedders:
    """Knows whole faces and upper halves by their mean colour."""
    whole = colour_embedder(folder)
    affine = np.vstack((np.zeros(6), np.diag((0, 0, 0, 1, 1, 1)))).astype(np.float32)
    return FaceEmbedders(whole, UpperFaceEmbedder("colour-upper", 0.9, whole, affine))


def liveness(folder: Path, score: float) -> Liveness:
    """Finds every face living by `score`."""
    said = np.log(np.array([[(1 - score) / 2, score, (1 - score) / 2]], np.float32))
    node = helper.make_node("Constant", [], ["out"], value=numpy_helper.from_array(said, "out"))
    return Liveness([(OnnxSession(_saved(folder / f"live-{score}.onnx", [node], 80)), 2.7)])


def galleries_of(embedders: FaceEmbedders, *colours: tuple[int, int, int]) -> Galleries:
    """Persons 1, 2, … with the drawn faces of these colours."""
    vectors = [
        embedders.embed(image, face.landmarks) for image, face in map(drawn, colours) if face.landmarks is not None
    ]
    keys = [key_of(number) for number in range(1, len(colours) + 1)]
    upper = [(key, each.upper) for key, each in zip(keys, vectors, strict=True) if each.upper is not None]
    return Galleries(
        Gallery.of([(key, each.whole) for key, each in zip(keys, vectors, strict=True)]), Gallery.of(upper)
    )


def entry_of(
    number: int, whole: NDArray[np.float32], pack: str = "one", upper: NDArray[np.float32] | None = None
) -> FaceEntry:
    """An entry of a register."""
    return FaceEntry(key_of(number), FaceVectors(whole, upper), pack, None if upper is None else f"{pack}-upper")


def masked(colour: tuple[int, int, int], cloth: tuple[int, int, int]) -> tuple[Image, Face]:
    """A drawn face whose lower half is under cloth."""
    image, face = drawn(colour, mask=MASKED)
    cv2.rectangle(image, (105, 122), (215, 185), cloth, -1)
    return image, face


def _saved(path: Path, nodes: list[onnx.NodeProto], side: int) -> Path:
    picture = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, side, side])
    answer = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 3])
    graph = helper.make_graph(nodes, "stand", [picture], [answer])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path

"""Loads the embeddings of one pack by its name."""

from __future__ import annotations

from pathlib import Path

from models.errors import ModelUnknown
from models.packs.packs import PackStore
from models.recognition.embedding import ARCFACE, EMBEDDINGS, Embedder, FaceEmbedders
from models.recognition.upper_face import UpperFaceEmbedder, read_affine
from models.session import OnnxSession


def make_embedders(
    name: str,
    *,
    threads: int = 1,
    data_dir: Path | None = None,
    accept_non_commercial: bool = False,
    threshold: float = 0.0,
    masked_threshold: float = 0.0,
) -> FaceEmbedders:
    """Load the embeddings of the pack `name`; a threshold of 0 is that of the pack.

    Raises ModelUnknown, ModelMissing, ModelDamaged, ExtraMissing or PackRefused (a non-commercial pack that was
    not accepted).
    """
    if name not in EMBEDDINGS and name not in ARCFACE:
        raise ModelUnknown(f"no embedding '{name}'; there are {', '.join((*EMBEDDINGS, *ARCFACE))}")
    store = PackStore(data_dir)
    store.check_extra(name)
    store.check_licence(name, accept_non_commercial=accept_non_commercial)
    path = store.find(name)
    session = OnnxSession(path, threads=threads)
    if name in ARCFACE:
        from models.recognition.arcface import ArcFaceEmbedder  # insightface: import it only when used

        return FaceEmbedders(ArcFaceEmbedder(name, threshold or ARCFACE[name], path, session))
    entry = EMBEDDINGS[name]
    whole = Embedder(name, entry, session, threshold or None)
    if entry.upper is None:
        return FaceEmbedders(whole)
    affine = read_affine(store.find(entry.upper.pack))
    upper = UpperFaceEmbedder(entry.upper.pack, masked_threshold or entry.upper.threshold, whole, affine)
    return FaceEmbedders(whole, upper)

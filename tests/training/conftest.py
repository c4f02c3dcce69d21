"""A small album of drawn scenes."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.training.data import Album, prepare
from models.training.masks import Wardrobe
from tests.training.drawn import FACE, scene


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """faces.jsonl and PNGs: forty scenes, and of ten of them a smaller, re-saved twin in another folder."""
    root = tmp_path_factory.mktemp("faces")
    rows = []
    for k in range(50):
        twin = k >= 40
        folder = ("street", "crowd", "portrait", "news")[k % 4]
        image = scene(k - 40 if twin else k)
        face = {"box": [28.0, 22.0, 44.0, 60.0], "mask": ("correct", "incorrect", "none")[k % 3], **FACE}
        if twin:
            folder = ("crowd", "portrait")[k % 2]
            image = np.asarray(cv2.resize(image, (96, 84), interpolation=cv2.INTER_AREA), np.uint8)
            face = {**face, "box": [21.0, 16.0, 33.0, 45.0], "landmarks": None}
        face["teacher_score"] = 0.9
        (root / folder).mkdir(exist_ok=True)
        cv2.imwrite(str(root / folder / f"{k}.png"), image)
        row = {
            "image": f"{folder}/{k}.png",
            "width": image.shape[1],
            "height": image.shape[0],
            "unlabelled_faces": [],
        }
        row |= {"faces": [], "teacher_faces": [face]} if folder == "news" else {"faces": [face]}
        rows.append(row)
    (root / "faces.jsonl").write_text("\n".join(json.dumps(r) for r in rows), encoding="utf-8")
    return root


@pytest.fixture(scope="session")
def album(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Album:
    folder = tmp_path_factory.mktemp("album")
    prepare(pictures, folder)
    return Album(folder)


@pytest.fixture(scope="session")
def wardrobe(tmp_path_factory: pytest.TempPathFactory) -> Wardrobe:
    """One plain green mask for every direction."""
    folder = tmp_path_factory.mktemp("masks")
    image = np.zeros((80, 120, 4), np.uint8)
    image[5:75, 8:112] = (60, 200, 60, 255)
    cv2.imwrite(str(folder / "plain.png"), image)
    return Wardrobe(folder)

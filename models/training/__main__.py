"""`python -m models.training prepare | train | export | evaluate`: from the pictures to the ONNX files."""

from __future__ import annotations

import argparse
import json
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2

from models.training import data


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m models.training", description=__doc__)
    verbs = top.add_subparsers(dest="verb", required=True)
    prepare = verbs.add_parser("prepare", help="decode the pictures into a private folder and split them")
    train = verbs.add_parser("train", help="train one network; Ctrl-C or SIGTERM stops it, --resume continues")
    export = verbs.add_parser("export", help="write a checkpoint's averaged weights as ONNX")
    evaluate = verbs.add_parser("evaluate", help="measure the ONNX files on the held-out pictures")
    for verb in (prepare, train, export, evaluate):
        verb.add_argument("--work", type=Path, required=True, help="private folder for caches and checkpoints")
    for verb in (prepare, train):
        verb.add_argument("--data", type=Path, default=Path("../shared/training"), help="the training data")
    for verb in (train, export):
        verb.add_argument("--net", choices=("detector", "classifier"), default="detector")
        verb.add_argument("--checkpoint", help="checkpoint's name; default: the net's")
    _train_options(train)
    export.add_argument("--out", type=Path, required=True, help="the ONNX file")
    export.add_argument(
        "--offsets",
        type=float,
        nargs=3,
        default=[0.0, 0.0, 0.0],
        metavar=("CORRECT", "INCORRECT", "NONE"),
        help="added to the mask logits: training data has a larger share of badly worn masks than real scenes",
    )
    evaluate.add_argument("--detector", type=Path, required=True)
    evaluate.add_argument("--classifier", type=Path, help="second stage; without it the detector's own mask rows count")
    evaluate.add_argument("--fuse", type=float, default=0.5, help="weight of the second stage's answer, 0..1")
    evaluate.add_argument("--yunet", type=Path, help="yunet_n_dynamic.onnx to compare with")
    evaluate.add_argument("--size", type=int, default=320)
    evaluate.add_argument("--json", type=Path, help="write the metrics here; the confusion table is written beside it")
    return top


def _train_options(train: argparse.ArgumentParser) -> None:
    train.add_argument("--teacher", type=Path, help="yunet_n_dynamic.onnx, whose answers become soft targets")
    train.add_argument("--resume", action="store_true", help="continue from the checkpoint")
    train.add_argument("--steps", type=int, help="end of the schedule")
    train.add_argument("--minutes", type=float, help="end of the schedule in minutes of work, if that is sooner")
    train.add_argument("--batch", type=int)
    train.add_argument("--rate", type=float, help="peak learning rate")
    train.add_argument("--seed", type=int)
    train.add_argument("--workers", type=int, help="processes that draw pictures")
    train.add_argument("--threads", type=int, help="threads of the trainer; 1 is best on a shared machine")
    train.add_argument("--device", choices=("cpu", "cuda"))


def run_prepare(args: argparse.Namespace) -> None:
    """Decode and split."""
    print(json.dumps(data.prepare(args.data / "faces", args.work / "album")))


def run_train(args: argparse.Namespace) -> None:
    """Train one network until its schedule ends or it is asked to stop."""
    # torch is a training-only extra: the other verbs run without it
    from models.training import augment, classifier, crops, detector, masks, net
    from models.training.teacher import Teacher
    from models.training.train import Settings, train

    # before the first use: the thread pool of OpenCV does not survive the fork of the loader's workers
    cv2.setNumThreads(0)
    given = {k: getattr(args, k) for k in Settings.__dataclass_fields__ if getattr(args, k, None) is not None}
    settings = Settings(**given)
    album = data.Album(args.work / "album")
    wardrobe = masks.Wardrobe(args.data / "mask_templates")
    path = args.work / f"{args.checkpoint or args.net}.pt"
    resume = path if args.resume else None
    if args.net == "classifier":
        cutter = crops.Cutter(album, album.training(), wardrobe)
        crop_batches = classifier.CropBatches(cutter, settings.batch)
        train(net.MaskNet(), crop_batches, classifier.loss_of, path, settings, resume)
        return
    painter = augment.Painter(album, album.training(), wardrobe)
    teaching = Teacher(args.teacher) if args.teacher else None
    batches = detector.DetectorBatches(painter, settings.batch, teaching)
    train(net.FaceNet(), batches, detector.loss_of, path, settings, resume)


def run_export(args: argparse.Namespace) -> None:
    """Write one ONNX file."""
    from models.training import export, net

    path = args.work / f"{args.checkpoint or args.net}.pt"
    if args.net == "classifier":
        export.export_masks(export.load_ema(net.MaskNet(), path), args.out, args.offsets)
    else:
        export.export_faces(export.load_ema(net.FaceNet(), path), args.out, args.offsets)
    print(f"{args.out}: {args.out.stat().st_size} bytes")


def run_evaluate(args: argparse.Namespace) -> None:
    """Measure and print JSON; the confusion table is logged and written beside the JSON file."""
    from models.training import evaluate

    album = data.Album(args.work / "album")
    report = evaluate.evaluate(album, args.detector, args.classifier, args.yunet, args.size, args.fuse)
    text = json.dumps(_jsonable(report), indent=1, allow_nan=False)
    print(text)
    table = evaluate.table(report)
    logging.info("\n%s", table)
    if args.json:
        args.json.write_text(text, encoding="utf-8")
        args.json.with_suffix(".txt").write_text(table, encoding="utf-8")


def _jsonable(value: Any) -> Any:
    """Rounded metrics; the metric of an empty set becomes null."""
    if isinstance(value, dict):
        return {k: _jsonable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(v) for v in value]
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value


VERBS: dict[str, Callable[[argparse.Namespace], None]] = {
    "prepare": run_prepare,
    "train": run_train,
    "export": run_export,
    "evaluate": run_evaluate,
}


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    args = parser().parse_args()
    VERBS[args.verb](args)


if __name__ == "__main__":
    main()

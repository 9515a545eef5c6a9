"""How long an epoch of stage 2 takes with and without remembering the features of the frozen encoder.

Made-up images, no augmentation, fresh weights: only the time matters. Both are trained in one process, one
epoch after the other in turn; the first epoch of each, which fills the memory, is told apart. Prints one
JSON object.

    python benchmarks/frozen_features.py [--device cpu] [--precision auto] [--images 16] [--batch 4]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from src_model.config import AugmentConfig, TrainConfig
from src_model.training.sources import Sources, load_sources
from src_model.training.stage_work import Compute, StageWork
from src_model.training.stages import plan_stages


def write_images(root: Path, images: int, side: int) -> None:
    """Noise with a bright square each."""
    rng = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (root / folder).mkdir()
    for number in range(images):
        mask = np.zeros((side, side), np.uint8)
        y, x = rng.integers(0, side // 2, 2)
        mask[y : y + side // 3, x : x + side // 3] = 1
        image = rng.integers(0, 120, (side, side, 3)) + mask[..., None] * 100
        Image.fromarray(image.astype(np.uint8)).save(root / "images" / f"{number}.png")
        Image.fromarray(mask).save(root / "labels" / f"{number}.png")


def make_work(config: TrainConfig, sources: Sources, *, remember: bool) -> StageWork:
    """Stage 2 on fresh weights."""
    compute = Compute.resolve(config)
    stage = plan_stages(config).stages[1]
    work = StageWork(
        config, stage, sources, compute, micro_batch=config.batch_size, base=None, between=lambda: None
    )
    if not remember:
        work.features = work.stepper.features = None
    elif work.features is None:
        raise SystemExit("There is too little free memory for the features; give fewer images.")
    return work


def epoch_seconds(work: StageWork, epoch: int) -> float:
    """Training and validation."""
    start = time.perf_counter()
    work.start_epoch()
    batches = work.batches(epoch)
    for number, indices in enumerate(batches, start=1):
        work.step(indices, epoch, number, len(batches))
    work.end_epoch(epoch, lambda: 0.0)
    if work.compute.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=2, help="after the first one")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder), given.images, given.side)
        config = TrainConfig.parse(
            {
                "data": {"root": folder, "image_size": given.side, "validation_fraction": 0.25},
                "out": Path(folder) / "run",
                "augment": dict.fromkeys(AugmentConfig.model_fields, 0.0),
                "batch_size": given.batch,
                "device": given.device,
                "precision": given.precision,
            }
        )
        sources = load_sources(config)
    works = [make_work(config, sources, remember=remember) for remember in (False, True)]
    rows = [[epoch_seconds(work, epoch) for work in works] for epoch in range(1, given.epochs + 2)]
    first, later = rows[0], [statistics.median(column) for column in zip(*rows[1:], strict=True)]
    row = {
        "images": [len(sources.training), len(sources.validation)],
        "side": given.side,
        "batch": given.batch,
        "device": str(works[0].compute.device),
        "precision": works[0].compute.precision,
        "first_epoch_seconds_without_and_with": [round(seconds, 3) for seconds in first],
        "later_epoch_seconds_without_and_with": [round(seconds, 3) for seconds in later],
        "ratio": round(later[0] / later[1], 2),
    }
    print(json.dumps(row, indent=2))


if __name__ == "__main__":
    main()

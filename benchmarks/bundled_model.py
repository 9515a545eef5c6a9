"""Makes the model that comes with the plugin from a training run, and measures it.

Writes the run's model in half precision, with its last epochs as history, and prints the two tables of its
model card: what the file is, and its Dice and object F1 by stain on a folder of pairs that took no part in
the training.

    python benchmarks/bundled_model.py RUN/model.safetensors OUT.safetensors --test FOLDER
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from src_model import load_checkpoint, save_checkpoint, segment
from src_model.config import ClassInfo
from src_model.data.image_io import read_image, read_mask
from src_model.data.layouts import find_cases
from src_model.errors import OutputError, UTANetError
from src_model.files import atomic_path
from src_model.metrics.instances import object_f1
from src_model.metrics.pixel import dice
from src_model.models.profile import count_parameters

LARGEST = 12_000_000
"""Bytes that the file may take."""
EPOCHS_KEPT = 3
"""So many last epochs stay in its history."""


@dataclass(frozen=True)
class Score:
    """Agreement with the truth on one image."""

    image: str
    stain: str
    dice: float
    f1: float


def bundle(source: Path, out: Path) -> Path:
    """Write the model of ``source`` in half precision to ``out``.

    Raises
    ------
    CheckpointError, OutputError
        When the model cannot be read or halved, or its file would be too large.
    """
    whole = load_checkpoint(source)
    with atomic_path(out) as temporary:
        save_checkpoint(
            temporary,
            whole.model,
            classes=[ClassInfo(name="nucleus")],
            normalisation=whole.normalisation,
            pixel_size_um=whole.pixel_size_um,
            history=whole.history[-EPOCHS_KEPT:],
            training=whole.training,
            half=True,
        )
        size = temporary.stat().st_size
        if size > LARGEST:
            raise OutputError(f"{out} would take {size:,} bytes but at most {LARGEST:,} may be bundled.")
    return out


def measure(checkpoint: Path, folder: Path) -> list[Score]:
    """Segment the pairs of ``folder`` as the product does, with and without separated objects."""
    cases = find_cases(folder).cases
    images = [case.image for case in cases]
    masks, objects = (_masks(images, checkpoint, instances=instances) for instances in (False, True))
    scores = []
    for case, mask, numbered in zip(cases, masks, objects, strict=True):
        truth = read_mask(case.mask)
        stain = stain_of(read_image(case.image))
        scores.append(Score(case.image.name, stain, dice(mask, truth), object_f1(numbered, truth)))
    return scores


def stain_of(image: np.ndarray) -> str:
    """Colour pictures are stained tissue, pictures of equal channels are fluorescence."""
    colored = image.ndim == 3 and (image != image[..., :1]).any()
    return "H&E-like" if colored else "fluorescence"


def fact_table(checkpoint: Path) -> Iterator[str]:
    """The lines of a Markdown table: what the file is."""
    model = load_checkpoint(checkpoint).model
    yield "| | |"
    yield "|---|---|"
    yield f"| network | `{model.name}`, stage {model.stage}, {count_parameters(model):,} parameters |"
    yield f"| file | {checkpoint.stat().st_size:,} bytes, half precision |"
    yield f"| SHA-256 | `{hashlib.sha256(checkpoint.read_bytes()).hexdigest()}` |"


def score_table(scores: Sequence[Score]) -> Iterator[str]:
    """The lines of a Markdown table: the scores of each stain, then of all."""
    yield "| stain | images | mean Dice | mean F1 (IoU > 0.5) | worst image |"
    yield "|---|---|---|---|---|"
    for stain in (*sorted({score.stain for score in scores}), "all"):
        rows = [score for score in scores if stain in (score.stain, "all")]
        worst = min(rows, key=lambda score: score.dice)
        means = f"{np.mean([row.dice for row in rows]):.3f} | {np.mean([row.f1 for row in rows]):.3f}"
        yield (
            f"| {stain} | {len(rows)} | {means} | `{worst.image}`: Dice {worst.dice:.3f}, F1 {worst.f1:.3f} |"
        )


def main() -> None:
    """Write the file and print its tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, metavar="RUN/model.safetensors")
    parser.add_argument("out", type=Path, metavar="OUT.safetensors")
    parser.add_argument("--test", type=Path, required=True, metavar="FOLDER", help="images/ and labels/")
    given = parser.parse_args()
    try:
        path = bundle(given.source, given.out)
        print("\n".join(fact_table(path)), end="\n\n")
        print("\n".join(score_table(measure(path, given.test))))
    except UTANetError as error:
        sys.exit(str(error))


def _masks(images: Sequence[Path], checkpoint: Path, **options: Any) -> list[np.ndarray]:
    """One mask for each image."""
    *_, last = segment(images, checkpoint, **options)
    return [result.mask for result in last.results]


if __name__ == "__main__":
    main()

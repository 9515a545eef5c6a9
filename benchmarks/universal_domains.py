"""Trains one 3D U2-Net on two organs, adds a third, and shows that the first two are untouched.

``python benchmarks/universal_domains.py TASK04_FOLDER OUT`` trains on the hippocampus volumes and on a
synthetic dataset (ellipsoids) in turn, then adapts the network to another synthetic one (tubes). It prints
the Dice of each domain on its held-out volumes before and after, and the share of the parameters that one
domain adds, here and at the size of the paper. Interrupted, it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

from src_model import create_model, load_checkpoint, train
from src_model.config import TrainConfig
from src_model.data.decathlon import read_decathlon
from src_model.data.volume_set import VolumeSet
from src_model.events import EpochFinished
from src_model.files import atomic_write_text
from src_model.inference.volume import predict_volume
from src_model.metrics.pixel import dice
from src_model.models.profile import count_parameters
from src_model.models.universal3d import U2Net3D
from src_model.training.volume_sources import divide

PATCH = (32, 48, 32)
SHAPE = (40, 44, 36)
CASES = 16
PAPER = {"heart": (1, 2), "liver": (1, 2), "hippocampus": (1, 3), "prostate": (2, 3), "pancreas": (1, 2)}
"""Channels of images and logits of five Decathlon tasks; tumours count to their organ."""


def ellipsoid(rng: np.random.Generator, grid: np.ndarray) -> np.ndarray:
    """A mask: 1 = an ellipsoid, 2 = the core in it."""
    centre = rng.uniform(0.4, 0.6, 3) * SHAPE
    radius = rng.uniform(6, 12, 3)
    distance = np.sqrt((((grid - centre) / radius) ** 2).sum(-1))
    return (distance < 1).astype(np.uint8) + (distance < 0.5)


def tube(rng: np.random.Generator, grid: np.ndarray) -> np.ndarray:
    """A mask: 1 = a winding tube along the first axis."""
    along = grid[..., 0] / SHAPE[0] * 2 * np.pi
    phase, turn = rng.uniform(0, 2 * np.pi, 2), rng.uniform(2, 6, 2)
    y, x = (SHAPE[n + 1] / 2 + turn[n] * np.sin(along + phase[n]) for n in (0, 1))
    return (np.hypot(grid[..., 1] - y, grid[..., 2] - x) < rng.uniform(3, 5)).astype(np.uint8)


def write_dataset(root: Path, labels: Sequence[str], draw: Callable[..., np.ndarray], noise: float) -> Path:
    """Noisy volumes in the layout of the Medical Segmentation Decathlon; once."""
    if (root / "dataset.json").is_file():
        return root
    rng = np.random.default_rng(len(root.name))
    grid = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1).astype(float)
    entries = []
    for number in range(CASES):
        mask = draw(rng, grid)
        image = 100 + 40 * mask + rng.normal(0, noise, SHAPE)
        entry = {
            key: f"./{part}/case_{number}.nii.gz"
            for key, part in (("image", "imagesTr"), ("label", "labelsTr"))
        }
        for key, values in (("image", image.astype(np.float32)), ("label", mask.astype(np.uint8))):
            path = root / entry[key]
            path.parent.mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(values, np.eye(4)), path)
        entries.append(entry)
    description = {
        "name": root.name.split("_")[1],
        "modality": {"0": "synthetic"},
        "labels": {str(number): name for number, name in enumerate(["background", *labels])},
        "training": entries,
    }
    atomic_write_text(root / "dataset.json", json.dumps(description, indent=1))
    return root


def run(out: Path, roots: Sequence[Path], model: dict[str, Any], epochs: int) -> TrainConfig:
    """Train, or go on, and print the epochs."""
    config = TrainConfig.parse(
        {
            "data": {"root": roots[0], "more_roots": roots[1:]},
            "out": out,
            "model": {"name": "u2net3d", **model},
            "volume": {"patch_size": PATCH},
            "stage1": {"epochs": epochs, "learning_rate": 5e-3, "weight_decay": 1e-4},
            "batch_size": 2,
            "resume": (out / "config.yaml").is_file(),
        }
    )
    for event in train(config):
        if isinstance(event, EpochFinished):
            print(
                f"{out.name} epoch {event.epoch}/{epochs}: {event.domain_dice}, {event.seconds:.0f} s",
                flush=True,
            )
    return config


def scores(checkpoint: Path, root: Path, config: TrainConfig) -> dict[str, float]:
    """Mean Dice of each class over the held-out volumes of one dataset."""
    opened = load_checkpoint(checkpoint)
    dataset = read_decathlon(root)
    domain = dataset.name.lower()
    _, held_out = divide(dataset, config.data, config.seed)
    classes = len(dataset.classes)
    volumes = VolumeSet(
        held_out, patch_size=PATCH, num_classes=classes, normalisation=opened.domains[domain].normalisation
    )
    found = []
    for place in range(len(held_out)):
        whole = volumes.whole(place)
        mask = predict_volume(opened.model, whole.image, domain=domain, patch_size=PATCH).argmax(0)
        found.append([dice(mask == k, whole.mask == k) for k in range(1, classes)])
    return dict(zip(dataset.classes[1:], np.mean(found, axis=0).tolist(), strict=True))


def shares(model: U2Net3D, name: str) -> dict[str, Any]:
    """Parameters of a network, and what one of its domains adds."""
    own = sum(p.numel() for p in model.domain_parameters(name))
    return {"all": count_parameters(model), "one domain": own, "share": own / count_parameters(model)}


def at_the_papers_size() -> dict[str, Any]:
    """Five poolings, 16 base channels, five domains, against five independent networks."""
    domains = {
        name: {"in_channels": channels, "num_classes": classes} for name, (channels, classes) in PAPER.items()
    }
    with torch.device("meta"):
        universal = create_model("u2net3d", domains=domains)
        independent = create_model("u2net3d", domains=domains, mode="independent")
    assert isinstance(universal, U2Net3D)
    five = count_parameters(independent)
    added = shares(universal, "heart")
    return {
        **added,
        "five independent": five,
        "universal of five independent": count_parameters(universal) / five,
        "one domain of one independent": added["one domain"] / (five / 5),
    }


def main() -> None:
    """Train, adapt, compare, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("hippocampus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, default=10)
    arguments = parser.parse_args()
    out: Path = arguments.out
    first = write_dataset(out / "data" / "Task90_Ellipsoids", ["shell", "core"], ellipsoid, 20)
    third = write_dataset(out / "data" / "Task91_Tubes", ["tube"], tube, 20)
    old = [arguments.hippocampus, first]
    size = {"options": {"base_channels": 8, "poolings": [3, 3, 3]}}
    config = run(out / "universal", old, size, arguments.epochs)
    before = out / "universal" / "model.safetensors"
    adapted = run(out / "adapted", [third], {"adapt_from": before}, arguments.epochs)
    after = out / "adapted" / "model.safetensors"
    model = load_checkpoint(after).model
    assert isinstance(model, U2Net3D)
    report = {
        "before": {root.name: scores(before, root, config) for root in old},
        "after": {root.name: scores(after, root, config) for root in old},
        "added": {third.name: scores(after, third, adapted)},
        "here": shares(model, "tubes"),
        "paper": at_the_papers_size(),
    }
    assert report["before"] == report["after"], "the old domains have changed"
    atomic_write_text(out / "report.json", json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()

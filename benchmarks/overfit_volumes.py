"""Overfits the 3D U2-Net to four hippocampus volumes and writes the curve as JSON.

``python benchmarks/overfit_volumes.py TASK04_FOLDER OUT.json`` takes about five minutes of one CPU core.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from monai.losses import DiceLoss
from torch import Tensor

from src_model.data.decathlon import read_decathlon
from src_model.data.volume_augment import VolumeAugment
from src_model.data.volume_set import VolumeSet
from src_model.inference.volume import predict_volume
from src_model.models.profile import count_parameters
from src_model.models.registry import create_model
from src_model.models.universal3d import U2Net3D

PATCH = (32, 48, 32)
STILL = VolumeAugment(flip=0, affine=0, intensity=0, noise=0)


def loss_of(model: U2Net3D, image: Tensor, mask: Tensor, dice: DiceLoss) -> Tensor:
    """Cross-entropy and Dice of the logits and, with their weights, of the side outputs."""
    result = model(image, domain="hippocampus")
    weights = (1.0, *model.auxiliary_weights)
    total = torch.zeros(())
    for weight, logits in zip(weights, (result.logits, *result.auxiliary), strict=True):
        logits = logits.float()
        total = total + weight * (F.cross_entropy(logits, mask) + dice(logits, mask[:, None]))
    return total / sum(weights)


def scores(model: U2Net3D, volumes: VolumeSet, classes: int) -> list[list[float]]:
    """Dice of each foreground class on each whole volume."""
    model.eval()
    table = []
    for place in range(len(volumes.cases)):
        whole = volumes.whole(place)
        found = predict_volume(
            model, whole.image, domain="hippocampus", patch_size=PATCH, overlap=0.25
        ).argmax(0)
        both = [(found == k, whole.mask == k) for k in range(1, classes)]
        table.append([float(2 * np.sum(a & b) / max(np.sum(a) + np.sum(b), 1)) for a, b in both])
    model.train()
    return table


def main() -> None:
    """Train, print and write the curve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seconds", type=float, default=900)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    found = read_decathlon(arguments.data)
    classes = len(found.classes)
    volumes = VolumeSet(found.cases[:4], patch_size=PATCH, num_classes=classes, augment=STILL)
    model = create_model(
        "u2net3d",
        domains={"hippocampus": {"in_channels": 1, "num_classes": classes}},
        base_channels=8,
        poolings=(3, 3, 3),
    )
    assert isinstance(model, U2Net3D)
    dice = DiceLoss(softmax=True, to_onehot_y=True, include_background=False)
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=1e-4)
    curve, start, epoch, step = [], time.perf_counter(), 0, 0
    while step < arguments.steps and time.perf_counter() - start < arguments.seconds:
        for index in volumes.order(1, epoch):
            optimiser.param_groups[0]["lr"] = 5e-3 * 0.5 * (1 + math.cos(math.pi * step / arguments.steps))
            sample = volumes.sample(1, epoch, index)
            optimiser.zero_grad()
            loss = loss_of(
                model, torch.from_numpy(sample.image)[None], torch.from_numpy(sample.mask)[None], dice
            )
            loss.backward()
            optimiser.step()
            step += 1
        epoch += 1
        if epoch % 25 == 0 or step >= arguments.steps:
            seconds = time.perf_counter() - start
            mean = float(np.mean(scores(model, volumes, classes)))
            curve.append(
                {"step": step, "loss": float(loss.detach()), "dice": mean, "seconds": round(seconds, 1)}
            )
            print(curve[-1], flush=True)
    table = scores(model, volumes, classes)
    report = {
        "network": model.config,
        "parameters": count_parameters(model),
        "cases": [case.id for case in volumes.cases],
        "classes": found.classes[1:],
        "dice": table,
        "mean_dice": float(np.mean(table)),
        "curve": curve,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"mean Dice {report['mean_dice']:.4f}")


if __name__ == "__main__":
    main()

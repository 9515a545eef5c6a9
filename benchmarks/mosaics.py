"""Large pictures with known answers, put together from the pairs of a folder; for halo.py and seams.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from src_model.data.image_io import read_image, read_mask
from src_model.data.layouts import find_cases
from src_model.inference.network import Network, classes
from src_model.inference.pieces import trained_side
from src_model.inference.prepare import Preparation, resize_image
from src_model.tiling.plan import Box

THRESHOLD = 0.5


@dataclass(frozen=True, eq=False)
class Mosaic:
    """Images side by side, at the resolution at which a network was trained."""

    image: NDArray[np.float32]
    """``(C, Y, X)`` as the network takes it."""
    truth: NDArray[np.bool_]
    """``(Y, X)``: foreground."""

    @property
    def whole(self) -> Box:
        """All of it."""
        return Box(0, 0, *self.truth.shape)

    def part(self, box: Box) -> NDArray[np.float32]:
        """``(1, C, box.height, box.width)``."""
        return self.image[(np.newaxis, slice(None), *box.slices)]


class Tester:
    """A trained network in float32, as Segment runs it."""

    def __init__(self, checkpoint: Path) -> None:
        self.network = Network(checkpoint, device="cpu", precision="float32")
        self.model = self.network.model

    def logits(self, image: NDArray[np.float32], part: Box | None = None) -> Tensor:
        """``(B, C, Y, X)`` to ``(B, K, Y, X)``, of a part only where one is given."""
        return self.network.logits(image, part=part)

    def mask(self, mosaic: Mosaic, box: Box | None = None, part: Box | None = None) -> NDArray[np.uint8]:
        """Classes of one box of a mosaic, or of a part of it, seen without what lies around the box."""
        logits = self.logits(mosaic.part(box or mosaic.whole), part)
        values: NDArray[np.uint8] = classes(logits[0], THRESHOLD).numpy()
        return values

    def mosaics(self, folder: Path, side: int, count: int) -> list[Mosaic]:
        """Squares of that side, each of other images of the folder as long as there are enough."""
        pairs = [(read_image(case.image), read_mask(case.mask) > 0) for case in find_cases(folder).cases]
        order = np.random.default_rng(0).permutation(len(pairs))
        trained = trained_side(self.network.training)
        chosen = [_resized(*pairs[n], trained) if trained else pairs[n] for n in order]
        made, start = [], 0
        for _ in range(count):
            image, truth, start = _square(chosen, side, start)
            prepare = Preparation.of(image, self.network)
            made.append(Mosaic(prepare(image), truth))
        return made


def _resized(image: NDArray[Any], truth: NDArray[np.bool_], side: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """As the network sees whole images in training."""
    small = resize_image(image.astype(np.float32), side).round().clip(0, 255).astype(image.dtype)
    return small, resize_image(truth[..., np.newaxis].astype(np.float32), side)[..., 0] > 0.5


def _square(
    pairs: Sequence[tuple[NDArray[Any], NDArray[Any]]], side: int, start: int
) -> tuple[NDArray[Any], NDArray[np.bool_], int]:
    """Rows of images from number ``start`` on; also the number of the next one."""
    first = pairs[0][0]
    picture = np.zeros((side, side, *first.shape[2:]), first.dtype)
    answer = np.zeros((side, side), bool)
    y = 0
    while y < side:
        x, height = 0, side
        while x < side:
            image, truth = pairs[start % len(pairs)]
            start += 1
            h, w = min(image.shape[0], side - y), min(image.shape[1], side - x)
            picture[y : y + h, x : x + w], answer[y : y + h, x : x + w] = image[:h, :w], truth[:h, :w]
            x, height = x + w, min(height, h)
        y += height
    return picture, answer, start


def dice(mask: NDArray[Any], truth: NDArray[np.bool_]) -> float:
    """Of the foreground of a whole mosaic."""
    found = mask > 0
    return float(2 * (found & truth).sum() / max(found.sum() + truth.sum(), 1))


def calm() -> None:
    """One thread, and random numbers that repeat."""
    torch.set_num_threads(1)
    torch.manual_seed(0)

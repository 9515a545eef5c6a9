"""Small deterministic networks whose answer can be foretold, and checkpoints that hold them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from src_model.config import Normalisation
from src_model.models.base import SegmentationModel
from src_model.models.checkpoint import Checkpoint
from src_model.models.skips import Segmentation

PLAIN = Normalisation(mean=(0.0,), std=(1.0,))


class Brightness(SegmentationModel):
    """Foreground where the mean of the channels, averaged over ``window`` pixels, is above 0.5.

    With more than one class: the class k whose level k / (K - 1) is nearest.
    """

    name = "brightness"

    def __init__(
        self, in_channels: int = 3, num_classes: int = 1, *, window: int = 1, multiple: int = 1
    ) -> None:
        super().__init__(in_channels, num_classes, 1, {"window": window, "multiple": multiple})
        self.required_multiple = multiple
        self.average = nn.Conv2d(in_channels, 1, window, padding=window // 2, bias=False)
        nn.init.constant_(self.average.weight, 1 / (in_channels * window**2))
        self.seen: list[tuple[int, ...]] = []

    @property
    def top_k(self) -> int:
        return 1

    def forward(
        self, x: Tensor, *, top_k: Any = None, routing: Any = None, domain: Any = None
    ) -> Segmentation:
        self.check_input(x)
        self.seen.append(tuple(x.shape))
        value = self.average(x)
        if self.num_classes == 1:
            logits = 10 * (value - 0.5)
        else:
            levels = torch.linspace(0, 1, self.num_classes).view(1, -1, 1, 1)
            logits = -100 * (value - levels) ** 2
        return Segmentation(logits, x.new_zeros(()))


def checkpoint_of(model: SegmentationModel, **values: Any) -> Checkpoint:
    """A checkpoint in memory."""
    defaults: dict[str, Any] = {
        "config": model.config,
        "classes": (),
        "normalisation": PLAIN,
        "pixel_size_um": None,
        "history": (),
        "versions": {},
        "training": {},
    }
    return Checkpoint(model=model.eval(), **(defaults | values))


def bright_checkpoint(in_channels: int = 3, num_classes: int = 1, **options: Any) -> Checkpoint:
    """A checkpoint of a :class:`Brightness` network; ``training`` goes to the checkpoint."""
    training = options.pop("training", {})
    return checkpoint_of(Brightness(in_channels, num_classes, **options), training=training)


@pytest.fixture(scope="session")
def bright() -> Callable[..., Checkpoint]:
    """Makes a checkpoint of a network that finds bright pixels: ``bright(channels, classes)``."""
    return bright_checkpoint


@pytest.fixture(scope="session")
def wrapped() -> Callable[..., Checkpoint]:
    """Makes a checkpoint in memory of any network."""
    return checkpoint_of


@pytest.fixture(scope="session")
def noise() -> np.ndarray:
    """(70, 90) uint8, all grey levels."""
    return np.random.default_rng(0).integers(0, 256, (70, 90), dtype=np.uint8)

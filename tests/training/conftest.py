"""A small dataset on disk and small configurations, so that whole runs take a second or two."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from src_model.config import TrainConfig
from src_model.nested import merge

MakeConfig = Callable[..., TrainConfig]


def write_dataset(root: Path, *, pairs: int = 8, classes: int = 1) -> Path:
    """Pairs of 40x48 RGB images and masks: bright rectangles on a dark, noisy ground."""
    rng = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    for number in range(pairs):
        mask = np.zeros((40, 48), np.uint8)
        for value in range(1, classes + 1):
            y, x = rng.integers(0, 24, 2)
            mask[y : y + 14, x : x + 16] = value
        image = rng.integers(0, 60, (40, 48, 3)) + (mask > 0)[..., None] * 90 + mask[..., None] * 20
        Image.fromarray(image.astype(np.uint8)).save(root / "images" / f"case{number}.png")
        Image.fromarray(mask).save(root / "labels" / f"case{number}.png")
    return root


def small_config(root: Path, out: Path, **changes: Any) -> TrainConfig:
    """UTANet with 4 channels at the first level, 3 steps an epoch, 2 + 2 epochs."""
    stage = {"epochs": 2, "learning_rate": 3e-3, "weight_decay": 1e-4}
    values = {
        "data": {"root": root, "image_size": 32, "sampling": "crop", "validation_fraction": 0.25},
        "out": out,
        "model": {"options": {"base_channels": 4, "mixture_width": 4}},
        "batch_size": 2,
        "stage1": stage,
        "stage2": stage,
        "device": "cpu",
        "report": False,
    }
    return TrainConfig.parse(merge(values, changes))


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight pairs of one class."""
    return write_dataset(tmp_path_factory.mktemp("pairs") / "data")


@pytest.fixture
def write_pairs() -> Callable[..., Path]:
    """``write_dataset`` for tests that need other images."""
    return write_dataset


@pytest.fixture
def make_config(dataset: Path, tmp_path: Path) -> MakeConfig:
    """``small_config`` on the small dataset; changes are laid over it."""

    def make(out: str = "run", **changes: Any) -> TrainConfig:
        return small_config(dataset, tmp_path / out, **changes)

    return make

"""A small slide, and a network whose answer can be foretold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from src_model.models.checkpoint import Checkpoint
from tests.made_slides import pyramid, tissue, write_pyramid
from tests.made_work import HEIGHT, WIDTH


@pytest.fixture(scope="session")
def pixels() -> np.ndarray:
    return tissue(HEIGHT, WIDTH)


@pytest.fixture
def slide(tmp_path: Path, pixels: np.ndarray) -> Path:
    size = {"resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER"}  # 0.5 micrometres
    return write_pyramid(tmp_path / "case.tif", pyramid(pixels, 3), **size)


@pytest.fixture
def model(bright: Callable[..., Checkpoint]) -> Checkpoint:
    return bright(3, window=9, multiple=4)

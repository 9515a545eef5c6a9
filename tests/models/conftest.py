"""Small networks and random images for the tests of the models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from src_model.models.registry import create_model
from src_model.models.utanet import UTANet


@pytest.fixture(autouse=True)
def _fixed_random_numbers() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture
def small_utanet() -> Callable[..., UTANet]:
    """Make a UTANet with 4 channels in the first level, in evaluation mode."""

    def make(**arguments: Any) -> UTANet:
        model = create_model("utanet", **{"base_channels": 4, "mixture_width": 8, **arguments})
        assert isinstance(model, UTANet)
        return model.eval()

    return make

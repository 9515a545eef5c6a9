"""Requests and images that cannot work: one clear sentence each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from src_model import create_model, segment
from src_model.errors import (
    CheckpointError,
    ConfigError,
    DeviceError,
    ImageError,
    ModelError,
    UTANetError,
)
from src_model.models.checkpoint import Checkpoint

MakeCheckpoint = Callable[..., Checkpoint]


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"threshold": 1.5}, ConfigError, "threshold must be from 0 to 1 but got 1.5"),
        ({"threshold": float("nan")}, ConfigError, "threshold must be from 0 to 1 but got nan"),
        ({"tile": 8}, ConfigError, "tile must be a whole number of at least 32 but got 8"),
        ({"halo": -1}, ConfigError, "halo must be a whole number of at least 0 but got -1"),
        ({"batch_size": 0}, ConfigError, "batch_size must be a whole number of at least 1 but got 0"),
        ({"roi": (1, 2, 3)}, ConfigError, "four whole numbers"),
        ({"roi": (60, 0, 40, 10)}, ImageError, "x=60, y=0, width=40, height=10 is not inside .* 90 x 70"),
        ({"roi": (0, 0, 0, 10)}, ImageError, "width=0"),
        ({"roi": (-1, 0, 5, 5)}, ImageError, "x=-1"),
        ({"axes": "ZYX"}, ImageError, "'ZYX' name 3 axes but the image has 2"),
        ({"device": "abacus"}, DeviceError, "abacus"),
        (
            {"precision": "float8"},
            ConfigError,
            "precision must be auto, float32, bfloat16 or float16 .*float8",
        ),
    ],
)
def test_a_setting_out_of_bounds_is_named_with_its_value(
    bright: MakeCheckpoint,
    noise: np.ndarray,
    options: dict[str, Any],
    error: type[UTANetError],
    sentence: str,
) -> None:
    with pytest.raises(error, match=sentence):
        list(segment(noise, bright(1), **({"device": "cpu"} | options)))


@pytest.mark.parametrize("top_k", [0, 5])
def test_top_k_beyond_the_experts_names_their_number(
    wrapped: MakeCheckpoint, noise: np.ndarray, top_k: int
) -> None:
    checkpoint = wrapped(create_model("utanet", base_channels=4, mixture_width=4))

    with pytest.raises(ModelError, match=f"from 1 to 4 .* but got {top_k}"):
        list(segment(noise, checkpoint, top_k=top_k, device="cpu"))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((0, 10), np.uint8),
        np.ones((1, 1), np.uint8),
        np.full((20, 20), 7, np.uint8),
        np.full((20, 20), np.nan, np.float32),
        np.ones((20, 20), complex),
        np.array([["a", "b"], ["c", "d"]]),
        np.arange(10),
    ],
    ids=["empty", "1x1", "constant", "all NaN", "complex", "text", "one axis"],
)
def test_an_array_without_an_image_is_refused(bright: MakeCheckpoint, image: np.ndarray) -> None:
    with pytest.raises(ImageError):
        list(segment(image, bright(1), device="cpu"))


def test_a_constant_stack_is_refused(bright: MakeCheckpoint) -> None:
    with pytest.raises(ImageError):
        list(segment(np.full((3, 20, 20), 7, np.uint8), bright(1), device="cpu"))


def test_five_channels_into_a_model_of_three_names_both_numbers(bright: MakeCheckpoint) -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 5), dtype=np.uint8)

    with pytest.raises(ImageError, match=r"5 channels.* 3"):
        list(segment(image, bright(3), device="cpu"))


def test_something_that_is_no_checkpoint_is_named(noise: np.ndarray) -> None:
    with pytest.raises(CheckpointError, match="Expected a checkpoint or the path of one but got int"):
        list(segment(noise, 5, device="cpu"))  # type: ignore[arg-type]

"""Looking inside the mixture: maps that lie over the image, and the routers' choices."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from torch import nn

from src_model import create_model, explain, segment
from src_model.errors import ImageError, ModelError, Stopped
from src_model.events import Control, SegmentationFinished
from src_model.inference.explain import write_explanation
from src_model.models.checkpoint import Checkpoint

MakeCheckpoint = Callable[..., Checkpoint]


@pytest.fixture(scope="module")
def small(wrapped: MakeCheckpoint) -> Checkpoint:
    """A small UTANet with fixed random weights."""
    torch.manual_seed(3)
    return wrapped(create_model("utanet", base_channels=8, mixture_width=8))


def spot(shape: tuple[int, int], y: int, x: int) -> np.ndarray:
    """A bright spot on black, (H, W) uint8."""
    rows, columns = np.indices(shape)
    return np.where((rows - y) ** 2 + (columns - x) ** 2 <= 25, 255, 0).astype(np.uint8)


def test_each_router_marks_top_k_experts_and_its_weights_sum_to_one(small: Checkpoint) -> None:
    for top_k in (1, 2, 3, 4):
        explanation = explain(spot((50, 60), 20, 20), small, top_k=top_k, device="cpu")

        assert explanation.selected.shape == (4, 4)
        assert (explanation.selected.sum(1) == top_k).all()
        np.testing.assert_allclose(explanation.routing_weights.sum(1), 1, rtol=1e-5)
        np.testing.assert_allclose(explanation.routing_probabilities.sum(1), 1, rtol=1e-5)
        assert ((explanation.routing_weights > 0) == explanation.selected).all()


def test_the_mask_is_that_of_segment(small: Checkpoint) -> None:
    image = np.random.default_rng(0).integers(0, 256, (45, 61, 3), dtype=np.uint8)
    *_, last = segment(image, small, device="cpu", precision="float32")

    explanation = explain(image, small, device="cpu")

    assert isinstance(last, SegmentationFinished)
    assert explanation.mask.shape == (45, 61)
    np.testing.assert_array_equal(explanation.mask, last.results[0].mask)


@pytest.mark.parametrize("shape", [(64, 96), (45, 61)])
def test_the_grid_of_the_maps_covers_the_image(small: Checkpoint, shape: tuple[int, int]) -> None:
    explanation = explain(spot(shape, 20, 20), small, device="cpu")

    assert explanation.expert_maps.shape == (4, -(-shape[0] // 2), -(-shape[1] // 2))
    assert explanation.expert_maps.dtype == np.float32
    assert (explanation.expert_maps >= 0).all()
    assert explanation.grid_scale == (2.0, 2.0)
    assert explanation.grid_offset == (0.5, 0.5)


@pytest.mark.parametrize("training", [{}, {"sampling": "resize", "image_size": 64}])
def test_a_spot_lies_under_the_response_of_the_experts(
    wrapped: MakeCheckpoint, training: dict[str, Any]
) -> None:
    model = create_model("utanet", base_channels=8, mixture_width=8)
    model.mixture.fuse[0].weight.data[:, 8:] = 0  # the experts see the finest level alone
    for layer in model.encoder.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.data += layer.weight.data.flip(-2, -1)  # no side is preferred: responses are centred
    checkpoint, shape = wrapped(model, training=training), (96, 160)
    background = explain(spot(shape, 5, 5), checkpoint, device="cpu").expert_maps

    for y, x in [(60, 50), (44, 120)]:
        image = np.maximum(spot(shape, 5, 5), spot(shape, y, x))
        explanation = explain(image, checkpoint, device="cpu")

        change = np.abs(explanation.expert_maps - background).mean(0)
        rows, columns = np.indices(change.shape)
        centre = np.array([(change * rows).sum(), (change * columns).sum()]) / change.sum()
        place = np.array(explanation.grid_offset) + np.array(explanation.grid_scale) * centre
        np.testing.assert_allclose(place, (y, x), atol=0.5)


def test_resized_maps_lie_over_the_whole_image(wrapped: MakeCheckpoint, small: Checkpoint) -> None:
    checkpoint = wrapped(small.model, training={"sampling": "resize", "image_size": 32})

    explanation = explain(spot((96, 160), 40, 40), checkpoint, device="cpu")

    assert explanation.expert_maps.shape == (4, 16, 16)
    assert explanation.grid_scale == (6.0, 10.0)
    assert explanation.grid_offset == (2.5, 4.5)
    assert explanation.mask.shape == (96, 160)


def test_the_single_channels_are_kept_on_request(small: Checkpoint) -> None:
    image = spot((40, 40), 20, 20)

    explanation = explain(image, small, raw=True, device="cpu")

    assert explanation.raw_maps is not None
    assert explanation.raw_maps.shape == (4, 8, 20, 20)
    np.testing.assert_allclose(np.abs(explanation.raw_maps).mean(1), explanation.expert_maps, rtol=1e-5)
    assert explain(image, small, device="cpu").raw_maps is None


def test_a_network_of_stage_1_has_nothing_to_explain(wrapped: MakeCheckpoint) -> None:
    plain = wrapped(create_model("utanet", stage=1, base_channels=4))

    with pytest.raises(ModelError, match=r"'utanet' .*\(stage 1\) has no mixture.*stage 2"):
        explain(spot((40, 40), 20, 20), plain, device="cpu")


def test_a_stack_is_refused_with_a_remedy(small: Checkpoint) -> None:
    with pytest.raises(ImageError, match="choose one plane"):
        explain(np.stack([spot((40, 40), 20, 20)] * 5), small, device="cpu")


def test_a_stack_of_one_plane_is_explained(small: Checkpoint) -> None:
    explanation = explain(spot((40, 40), 20, 20)[np.newaxis], small, axes="ZYX", device="cpu")

    assert explanation.mask.shape == (40, 40)


def test_an_image_that_is_too_large_names_its_size(small: Checkpoint) -> None:
    image = np.zeros((4, 2049), np.uint8)
    image[0, 0] = 1

    with pytest.raises(ImageError, match=r"2049 x 4 pixels is too large .* 2048 x 2048"):
        explain(image, small, device="cpu")


@pytest.mark.parametrize("top_k", [0, 5])
def test_top_k_beyond_the_experts_is_refused(small: Checkpoint, top_k: int) -> None:
    with pytest.raises(ModelError, match=f"from 1 to 4 .* got {top_k}"):
        explain(spot((40, 40), 20, 20), small, top_k=top_k, device="cpu")


def test_an_explanation_is_written_as_maps_and_numbers(small: Checkpoint, tmp_path: Path) -> None:
    explanation = explain(spot((40, 40), 20, 20), small, device="cpu")

    maps, routing = write_explanation(explanation, tmp_path / "out", "cells")

    assert (maps.name, routing.name) == ("cells_experts.tif", "cells_routing.json")
    np.testing.assert_array_equal(tifffile.imread(maps), explanation.expert_maps)
    written = json.loads(routing.read_text())
    assert written["selected"] == explanation.selected.tolist()
    assert written["grid_offset_yx"] == [0.5, 0.5]


def test_a_stop_ends_the_look_inside(small: Checkpoint) -> None:
    control = Control()
    control.stop()

    with pytest.raises(Stopped):
        explain(spot((40, 40), 20, 20), small, device="cpu", control=control)

"""Segmenting arrays: what each kind of image gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from src_model import create_model, segment
from src_model.events import ImageSegmented, SegmentationFinished
from src_model.models.checkpoint import Checkpoint

MakeCheckpoint = Callable[..., Checkpoint]


def result_of(image: Any, checkpoint: Checkpoint, **options: Any) -> ImageSegmented:
    last = list(segment(image, checkpoint, device="cpu", precision="float32", **options))[-1]
    assert isinstance(last, SegmentationFinished)
    return last.results[0]


def mask_of(image: Any, checkpoint: Checkpoint, **options: Any) -> np.ndarray:
    mask = result_of(image, checkpoint, **options).mask
    assert mask is not None
    return mask


def test_a_grey_image_is_repeated_for_an_rgb_model(bright: MakeCheckpoint, noise: np.ndarray) -> None:
    mask = mask_of(noise, bright(3))

    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, noise > 127)


def test_rgb_and_rgba_give_the_same_mask(bright: MakeCheckpoint, noise: np.ndarray) -> None:
    rgb = np.stack([noise, noise // 2, 255 - noise // 3], -1)
    rgba = np.concatenate([rgb, np.full_like(rgb[..., :1], 3)], -1)

    mask = mask_of(rgb, bright(3))

    np.testing.assert_array_equal(mask, rgb.astype(float).mean(-1) > 127.5)
    np.testing.assert_array_equal(mask_of(rgba, bright(3)), mask)


def test_a_colour_image_serves_a_model_of_one_channel(bright: MakeCheckpoint, noise: np.ndarray) -> None:
    grey_as_rgb = np.stack([noise] * 3, -1)

    np.testing.assert_array_equal(mask_of(grey_as_rgb, bright(1)), mask_of(noise, bright(1)))


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32, np.float64])
def test_the_mask_does_not_depend_on_the_units_of_intensity(
    bright: MakeCheckpoint, noise: np.ndarray, dtype: type
) -> None:
    expected = mask_of(noise.astype(np.float32), bright(1))

    mask = mask_of((noise.astype(np.float64) * 100 + 300).astype(dtype), bright(1))

    assert 0.4 < mask.mean() < 0.6
    np.testing.assert_array_equal(mask, expected)


def test_a_model_trained_on_stretched_images_sees_a_dim_one_stretched(
    bright: MakeCheckpoint, noise: np.ndarray
) -> None:
    dim = noise // 5 + 3

    mask = mask_of(dim, bright(1, training={"intensity_range": "image"}))

    assert not mask_of(dim, bright(1)).any()
    np.testing.assert_array_equal(mask, dim > (dim.max() + dim.min()) / 2)


def test_five_channels_serve_a_model_of_five(bright: MakeCheckpoint, noise: np.ndarray) -> None:
    channels = np.stack([np.roll(noise, shift, 0) for shift in range(5)], -1)

    mask = mask_of(channels, bright(5))

    np.testing.assert_array_equal(mask, channels.astype(float).mean(-1) > 127.5)
    np.testing.assert_array_equal(mask_of(np.moveaxis(channels, -1, 0), bright(5)), mask)


def test_pixels_that_are_not_numbers_do_no_harm(bright: MakeCheckpoint, noise: np.ndarray) -> None:
    image = noise.astype(np.float32)
    image[:3] = np.nan

    mask = mask_of(image, bright(1))

    assert not mask[:3].any()
    assert 0.4 < mask[3:].mean() < 0.6


def test_a_stack_is_segmented_plane_by_plane(bright: MakeCheckpoint, noise: np.ndarray) -> None:
    stack = np.stack([[noise, 255 - noise, noise // 2], [noise, noise, noise]])

    result = result_of(stack, bright(1), probability=True)

    assert result.mask is not None
    assert result.probability is not None
    assert result.mask.shape == (2, 3, 70, 90)
    assert result.probability.shape == (1, 2, 3, 70, 90)
    np.testing.assert_array_equal(result.mask, stack > 127)


def test_a_plane_without_contrast_is_background(bright: MakeCheckpoint, noise: np.ndarray) -> None:
    stack = np.stack([noise, np.full_like(noise, 255), noise])

    events = list(segment(stack, bright(1), device="cpu"))

    result = events[-1].results[0]  # type: ignore[attr-defined]
    assert not result.mask[1].any()
    assert result.mask[2].any()
    assert not [event for event in events if event.kind == "warned"]


def test_a_plane_of_nan_is_background(bright: MakeCheckpoint, noise: np.ndarray) -> None:
    stack = np.stack([noise.astype(np.float32), np.full(noise.shape, np.nan, np.float32)])

    mask = mask_of(stack, bright(1))

    assert mask[0].any()
    assert not mask[1].any()


def test_axes_named_by_the_user_are_followed(bright: MakeCheckpoint, noise: np.ndarray) -> None:
    rgb = np.stack([noise, noise // 2, noise // 3])

    mask = mask_of(rgb, bright(3), axes="CYX")

    np.testing.assert_array_equal(mask, mask_of(np.moveaxis(rgb, 0, -1), bright(3)))


def test_the_threshold_moves_the_border(bright: MakeCheckpoint, noise: np.ndarray) -> None:
    shares = [result_of(noise, bright(1), threshold=value).foreground for value in (0.1, 0.5, 0.9)]

    assert shares[0] > shares[1] > shares[2]
    assert mask_of(noise, bright(1), threshold=1.0).max() == 0


def test_several_classes_give_their_numbers_and_probabilities(
    bright: MakeCheckpoint, noise: np.ndarray
) -> None:
    result = result_of(noise, bright(1, 3), probability=True)

    assert result.mask is not None
    assert result.probability is not None
    np.testing.assert_array_equal(result.mask, np.round(noise / 255 * 2))
    assert result.probability.shape == (2, 70, 90)
    assert (result.probability.sum(0) <= 1 + 1e-6).all()
    np.testing.assert_array_equal(result.probability[1] > 0.5, result.mask == 2)


def test_the_probability_crosses_the_threshold_where_the_mask_begins(
    bright: MakeCheckpoint, noise: np.ndarray
) -> None:
    result = result_of(noise, bright(1), probability=True, threshold=0.7, tile=32, halo=0)

    assert result.probability is not None
    assert result.probability.dtype == np.float32
    np.testing.assert_array_equal(result.probability[0] > 0.7, result.mask)


@settings(max_examples=25)
@given(
    height=st.integers(2, 100), width=st.integers(2, 100), tile=st.integers(32, 64), batch=st.integers(1, 3)
)
def test_tiles_with_a_sufficient_halo_give_exactly_the_whole(
    bright: MakeCheckpoint, height: int, width: int, tile: int, batch: int
) -> None:
    image = np.random.default_rng(height * width).integers(0, 256, (height, width), dtype=np.uint8)
    image[0, 0] = 255 - image[0, 1]
    checkpoint = bright(1, window=7, multiple=4)

    tiled = mask_of(image, checkpoint, tile=tile, halo=3, batch_size=batch)

    np.testing.assert_array_equal(tiled, mask_of(image, checkpoint))


def test_a_halo_that_is_too_small_shows_seams(bright: MakeCheckpoint, noise: np.ndarray) -> None:
    checkpoint = bright(1, window=7)

    tiled = mask_of(noise, checkpoint, tile=32, halo=0)

    assert (tiled != mask_of(noise, checkpoint)).any()


@pytest.mark.parametrize(("halo", "enough"), [(3, True), (0, False)])
def test_tiles_have_the_context_that_their_network_asks_for(
    bright: MakeCheckpoint, noise: np.ndarray, monkeypatch: pytest.MonkeyPatch, halo: int, enough: bool
) -> None:
    checkpoint = bright(1, window=7)
    monkeypatch.setattr(type(checkpoint.model), "halo", halo)

    tiled = mask_of(noise, checkpoint, tile=32)

    assert np.array_equal(tiled, mask_of(noise, checkpoint)) == enough


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("options", [{}, {"tile": 32, "halo": 4}])
def test_a_region_gives_the_crop_of_the_whole_result(
    bright: MakeCheckpoint, noise: np.ndarray, dtype: type, options: dict[str, int]
) -> None:
    image, checkpoint = noise.astype(dtype) * 3, bright(1, window=5)

    region = mask_of(image, checkpoint, roi=(13, 21, 40, 33), **options)

    np.testing.assert_array_equal(region, mask_of(image, checkpoint)[21:54, 13:53])


def test_objects_are_numbered_on_through_a_stack(bright: MakeCheckpoint) -> None:
    stack = np.zeros((2, 40, 40), np.uint8)
    for plane, (y, x) in [(0, (10, 10)), (0, (28, 28)), (1, (20, 20))]:
        stack[plane, y - 5 : y + 5, x - 5 : x + 5] = 255

    result = result_of(stack, bright(1), instances=True)

    assert result.mask is not None
    assert result.mask.dtype == np.uint32
    assert result.objects == 3
    assert set(np.unique(result.mask[0])) == {0, 1, 2}
    assert set(np.unique(result.mask[1])) == {0, 3}


def test_a_model_trained_on_resized_images_sees_them_resized(bright: MakeCheckpoint) -> None:
    rows, columns = np.indices((90, 150))
    image = (((rows // 30 + columns // 50) % 2) * 255).astype(np.uint8)
    checkpoint = bright(1, training={"sampling": "resize", "image_size": 48})

    mask = mask_of(image, checkpoint)
    region = mask_of(image, checkpoint, roi=(20, 10, 100, 70))

    assert (mask == (image > 127)).mean() > 0.95
    np.testing.assert_array_equal(region, mask[10:80, 20:120])


@pytest.mark.parametrize("stage", [1, 2])
def test_the_real_network_segments_an_image_of_odd_size(wrapped: MakeCheckpoint, stage: int) -> None:
    model = create_model("utanet", stage=stage, base_channels=4, mixture_width=4)
    image = np.random.default_rng(1).integers(0, 256, (37, 53, 3), dtype=np.uint8)

    result = result_of(image, wrapped(model), probability=True)

    assert result.mask is not None
    assert result.probability is not None
    assert result.mask.shape == (37, 53)
    assert np.isfinite(result.probability).all()


def test_top_k_reaches_the_real_network(wrapped: MakeCheckpoint) -> None:
    torch.manual_seed(0)
    model = create_model("utanet", top_k=1, base_channels=4, mixture_width=4)
    image = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)

    one, four = (result_of(image, wrapped(model), probability=True, top_k=k) for k in (1, 4))

    assert one.probability is not None
    assert np.abs(one.probability - four.probability).max() > 0

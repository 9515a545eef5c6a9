"""Surface distances agree with counting by hand, with brute force and with MONAI."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from monai.metrics import compute_hausdorff_distance
from scipy.spatial.distance import cdist
from skimage.metrics import hausdorff_distance

from src_model.metrics.surface import hausdorff, hd95, surface_distances

MASKS = array_shapes(min_dims=2, max_dims=3, min_side=3, max_side=7).flatmap(
    lambda shape: st.tuples(arrays(bool, shape), arrays(bool, shape))
)


def brute_force_surface(mask: np.ndarray) -> np.ndarray:
    """Coordinates of foreground pixels with a background neighbour along an axis."""
    padded = np.pad(mask, 1)
    return np.array(
        [
            place
            for place in np.argwhere(mask)
            if not all(
                padded[tuple(place + 1 + step * np.eye(mask.ndim, dtype=int)[axis])]
                for axis in range(mask.ndim)
                for step in (-1, 1)
            )
        ]
    )


def test_two_squares_side_by_side_are_as_far_apart_as_their_outer_edges() -> None:
    left, right = np.zeros((5, 12)), np.zeros((5, 12))
    left[1:4, 1:4] = right[1:4, 6:9] = 1

    assert hausdorff(left, right) == 5.0
    assert hausdorff(left, right, spacing=(1.0, 0.5)) == 2.5
    assert 4.0 <= hd95(left, right) <= 5.0


def test_a_lone_pixel_far_away_counts_for_the_maximum_but_hardly_for_95_percent() -> None:
    truth = np.zeros((64, 64))
    truth[20:40, 20:40] = 1
    speck = truth.copy()
    speck[60, 60] = 1

    assert hausdorff(speck, truth) == pytest.approx(np.hypot(21, 21))
    assert hd95(speck, truth) == 0.0


def test_empty_masks_have_a_stated_value() -> None:
    empty, full = np.zeros((4, 5)), np.ones((4, 5))

    assert hd95(empty, empty) == 0.0
    assert hd95(full, empty) == hd95(empty, full) == 5.0
    assert hd95(full, empty, spacing=(2.0, 2.0)) == 10.0
    assert hd95(full, full) == 0.0


@settings(max_examples=60)
@given(MASKS)
def test_distances_are_those_of_brute_force(masks: tuple[np.ndarray, np.ndarray]) -> None:
    prediction, truth = masks
    spacing = (0.7, 1.3, 2.0)[: prediction.ndim]

    to_truth, to_prediction = surface_distances(prediction, truth, spacing)

    if prediction.any() and truth.any():
        points = [brute_force_surface(mask) * spacing for mask in masks]
        between = cdist(*points)
        np.testing.assert_allclose(np.sort(to_truth), np.sort(between.min(1)))
        np.testing.assert_allclose(np.sort(to_prediction), np.sort(between.min(0)))
    else:
        assert len(to_truth) == len(to_prediction) == 0


@pytest.mark.filterwarnings("ignore:monai.metrics.utils get_mask_edges:FutureWarning")  # MONAI's own
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 1.0, 0.5)])
def test_the_larger_directed_percentile_is_that_of_monai(seed: int, spacing: tuple[float, ...]) -> None:
    rng = np.random.default_rng(seed)
    prediction, truth = (rng.random((10, 12, 14)) > 0.7 for _ in range(2))

    directed = [np.percentile(part, 95) for part in surface_distances(prediction, truth, spacing)]

    as_monai = [torch.from_numpy(mask)[None, None].float() for mask in (prediction, truth)]
    expected = compute_hausdorff_distance(
        *as_monai, include_background=True, percentile=95, spacing=list(spacing)
    )
    assert max(directed) == pytest.approx(float(expected), abs=1e-5)
    assert hd95(prediction, truth, spacing) <= max(directed) + 1e-9


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("shape", [(25, 31), (9, 10, 11)])
def test_the_largest_distance_is_that_of_scikit_image(seed: int, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(seed)
    prediction, truth = (rng.random(shape) > 0.8 for _ in range(2))
    surfaces = [np.zeros(shape, bool), np.zeros(shape, bool)]
    for surface, mask in zip(surfaces, (prediction, truth), strict=True):
        surface[tuple(brute_force_surface(mask).T)] = True

    distance = hausdorff(prediction, truth)

    assert distance == pytest.approx(hausdorff_distance(*surfaces))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 3\) but the truth has \(3, 2\)"):
        hd95(np.ones((2, 3)), np.ones((3, 2)))
    with pytest.raises(ValueError, match="Expected 2 spacings above 0 but got"):
        hd95(np.ones((2, 3)), np.ones((2, 3)), spacing=(1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="Expected 2 spacings above 0"):
        hd95(np.ones((2, 3)), np.ones((2, 3)), spacing=(1.0, 0.0))

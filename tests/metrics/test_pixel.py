"""Pixel metrics agree with counting by hand and say what empty masks are worth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from monai.metrics import (
    compute_confusion_matrix_metric,
    compute_dice,
    compute_iou,
    get_confusion_matrix,
)

from src_model.metrics.pixel import dice, iou, precision, recall

PREDICTION = np.array([[1, 1, 1, 0], [0, 0, 0, 0]])
TRUTH = np.array([[0, 0, 7, 9], [0, 0, 3, 0]])
EMPTY = np.zeros((2, 4), bool)


@pytest.mark.parametrize(
    ("metric", "value"), [(dice, 2 / 6), (iou, 1 / 5), (precision, 1 / 3), (recall, 1 / 3)]
)
def test_a_small_example_counted_by_hand(metric: object, value: float) -> None:
    assert metric(PREDICTION, TRUTH) == pytest.approx(value)  # type: ignore[operator]


def test_precision_and_recall_look_at_opposite_sides() -> None:
    whole, half = np.ones((4, 4)), np.eye(4) > 0

    assert (precision(half, whole), recall(half, whole)) == (1.0, 0.25)
    assert (precision(whole, half), recall(whole, half)) == (0.25, 1.0)


def test_counts_of_small_types_do_not_overflow() -> None:
    ones = np.ones((600, 600), np.uint8)

    assert dice(ones, ones) == iou(ones, ones) == 1.0


@pytest.mark.parametrize("metric", [dice, iou, precision, recall])
def test_two_empty_masks_agree_and_one_empty_mask_scores_nothing(metric: object) -> None:
    assert metric(EMPTY, EMPTY) == 1.0  # type: ignore[operator]
    assert metric(EMPTY, TRUTH) == 0.0  # type: ignore[operator]
    assert metric(TRUTH, EMPTY) == 0.0  # type: ignore[operator]


def test_dice_and_iou_hold_their_known_relation_on_random_masks() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        a, b = rng.random((2, 30, 30)) > 0.7
        assert dice(a, b) == pytest.approx(2 * iou(a, b) / (1 + iou(a, b)))


def test_masks_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 4\) but the truth has \(4, 2\)"):
        dice(EMPTY, EMPTY.T)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.floats(0, 1))
def test_all_four_agree_with_monai(seed: int, share: float, other: float) -> None:
    rng = np.random.default_rng(seed)
    predicted, true = rng.random((7, 9)) < share, rng.random((7, 9)) < other
    p, t = (torch.from_numpy(mask)[None, None].float() for mask in (predicted, true))
    counts = get_confusion_matrix(p, t)

    if true.any():  # MONAI has no value for an empty truth
        assert dice(predicted, true) == pytest.approx(float(compute_dice(p, t)))
        assert iou(predicted, true) == pytest.approx(float(compute_iou(p, t)))
        assert recall(predicted, true) == pytest.approx(float(compute_confusion_matrix_metric("tpr", counts)))
    if predicted.any():
        assert precision(predicted, true) == pytest.approx(
            float(compute_confusion_matrix_metric("ppv", counts))
        )


@settings(max_examples=60)
@given(arrays("int8", array_shapes(max_dims=3, max_side=6)), st.randoms(use_true_random=False))
def test_values_lie_between_0_and_1_and_dice_is_the_mean_of_precision_and_recall(
    truth: np.ndarray, random: Any
) -> None:
    prediction = np.roll(truth, random.randrange(truth.size))

    values = [metric(prediction, truth) for metric in (dice, iou, precision, recall)]

    assert all(0.0 <= value <= 1.0 for value in values)
    assert dice(truth, prediction) == values[0]  # both sides count alike
    if values[2] + values[3]:
        assert values[0] == pytest.approx(2 * values[2] * values[3] / (values[2] + values[3]))


@pytest.mark.parametrize("metric", [dice, iou, precision, recall])
def test_masks_of_no_pixels_agree(metric: Any) -> None:
    assert metric(np.zeros((0, 4)), np.zeros((0, 4))) == 1.0

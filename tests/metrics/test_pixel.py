"""Pixel metrics agree with counting by hand and say what empty masks are worth."""

from __future__ import annotations

import numpy as np
import pytest

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

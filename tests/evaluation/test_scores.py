"""Scores of two masks: class by class, by MONAI's numbers, with a stated value where a class is absent."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.metrics import ConfusionMatrixMetric, compute_dice, compute_iou, get_mask_edges
from scipy.spatial.distance import cdist

from src_model.evaluation.scores import Objects, score_masks
from src_model.metrics.instances import object_dice, object_f1

ORGANS = ("liver", "spleen", "stomach")


def masks(seed: int, *shape: int) -> tuple[np.ndarray, np.ndarray]:
    """A truth of four classes, and a prediction that agrees with it in two pixels of three."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, shape, dtype=np.uint8)
    guess = rng.integers(0, 4, shape, dtype=np.uint8)
    return np.where(rng.random(shape) < 0.6, truth, guess), truth


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shape", [(13, 17), (5, 9, 11)])
def test_each_class_has_the_numbers_of_monai(seed: int, shape: tuple[int, ...]) -> None:
    prediction, truth = masks(seed, *shape)

    scores = score_masks("a", "p", prediction, truth, labels=ORGANS)

    one_hot = [
        torch.from_numpy(np.stack([mask == c for c in (1, 2, 3)]))[None] for mask in (prediction, truth)
    ]
    p, t = (mask.float() for mask in one_hot)
    counted = ConfusionMatrixMetric(
        metric_name=("precision", "recall"), reduction="none", include_background=True
    )
    counted(p, t)
    counts = counted.get_buffer()[0].numpy()  # (class, [TP, FP, TN, FN])
    np.testing.assert_allclose([s.dice for s in scores], compute_dice(p, t)[0], rtol=1e-6)
    np.testing.assert_allclose([s.iou for s in scores], compute_iou(p, t)[0], rtol=1e-6)
    np.testing.assert_allclose([s.precision for s in scores], counts[:, 0] / (counts[:, 0] + counts[:, 1]))
    np.testing.assert_allclose([s.recall for s in scores], counts[:, 0] / (counts[:, 0] + counts[:, 3]))


@pytest.mark.filterwarnings("ignore:monai.metrics.utils get_mask_edges:FutureWarning")  # MONAI's own
@pytest.mark.parametrize("spacing", [None, (0.5, 2.0)])
def test_hd95_of_each_class_pools_the_distances_between_the_edges_of_monai(
    spacing: tuple[float, float] | None,
) -> None:
    prediction, truth = masks(7, 23, 31)

    scores = score_masks("a", "p", prediction, truth, labels=ORGANS, spacing=spacing, unit="mm")

    for number, score in enumerate(scores, start=1):
        edges = get_mask_edges(prediction == number, truth == number, crop=False)
        points = [np.argwhere(np.asarray(edge)) * (spacing or (1, 1)) for edge in edges]
        between = cdist(*points)
        pooled = np.concatenate([between.min(0), between.min(1)])
        assert score.hd95 == pytest.approx(np.percentile(pooled, 95))
        assert score.hd95_unit == "mm"


def test_classes_come_in_their_order_under_their_names() -> None:
    prediction, truth = masks(0, 6, 7)

    scores = score_masks("case1", "patient1", prediction, truth, labels=ORGANS)

    assert [(s.case, s.group, s.label) for s in scores] == [("case1", "patient1", organ) for organ in ORGANS]


def test_a_class_that_is_rightly_not_found_counts_as_right_and_one_that_is_invented_as_wrong() -> None:
    truth = np.array([[1, 1, 0, 0, 0]])
    prediction = np.array([[1, 1, 0, 2, 0]])

    liver, spleen, stomach = score_masks("a", "a", prediction, truth, labels=ORGANS)

    assert (liver.dice, liver.iou, liver.precision, liver.recall, liver.hd95) == (1, 1, 1, 1, 0)
    assert (spleen.dice, spleen.iou, spleen.precision, spleen.recall, spleen.hd95) == (0, 0, 0, 0, 4)
    assert (stomach.dice, stomach.iou, stomach.precision, stomach.recall, stomach.hd95) == (1, 1, 1, 1, 0)


def test_a_class_that_is_missed_scores_nothing_at_the_largest_distance() -> None:
    truth = np.zeros((4, 5), int)
    truth[1, 1] = 1

    (score,) = score_masks("a", "a", np.zeros_like(truth), truth, labels=["gland"], spacing=(2, 2), unit="um")

    assert (score.dice, score.iou, score.precision, score.recall) == (0, 0, 0, 0)
    assert score.hd95 == pytest.approx(math.hypot(3 * 2, 4 * 2))


def test_with_one_label_every_number_is_foreground_and_objects_are_counted_beside_it() -> None:
    true = np.array([[1, 1, 0, 2, 2, 0, 9]])
    predicted = np.array([[5, 5, 0, 6, 0, 0, 0]])

    (score,) = score_masks(
        "a", "a", predicted, true, labels=["nucleus"], objects=Objects(predicted=predicted, true=true)
    )
    (plain,) = score_masks("a", "a", predicted, true, labels=["nucleus"])

    assert score.dice == plain.dice == pytest.approx(2 * 3 / (3 + 5))
    assert score.object_f1 == object_f1(predicted, true)
    assert score.object_dice == object_dice(predicted, true)
    assert plain.object_f1 is None
    assert plain.object_dice is None


def test_what_cannot_be_compared_is_refused() -> None:
    prediction, truth = masks(0, 6, 7)

    with pytest.raises(ValueError, match="single class only but there are 3"):
        score_masks("a", "a", prediction, truth, labels=ORGANS, objects=Objects(prediction, truth))
    with pytest.raises(ValueError, match=r"shape \(6, 7\) but the truth has \(7, 6\)"):
        score_masks("a", "a", prediction, truth.T, labels=ORGANS)

"""Object metrics agree with a slow count by definition and say what empty masks are worth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from src_model.metrics.instances import ObjectCounts, count_objects, object_dice, object_f1

TRUTH = np.array([[1, 1, 0, 2, 2, 2, 0, 9], [1, 1, 0, 2, 2, 2, 0, 9]])
PREDICTION = np.array([[5, 5, 0, 7, 0, 0, 4, 0], [5, 0, 0, 7, 0, 0, 4, 0]])
EMPTY = np.zeros((2, 8), np.uint8)


def count_by_definition(prediction: np.ndarray, truth: np.ndarray, threshold: float) -> ObjectCounts:
    """Compare every predicted object with every true one, as sets of pixels."""
    predicted, true = (
        [set(np.flatnonzero(mask == number).tolist()) for number in set(mask.ravel().tolist()) - {0}]
        for mask in (prediction, truth)
    )
    pairs = [
        (i, j)
        for i, a in enumerate(predicted)
        for j, b in enumerate(true)
        if len(a & b) / len(a | b) > threshold
    ]
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    return ObjectCounts(len(pairs), len(predicted) - len(pairs), len(true) - len(pairs))


def test_a_small_example_counted_by_hand() -> None:
    assert count_objects(PREDICTION, TRUTH) == ObjectCounts(found=1, invented=2, missed=2)
    assert object_f1(PREDICTION, TRUTH) == pytest.approx(2 / 6)


def test_an_object_must_overlap_by_more_than_the_threshold() -> None:
    whole, half = np.array([[3, 3, 3, 3]]), np.array([[8, 8, 0, 0]])

    assert count_objects(half, whole).found == 0  # IoU is 0.5, not above
    assert count_objects(half, half, threshold=0.99).found == 1
    assert count_objects(PREDICTION, TRUTH, threshold=0.75).found == 0


def test_two_nuclei_taken_for_one_are_found_at_most_once() -> None:
    truth = np.array([[1, 1, 1, 1, 1, 2, 2]])

    assert count_objects(truth > 0, truth) == ObjectCounts(found=1, invented=0, missed=1)


def test_two_empty_masks_agree_and_one_empty_mask_scores_nothing() -> None:
    assert object_f1(EMPTY, EMPTY) == 1.0
    assert object_f1(EMPTY, TRUTH) == 0.0
    assert object_f1(TRUTH, EMPTY) == 0.0
    assert object_f1(np.zeros((0, 4), int), np.zeros((0, 4), int)) == 1.0


def test_the_numbers_of_the_objects_do_not_matter() -> None:
    large = np.where(TRUTH == 9, 4_000_000_000, TRUTH).astype(np.uint32)

    assert object_f1(large, TRUTH) == 1.0
    assert object_f1(-TRUTH, TRUTH) == 1.0


@pytest.mark.parametrize(
    ("prediction", "options", "sentence"),
    [
        (EMPTY.T, {}, r"shape \(8, 2\) but the truth has \(2, 8\)"),
        (EMPTY / 2, {}, "prediction holds float64 values but whole numbers"),
        (EMPTY, {"threshold": 0.4}, "threshold is 0.4 but must be at least 0.5"),
        (EMPTY, {"threshold": 1.0}, "below 1"),
    ],
)
def test_what_cannot_be_compared_is_refused(prediction: np.ndarray, options: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        count_objects(prediction, TRUTH, **options)


@settings(max_examples=150)
@given(
    arrays("int8", array_shapes(max_dims=3, max_side=7), elements=st.integers(-1, 3)),
    st.randoms(use_true_random=False),
    st.sampled_from([0.5, 0.6, 0.9]),
)
def test_all_counts_agree_with_their_definition(truth: np.ndarray, random: object, threshold: float) -> None:
    prediction = truth.copy()
    for _ in range(truth.size // 3):  # near enough to match, far enough to miss
        prediction.flat[random.randrange(truth.size)] = random.randint(0, 4)  # type: ignore[attr-defined]

    counts = count_objects(prediction, truth, threshold=threshold)

    assert counts == count_by_definition(prediction, truth, threshold)
    swapped = count_objects(truth, prediction, threshold=threshold)
    assert (swapped.found, swapped.invented, swapped.missed) == (counts.found, counts.missed, counts.invented)
    assert 0.0 <= object_f1(prediction, truth, threshold=threshold) <= 1.0


def object_dice_by_definition(prediction: np.ndarray, truth: np.ndarray) -> float:
    """The challenge's formula, object by object, as sets of pixels."""
    predicted, true = (
        [set(np.flatnonzero(mask == number).tolist()) for number in sorted(set(mask.ravel().tolist()) - {0})]
        for mask in (prediction, truth)
    )
    if not predicted or not true:
        return float(not predicted and not true)

    def covered(objects: list[set[int]], others: list[set[int]]) -> float:
        area = sum(map(len, objects))
        mean = 0.0
        for own in objects:
            pairs = [(len(own & other), 2 * len(own & other) / (len(own) + len(other))) for other in others]
            mean += len(own) / area * max(pairs)[1]
        return mean

    return (covered(true, predicted) + covered(predicted, true)) / 2


def test_object_dice_of_a_small_example_by_hand() -> None:
    truth = np.array([[1, 1, 1, 1, 0, 2, 2]])
    prediction = np.array([[3, 3, 0, 4, 0, 0, 0]])

    # true: 4/6 * Dice(4, 2 shared of 2) + 2/6 * 0; predicted: 2/3 * 4/6 + 1/3 * 2/5
    assert object_dice(prediction, truth) == pytest.approx(
        (4 / 6 * 4 / 6 + (2 / 3 * 4 / 6 + 1 / 3 * 2 / 5)) / 2
    )


def test_object_dice_of_equal_masks_is_1_and_of_two_glands_in_one_below_it() -> None:
    assert object_dice(TRUTH, TRUTH) == 1.0
    assert object_dice(TRUTH > 0, TRUTH) < object_dice(TRUTH, TRUTH)


def test_object_dice_of_empty_masks_has_a_stated_value() -> None:
    assert object_dice(EMPTY, EMPTY) == 1.0
    assert object_dice(EMPTY, TRUTH) == 0.0
    assert object_dice(TRUTH, EMPTY) == 0.0
    assert object_dice(np.array([[1, 0]]), np.array([[0, 1]])) == 0.0


def test_object_dice_refuses_what_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match=r"shape \(8, 2\) but the truth has \(2, 8\)"):
        object_dice(EMPTY.T, TRUTH)
    with pytest.raises(ValueError, match="truth holds float64 values"):
        object_dice(TRUTH, TRUTH / 2)


@settings(max_examples=150)
@given(
    arrays("int8", array_shapes(max_dims=3, max_side=7), elements=st.integers(-1, 4)),
    st.randoms(use_true_random=False),
)
def test_object_dice_agrees_with_its_definition(truth: np.ndarray, random: object) -> None:
    prediction = truth.copy()
    for _ in range(truth.size // 2):
        prediction.flat[random.randrange(truth.size)] = random.randint(0, 4)  # type: ignore[attr-defined]

    value = object_dice(prediction, truth)

    assert value == pytest.approx(object_dice_by_definition(prediction, truth))
    assert object_dice(truth, prediction) == pytest.approx(value)  # both sides count alike

"""Comparisons of scores agree with the textbook and say what happens where nothing varies."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from src_model.metrics.statistics import compare, mean_and_deviation

A = [0.80, 0.82, 0.79, 0.85, 0.81]
B = [0.78, 0.81, 0.77, 0.82, 0.80]


def test_the_deviation_is_that_of_a_sample() -> None:
    mean, deviation = mean_and_deviation(A)

    assert mean == pytest.approx(np.mean(A))
    assert deviation == pytest.approx(math.sqrt(sum((a - mean) ** 2 for a in A) / 4))
    assert mean_and_deviation([0.5]) == (0.5, 0.0)


def test_a_paired_test_is_a_test_of_the_differences() -> None:
    differences = np.subtract(A, B)

    result = compare(A, B, paired=True)

    assert result.p_value == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)
    assert result.effect_size == pytest.approx(differences.mean() / differences.std(ddof=1))
    assert result.difference == pytest.approx(0.018)
    assert result.significant


def test_an_independent_test_forgets_the_pairs() -> None:
    result = compare(A, B[::-1], paired=False)

    pooled = math.sqrt((np.var(A, ddof=1) + np.var(B, ddof=1)) / 2)
    t = (np.mean(A) - np.mean(B)) / (pooled * math.sqrt(2 / 5))
    assert result.p_value == pytest.approx(2 * stats.t.sf(abs(t), 8))
    assert result.effect_size == pytest.approx((np.mean(A) - np.mean(B)) / pooled)
    assert not result.significant


@pytest.mark.parametrize("paired", [True, False])
def test_where_nothing_varies_equal_is_equal_and_different_is_different(paired: bool) -> None:
    same = compare([0.5, 0.5, 0.5], [0.5, 0.5, 0.5], paired=paired)
    lower = compare([0.5, 0.5, 0.5], [0.7, 0.7, 0.7], paired=paired)

    assert (same.p_value, same.effect_size, same.significant) == (1.0, 0.0, False)
    assert (lower.p_value, lower.effect_size, lower.significant) == (0.0, -math.inf, True)


def test_a_constant_set_can_be_compared_with_one_that_varies() -> None:
    constant = [0.1 + 0.2, 0.3, 0.3]

    result = compare(constant, A[:3], paired=False)

    t = (np.mean(constant) - np.mean(A[:3])) / (np.std(A[:3], ddof=1) / math.sqrt(3))
    assert result.p_value == pytest.approx(2 * stats.t.sf(abs(t), 4))


def test_scores_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 scores"):
        compare([0.5], [0.5, 0.6], paired=False)
    with pytest.raises(ValueError, match="equally many scores but got 2 and 3"):
        compare([0.5, 0.6], [0.5, 0.6, 0.7], paired=True)
    with pytest.raises(ValueError, match="not a finite number"):
        compare([0.5, math.nan], [0.5, 0.6], paired=True)
    with pytest.raises(ValueError, match="at least 1 scores"):
        mean_and_deviation([])

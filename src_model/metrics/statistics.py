"""Whether two sets of scores differ: means, t-tests and effect sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

ALPHA = 0.05
"""Probability below which a difference is called significant."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two sets of scores, compared."""

    mean_a: float
    mean_b: float
    difference: float
    """``mean_a - mean_b``."""
    p_value: float
    """Two-sided."""
    effect_size: float
    """Cohen's d: the difference in standard deviations (paired: of the differences)."""
    paired: bool

    @property
    def significant(self) -> bool:
        """Whether the p-value is below :data:`ALPHA`."""
        return self.p_value < ALPHA


def mean_and_deviation(scores: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation (n - 1); the deviation of a single score is 0.

    Raises
    ------
    ValueError
        When there is no score, or one is not finite.
    """
    values = _checked(scores, 1)
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else 0.0


def compare(a: Sequence[float], b: Sequence[float], *, paired: bool) -> Comparison:
    """Test by Student's t whether two sets of scores have different means.

    Parameters
    ----------
    a, b
        Scores, at least two of each.
    paired
        Whether ``a[i]`` and ``b[i]`` belong to the same image or fold. Else the sets are
        independent, with equal variances.

    Returns
    -------
    Comparison
        Where nothing varies, the p-value is 1 for equal means and 0 for different ones.

    Raises
    ------
    ValueError
        When there are fewer than two scores, pairs are incomplete, or a score is not finite.
    """
    first, second = _checked(a, 2), _checked(b, 2)
    if paired and len(first) != len(second):
        raise ValueError(f"Pairs need equally many scores but got {len(first)} and {len(second)}.")
    difference = float(first.mean() - second.mean())
    deviation = float((first - second).std(ddof=1)) if paired else _pooled(first, second)
    if math.isclose(deviation, 0.0, abs_tol=1e-12):
        equal = math.isclose(difference, 0.0, abs_tol=1e-12)
        p_value, effect = (1.0, 0.0) if equal else (0.0, math.copysign(math.inf, difference))
    else:
        test = stats.ttest_rel(first, second) if paired else _independent(first, second)
        p_value, effect = float(test.pvalue), difference / deviation
    return Comparison(
        mean_a=float(first.mean()),
        mean_b=float(second.mean()),
        difference=difference,
        p_value=p_value,
        effect_size=effect,
        paired=paired,
    )


def _independent(a: np.ndarray, b: np.ndarray) -> Any:
    """Student's t-test by means and deviations; from the values scipy warns where one side is constant."""
    first, second = ((part.mean(), part.std(ddof=1), len(part)) for part in (a, b))
    return stats.ttest_ind_from_stats(*first, *second)


def _pooled(a: np.ndarray, b: np.ndarray) -> float:
    """Standard deviation within two sets."""
    squares = (len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)
    return float(np.sqrt(squares / (len(a) + len(b) - 2)))


def _checked(scores: Sequence[float], least: int) -> np.ndarray:
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or len(values) < least:
        raise ValueError(f"Expected at least {least} scores in a row but got shape {values.shape}.")
    if not np.isfinite(values).all():
        raise ValueError("A score is not a finite number; leave out what could not be measured.")
    return values

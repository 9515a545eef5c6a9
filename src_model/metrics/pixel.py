"""Agreement of two masks counted in pixels: Dice, IoU, precision and recall.

All functions take two arrays of the same shape, of any number of axes, in which every value other
than 0 is foreground. Where a ratio has no pixels to speak of, its value is stated at the function.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def dice(prediction: ArrayLike, truth: ArrayLike) -> float:
    """``2 |P and T| / (|P| + |T|)``, 0 to 1; 1 when both are empty, 0 when only one is.

    Raises
    ------
    ValueError
        When the shapes differ.
    """
    both, predicted, true = _counts(prediction, truth)
    return 2 * both / (predicted + true) if predicted + true else 1.0


def iou(prediction: ArrayLike, truth: ArrayLike) -> float:
    """``|P and T| / |P or T|`` (Jaccard index), 0 to 1; 1 when both are empty.

    Raises
    ------
    ValueError
        When the shapes differ.
    """
    both, predicted, true = _counts(prediction, truth)
    either = predicted + true - both
    return both / either if either else 1.0


def precision(prediction: ArrayLike, truth: ArrayLike) -> float:
    """``|P and T| / |P|``; with an empty prediction 1 if the truth is empty too, else 0.

    Raises
    ------
    ValueError
        When the shapes differ.
    """
    both, predicted, true = _counts(prediction, truth)
    return both / predicted if predicted else float(true == 0)


def recall(prediction: ArrayLike, truth: ArrayLike) -> float:
    """``|P and T| / |T|`` (sensitivity); with an empty truth 1 if the prediction is empty too, else 0.

    Raises
    ------
    ValueError
        When the shapes differ.
    """
    both, predicted, true = _counts(prediction, truth)
    return both / true if true else float(predicted == 0)


def _counts(prediction: ArrayLike, truth: ArrayLike) -> tuple[int, int, int]:
    """Pixels in both, in the prediction, in the truth."""
    p, t = np.asarray(prediction) != 0, np.asarray(truth) != 0
    if p.shape != t.shape:
        raise ValueError(f"The prediction has shape {p.shape} but the truth has {t.shape}.")
    return int(np.count_nonzero(p & t)), int(np.count_nonzero(p)), int(np.count_nonzero(t))

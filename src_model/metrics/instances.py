"""Agreement of two masks counted in objects: how many are found, invented and missed.

All functions take two arrays of the same shape, of any number of axes, that hold whole numbers:
0 is background, every other value is one object, gaps allowed. A predicted object is *found* when its IoU
with a true one is above ``threshold``; from 0.5 on no object can be part of two such matches
(Kirillov et al., *Panoptic Segmentation*, CVPR 2019), so nothing has to be assigned.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class ObjectCounts(NamedTuple):
    """Objects of two masks, matched."""

    found: int
    """True objects with a predicted one upon them (TP)."""
    invented: int
    """Predicted objects without a true one (FP)."""
    missed: int
    """True objects without a predicted one (FN)."""


def count_objects(prediction: ArrayLike, truth: ArrayLike, *, threshold: float = 0.5) -> ObjectCounts:
    """Match the objects of two masks.

    Parameters
    ----------
    prediction, truth
        Numbered objects.
    threshold
        IoU above which two objects are the same, at least 0.5 and below 1.

    Raises
    ------
    ValueError
        When the shapes differ, a mask does not hold whole numbers, or ``threshold`` is out of its bounds.
    """
    if not 0.5 <= threshold < 1:
        raise ValueError(f"The threshold is {threshold} but must be at least 0.5 and below 1.")
    predicted, predicted_sizes = _numbered(prediction, "prediction")
    true, true_sizes = _numbered(truth, "truth")
    if predicted.shape != true.shape:
        raise ValueError(f"The prediction has shape {predicted.shape} but the truth has {true.shape}.")
    both = (predicted > 0) & (true > 0)
    base = len(true_sizes) + 1
    pairs, overlap = np.unique(predicted[both] * base + true[both], return_counts=True)
    p, t = np.divmod(pairs, base)
    iou = overlap / (predicted_sizes[p - 1] + true_sizes[t - 1] - overlap)
    found = int(np.count_nonzero(iou > threshold))
    return ObjectCounts(found, len(predicted_sizes) - found, len(true_sizes) - found)


def object_f1(prediction: ArrayLike, truth: ArrayLike, *, threshold: float = 0.5) -> float:
    """``2 TP / (2 TP + FP + FN)`` over objects, 0 to 1; 1 when both masks are empty, 0 when only one is.

    Parameters and errors are those of :func:`count_objects`.
    """
    found, invented, missed = count_objects(prediction, truth, threshold=threshold)
    total = 2 * found + invented + missed
    return 2 * found / total if total else 1.0


def _numbered(mask: ArrayLike, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The mask with its objects numbered 1, 2, ... without gaps, and their sizes in pixels."""
    values = np.asarray(mask)
    if values.dtype.kind not in "bui":
        raise ValueError(f"The {name} holds {values.dtype} values but whole numbers are expected.")
    numbers, positions = np.unique(values, return_inverse=True)
    lookup = (np.cumsum(numbers != 0) * (numbers != 0)).astype(np.int64)
    numbered = lookup[positions].reshape(values.shape)
    return numbered, np.bincount(numbered.ravel(), minlength=1)[1:]

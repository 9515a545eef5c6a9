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
    predicted, true, predicted_sizes, true_sizes = _both_numbered(prediction, truth)
    p, t, overlap = _overlaps(predicted, true, len(true_sizes))
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


def object_dice(prediction: ArrayLike, truth: ArrayLike) -> float:
    """Object-level Dice of the GlaS challenge: how well each object is covered by its counterpart.

    Each true object ``G`` is compared with the predicted one that overlaps it most, ``S(G)``, and each
    predicted object ``S`` with the true one that overlaps it most, ``G(S)``; both sides are averaged
    with the objects' areas as weights (Sirinukunwattana et al., *Gland segmentation in colon histology
    images: The GlaS challenge contest*, Medical Image Analysis 2017)::

        1/2 ( sum_G |G| / sum |G| * Dice(G, S(G))  +  sum_S |S| / sum |S| * Dice(S, G(S)) )

    An object without any counterpart has Dice 0. Of counterparts that overlap equally much, the one
    with the higher Dice is taken, which the paper leaves open.

    Parameters
    ----------
    prediction, truth
        Numbered objects.

    Returns
    -------
    float
        0 to 1; 1 when both masks are empty, 0 when only one is.

    Raises
    ------
    ValueError
        When the shapes differ or a mask does not hold whole numbers.
    """
    predicted, true, sizes_p, sizes_t = _both_numbered(prediction, truth)
    if not len(sizes_p) or not len(sizes_t):
        return float(len(sizes_p) == len(sizes_t))
    p, t, overlap = _overlaps(predicted, true, len(sizes_t))
    pair_dice = 2 * overlap / (sizes_p[p - 1] + sizes_t[t - 1])
    one_way = _covered(p, overlap, pair_dice, sizes_p)
    other_way = _covered(t, overlap, pair_dice, sizes_t)
    return (one_way + other_way) / 2


def _covered(
    number: NDArray[np.int64],
    overlap: NDArray[np.int64],
    pair_dice: NDArray[np.float64],
    sizes: NDArray[np.int64],
) -> float:
    """Mean Dice of the objects of one side with their counterparts, weighted by area.

    ``number``, ``overlap`` and ``pair_dice`` describe all pairs that overlap; ``sizes`` all objects.
    """
    best = np.zeros(len(sizes))
    order = np.lexsort((pair_dice, overlap))  # rising, so that the best pair of an object comes last
    best[number[order] - 1] = pair_dice[order]
    return float((best * sizes).sum() / sizes.sum())


def _both_numbered(
    prediction: ArrayLike, truth: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Both masks numbered without gaps, and the sizes of the objects of both."""
    predicted, predicted_sizes = _numbered(prediction, "prediction")
    true, true_sizes = _numbered(truth, "truth")
    if predicted.shape != true.shape:
        raise ValueError(f"The prediction has shape {predicted.shape} but the truth has {true.shape}.")
    return predicted, true, predicted_sizes, true_sizes


def _overlaps(
    predicted: NDArray[np.int64], true: NDArray[np.int64], true_objects: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of the objects of each pair that overlaps, and by how many pixels."""
    both = (predicted > 0) & (true > 0)
    base = true_objects + 1
    pairs, overlap = np.unique(predicted[both] * base + true[both], return_counts=True)
    p, t = np.divmod(pairs, base)
    return p, t, overlap


def _numbered(mask: ArrayLike, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The mask with its objects numbered 1, 2, ... without gaps, and their sizes in pixels."""
    values = np.asarray(mask)
    if values.dtype.kind not in "bui":
        raise ValueError(f"The {name} holds {values.dtype} values but whole numbers are expected.")
    numbers, positions = np.unique(values, return_inverse=True)
    lookup = (np.cumsum(numbers != 0) * (numbers != 0)).astype(np.int64)
    numbered = lookup[positions].reshape(values.shape)
    return numbered, np.bincount(numbered.ravel(), minlength=1)[1:]

"""From a mask to numbered objects: watershed on the distance to the background."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.segmentation import watershed

LEAST_PIXELS = 10
"""Smaller pieces are taken for noise."""


def to_objects(mask: NDArray[Any], *, min_size: int = LEAST_PIXELS, split: bool = True) -> NDArray[np.uint32]:
    """Number the objects of a mask, apart where two of them touch.

    Every class is numbered by itself, so objects of different classes never share a number. In
    each class, connected pieces are split at their necks: the distance to the background is
    smoothed, its peaks (further apart than half of a typical object's radius) become seeds, and a
    watershed grows them. Typical is the upper quartile of the pieces' radii, as specks and objects
    cut by the border are smaller than the rest. Works for roundish objects such as nuclei; objects
    with holes or long branches are kept whole with ``split=False``.

    Parameters
    ----------
    mask
        (H, W) or (D, H, W), bool or whole numbers: 0 = background, other values = classes.
    min_size
        Objects of fewer pixels are removed.
    split
        Whether touching objects are separated.

    Returns
    -------
    ndarray
        Of that shape, uint32: 0 = background, objects 1, 2, ... without gaps.
    """
    labels = np.zeros(mask.shape, np.uint32)
    for value in np.unique(mask[mask != 0]):
        pieces, count = ndimage.label(mask == value)
        pieces = _without_small(pieces, min_size)
        if split and count:
            pieces = _without_small(_split(pieces), min_size)
        labels += np.where(pieces > 0, pieces + labels.max(), 0).astype(np.uint32)
    return _renumbered(labels)


def _split(pieces: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
    """Cut connected pieces (numbered) at their necks; numbers of the result are new."""
    distance = ndimage.distance_transform_edt(pieces > 0).astype(np.float32)
    numbers = np.unique(pieces)[1:]
    if not len(numbers):
        return pieces
    radius = float(np.percentile(ndimage.maximum(distance, pieces, numbers), 75))
    smooth = ndimage.gaussian_filter(distance, 0.25 * radius)
    apart = max(1, round(0.5 * radius))
    peaks = peak_local_max(smooth, min_distance=apart, labels=pieces, exclude_border=False)
    seeds = np.zeros(pieces.shape, np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    cut: NDArray[np.integer[Any]] = watershed(-smooth, seeds, mask=pieces > 0)
    return cut


def _without_small(pieces: NDArray[np.integer[Any]], min_size: int) -> NDArray[np.integer[Any]]:
    """Set pieces of fewer than ``min_size`` pixels to 0."""
    sizes = np.bincount(pieces.ravel())
    return np.where(sizes[pieces] >= min_size, pieces, 0)


def _renumbered(labels: NDArray[np.uint32]) -> NDArray[np.uint32]:
    used = np.unique(labels)
    used = used[used > 0]
    lookup = np.zeros(int(labels.max(initial=0)) + 1, np.uint32)
    lookup[used] = np.arange(1, len(used) + 1, dtype=np.uint32)
    return lookup[labels]

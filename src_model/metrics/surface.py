"""Agreement of the surfaces of two masks: Hausdorff distances in physical units.

All functions take two arrays of the same shape, 2-D or 3-D, in which every value other than 0 is
foreground. The surface is the foreground pixels with a neighbour, along an axis, that is background or
lies outside the image. Distances are Euclidean, in the unit of ``spacing``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage


def hd95(prediction: ArrayLike, truth: ArrayLike, spacing: Sequence[float] | None = None) -> float:
    """95 % Hausdorff distance: 95th percentile of all surface distances, of both directions together.

    This pools both directions, as medpy and the papers that use it do; MONAI takes the larger of
    the two directions' percentiles, which is never smaller.

    Parameters
    ----------
    prediction, truth
        Masks.
    spacing
        Distance of neighbouring pixels along each axis, e.g. millimetres; ``None`` = 1 pixel.

    Returns
    -------
    float
        0 when both are empty. When only one is, the diagonal of the image: the largest distance
        that two pixels can have, so that a mean over images stays finite.

    Raises
    ------
    ValueError
        When the shapes differ, or the spacing does not fit them.
    """
    return _hausdorff(prediction, truth, spacing, percentile=95.0)


def hausdorff(prediction: ArrayLike, truth: ArrayLike, spacing: Sequence[float] | None = None) -> float:
    """Hausdorff distance: the largest surface distance; otherwise like :func:`hd95`."""
    return _hausdorff(prediction, truth, spacing, percentile=100.0)


def surface_distances(
    prediction: ArrayLike, truth: ArrayLike, spacing: Sequence[float] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance of each surface pixel to the other surface: from prediction to truth, and back.

    Both are empty where a mask is.

    Raises
    ------
    ValueError
        When the shapes differ, or the spacing does not fit them.
    """
    p, t, steps = _checked(prediction, truth, spacing)
    if not p.any() or not t.any():
        return np.zeros(0), np.zeros(0)
    inner = _around(p | t)  # what lies outside both is on no surface
    predicted, true = _surface(p[inner]), _surface(t[inner])
    to_truth = ndimage.distance_transform_edt(~true, sampling=steps)
    to_prediction = ndimage.distance_transform_edt(~predicted, sampling=steps)
    return to_truth[predicted], to_prediction[true]


def _hausdorff(
    prediction: ArrayLike, truth: ArrayLike, spacing: Sequence[float] | None, *, percentile: float
) -> float:
    p, t, steps = _checked(prediction, truth, spacing)
    if not p.any() and not t.any():
        return 0.0
    if not p.any() or not t.any():
        return float(np.hypot.reduce([(n - 1) * step for n, step in zip(p.shape, steps, strict=True)]))
    return float(np.percentile(np.concatenate(surface_distances(p, t, steps)), percentile))


def _checked(
    prediction: ArrayLike, truth: ArrayLike, spacing: Sequence[float] | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], tuple[float, ...]]:
    p, t = np.asarray(prediction) != 0, np.asarray(truth) != 0
    if p.shape != t.shape:
        raise ValueError(f"The prediction has shape {p.shape} but the truth has {t.shape}.")
    steps = (1.0,) * p.ndim if spacing is None else tuple(float(step) for step in spacing)
    if len(steps) != p.ndim or not all(step > 0 for step in steps):
        raise ValueError(f"Expected {p.ndim} spacings above 0 but got {spacing}.")
    return p, t, steps


def _around(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The smallest box that holds the foreground."""
    box: tuple[slice, ...] = ndimage.find_objects(mask.astype(np.uint8))[0]
    return box


def _surface(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    surface: NDArray[np.bool_] = mask & ~ndimage.binary_erosion(mask)
    return surface

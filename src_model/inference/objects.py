"""From a mask to numbered objects: watershed on the distance to the background."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.segmentation import watershed

LEAST_PIXELS = 10
"""Smaller pieces are taken for noise."""

Pieces = NDArray[np.integer[Any]]
"""Connected pieces by number, 0 = background."""


def to_objects(
    mask: NDArray[Any], *, min_size: int = LEAST_PIXELS, split: bool = True, radius: float | None = None
) -> NDArray[np.uint32]:
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
    radius
        Of a typical object of any class, pixels; ``None`` = the upper quartile in each class.

    Returns
    -------
    ndarray
        Of that shape, uint32: 0 = background, objects 1, 2, ... without gaps.
    """
    labels = np.zeros(mask.shape, np.uint32)
    for value in np.unique(mask[mask != 0]):
        pieces, count = ndimage.label(mask == value)
        pieces = without_small(pieces, min_size)
        if split and count:
            pieces = without_small(split_pieces(pieces, radius), min_size)
        labels += np.where(pieces > 0, pieces + labels.max(), 0).astype(np.uint32)
    return _renumbered(labels)


def split_pieces(
    pieces: Pieces,
    radius: float | None = None,
    *,
    only: NDArray[np.bool_] | None = None,
    check: Callable[[], None] = lambda: None,
) -> Pieces:
    """Cut connected pieces at their necks; numbers of the result are new.

    How a piece is cut depends on the radius and on what lies within :func:`reach` of it, not on
    the rest of the mask.

    Parameters
    ----------
    pieces
        (H, W) or (D, H, W), connected pieces by number.
    radius
        Of a typical object, pixels; ``None`` = the upper quartile of the pieces' radii.
    only
        For each number whether that piece is cut; the others are left out of the result. ``None`` = all.
    check
        Called between two steps; may raise to stop the work.
    """
    distance, radii = _distances(pieces)
    if not len(radii):
        return pieces
    if radius is None:
        radius = typical_radius(radii)
    check()
    smooth = ndimage.gaussian_filter(distance, 0.25 * radius)
    if only is not None:
        pieces = np.where(only[pieces], pieces, 0)
    check()
    apart = max(1, round(0.5 * radius))
    peaks = peak_local_max(smooth, min_distance=apart, threshold_abs=0, labels=pieces, exclude_border=False)
    check()
    peaks = peaks[np.lexsort(peaks.T[::-1])]
    seeds = np.zeros(pieces.shape, np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    # Equal seeds flood in the order in which they lie: a difference that float32 does not resolve.
    level = -smooth.astype(np.float64)
    level[tuple(peaks.T)] *= 1 + 2.0**-26 * np.linspace(1, 0, len(peaks))
    cut: Pieces = watershed(level, seeds, mask=pieces > 0)
    return cut


def typical_radius(radii: NDArray[np.float32]) -> float:
    """The upper quartile of the radii of pieces, pixels; at least one of them."""
    return float(np.percentile(radii, 75))


def reach(radius: float) -> int:
    """How far beyond a piece its surroundings matter for the way it is cut, pixels.

    The smoothing sees the distances within its kernel of the piece; a distance there is not longer
    than the diagonal of the kernel, as the background between two pieces ends it.
    """
    kernel = int(radius + 0.5)  # four standard deviations, of 0.25 radius each
    return kernel + math.ceil(math.sqrt(2) * kernel)


def piece_distances(
    pieces: Pieces, number: int, box: tuple[slice, ...]
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Distance to the background of one piece; its largest value is the radius of the piece.

    As the background nearest to a pixel always touches the pixel's own piece, no other piece matters.
    The edge of the array is no background.

    Parameters
    ----------
    pieces
        (H, W) or (D, H, W), connected pieces by number.
    number, box
        Of the piece, and where it lies.

    Returns
    -------
    piece, distances
        Both of the shape of the box; distances in pixels.
    """
    piece = pieces[box] == number
    sides = [(int(s.start > 0), int(s.stop < n)) for s, n in zip(box, pieces.shape, strict=True)]
    inner = tuple(slice(before, before + n) for (before, _), n in zip(sides, piece.shape, strict=True))
    distances = ndimage.distance_transform_edt(np.pad(piece, sides))[inner]
    return piece, distances.astype(np.float32)


def without_small(pieces: Pieces, min_size: int) -> Pieces:
    """Set pieces of fewer than ``min_size`` pixels to 0."""
    sizes = np.bincount(pieces.ravel())
    return np.where(sizes[pieces] >= min_size, pieces, 0)


def _distances(pieces: Pieces) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Distance to the background everywhere, and the radii of the pieces, in the order of their numbers."""
    distance = np.zeros(pieces.shape, np.float32)
    radii = []
    for number, box in enumerate(ndimage.find_objects(pieces), start=1):
        if box is not None:
            piece, distances = piece_distances(pieces, number, box)
            np.copyto(distance[box], distances, where=piece)
            radii.append(distances.max())
    return distance, np.asarray(radii, np.float32)


def _renumbered(labels: NDArray[np.uint32]) -> NDArray[np.uint32]:
    used = np.unique(labels)
    used = used[used > 0]
    lookup = np.zeros(int(labels.max(initial=0)) + 1, np.uint32)
    lookup[used] = np.arange(1, len(used) + 1, dtype=np.uint32)
    return lookup[labels]

"""Where on a slide there is tissue: Otsu's threshold on a thumbnail, holes closed and specks removed.

Source: N. Otsu, "A threshold selection method from gray-level histograms" (IEEE Trans. SMC, 1979).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

from src_model.data.slide import Slide
from src_model.errors import ImageError
from src_model.inference.slides.thumbnail import Thumbnail, read_thumbnail

HOLE_UM = 300.0
"""Holes smaller than a square of this side are closed, micrometres."""
SPECK_UM = 20.0
"""Specks smaller than a square of this side are removed, micrometres."""
HOLE_PIXELS = 8.0
"""The same, pixels of the thumbnail, where the slide does not tell the size of a pixel."""
SPECK_PIXELS = 3.0
LEAST_PIXELS = 2.0
"""A speck that is smaller than a square of this side is removed in any case, pixels of the thumbnail."""
_LEAST_CONTRAST = 0.05
"""Against white, tissue is at least so much darker, as a share of white; glass is never quite even."""
_LEAST_NOISES = 4.0
"""Tissue stands out by at least so many standard deviations of the noise."""


@dataclass(frozen=True, eq=False)
class Tissue:
    """A coarse map of a slide: where the network should look."""

    mask: NDArray[np.bool_]
    """``(h, w)``; beside it there is no tissue."""
    scale: tuple[float, float]
    """Pixels of the finest level that a pixel of the mask covers, rows and columns."""
    threshold: float | None = None
    """Above which a value of the thumbnail is tissue, 0 to 1; ``None`` = the mask was drawn."""
    thumbnail: Thumbnail | None = None
    """What the mask was found on, for another threshold."""

    @classmethod
    def from_mask(cls, mask: NDArray[np.generic], slide: Slide) -> Self:
        """A mask ``(h, w)`` of the whole slide at any size, such as one that was drawn; not 0 = tissue.

        Raises
        ------
        ImageError
            When it is not a picture of two axes, or has no tissue.
        """
        if mask.ndim != 2 or mask.size == 0:
            raise ImageError(
                f"A tissue mask must have the two axes (Y, X) and pixels but got shape {mask.shape}; "
                "draw it on an overview of the slide."
            )
        if not mask.any():
            raise ImageError("The tissue mask is empty; mark some tissue, or segment the whole slide.")
        height, width = (full / length for full, length in zip(slide.size_yx, mask.shape, strict=True))
        return cls(mask != 0, (height, width))

    def edited(self, mask: NDArray[np.generic]) -> Self:
        """The same with another mask of the same shape, such as one that was corrected by hand.

        Raises
        ------
        ImageError
            When the shape differs, or no tissue is left.
        """
        if mask.shape != self.mask.shape:
            raise ImageError(f"The tissue mask must stay {self.mask.shape} pixels but got {mask.shape}.")
        if not mask.any():
            raise ImageError("The tissue mask is empty; mark some tissue, or segment the whole slide.")
        return replace(self, mask=mask != 0)

    def with_threshold(self, threshold: float | None) -> Self:
        """The same thumbnail at another threshold; ``None`` = Otsu's. Nothing is read.

        Raises
        ------
        ImageError
            When no tissue is found, or the mask was not found on a thumbnail.
        """
        if self.thumbnail is None:
            raise ImageError("This tissue mask was drawn and has no threshold; find the tissue anew.")
        chosen, mask = _search(self.thumbnail, threshold)
        return replace(self, mask=mask, threshold=chosen)

    @property
    def share(self) -> float:
        """Of the slide that is tissue, 0 to 1."""
        return float(self.mask.mean())

    def touched(self, rows: NDArray[Any], columns: NDArray[Any]) -> NDArray[np.bool_]:
        """Which fields of a table laid over the slide have tissue.

        Parameters
        ----------
        rows, columns
            ``(N + 1,)`` and ``(M + 1,)``: where the table's rows and columns begin, and where the last
            ones end, pixels of the finest level.

        Returns
        -------
        ndarray
            ``(N, M)`` bool.
        """
        (top, bottom), (left, right) = (
            [
                np.clip(places, 0, length).astype(np.int64)
                for places in (np.floor(edges[:-1] / step), np.ceil(edges[1:] / step))
            ]
            for edges, step, length in zip((rows, columns), self.scale, self.mask.shape, strict=True)
        )
        above, below = self._sums[top], self._sums[bottom]
        found: NDArray[np.bool_] = below[:, right] - below[:, left] > above[:, right] - above[:, left]
        return found

    @cached_property
    def _sums(self) -> NDArray[np.int32]:
        """Number of pixels of tissue above and left of each corner of the mask's pixels."""
        return (
            np.pad(self.mask, ((1, 0), (1, 0))).cumsum(axis=0, dtype=np.int32).cumsum(axis=1, dtype=np.int32)
        )

    def at(self, y: int, x: int, height: int, width: int, scale: tuple[float, float]) -> NDArray[np.bool_]:
        """Where in a box of another grid there is tissue, by the nearest pixel of the mask.

        Parameters
        ----------
        y, x, height, width
            First row and column, rows and columns of the box, pixels of that grid.
        scale
            Pixels of the finest level that one of them covers, rows and columns.

        Returns
        -------
        ndarray
            ``(height, width)`` bool; what lies beside the slide repeats its edge.
        """
        rows, columns = (
            np.clip(((first + np.arange(count) + 0.5) * fine / coarse).astype(np.int64), 0, length - 1)
            for first, count, fine, coarse, length in zip(
                (y, x), (height, width), scale, self.scale, self.mask.shape, strict=True
            )
        )
        # Whole rows are repeated in one piece, which is much faster than pixel by pixel.
        first, last = rows[0], rows[-1]
        inside: NDArray[np.bool_] = self.mask[first : last + 1][:, columns][rows - first]
        return inside


def find_tissue(slide: Slide, *, threshold: float | None = None, against_white: bool | None = None) -> Tissue:
    """Find the tissue on a slide.

    A thumbnail is read, smoothed and cut at a threshold. Of colours it holds how coloured or dark
    a pixel is against white, and black that a scanner wrote where it did not look is no tissue. Of
    other slides it holds the intensity, the mean over channels, where the darkest is 0 and the
    brightest 1. What cannot be decoded counts as tissue, so that its readable parts are segmented.

    Parameters
    ----------
    slide
        As :func:`src_model.data.slide.open_slide` gives it.
    threshold
        From 0 to 1; ``None`` = by Otsu's method.
    against_white
        Whether tissue is darker than the background; ``None`` = by the kind of slide, see
        :func:`src_model.inference.slides.thumbnail.read_thumbnail`.

    Returns
    -------
    Tissue
        Another threshold of it needs no second look at the slide.

    Raises
    ------
    ImageError
        When no tissue is found: the slide is blank, or nothing lies above the threshold.
    DataError
        When the slide cannot be decoded.
    """
    thumbnail = read_thumbnail(slide, against_white=against_white)
    chosen, mask = _search(thumbnail, threshold)
    return Tissue(mask, thumbnail.scale, chosen, thumbnail)


def _search(thumbnail: Thumbnail, threshold: float | None) -> tuple[float, NDArray[np.bool_]]:
    """The threshold, found where none is given, and the cleaned mask above it."""
    if threshold is not None and not 0 <= threshold <= 1:
        raise ImageError(f"The tissue threshold must be from 0 to 1 but got {threshold}.")
    chosen = _otsu(thumbnail) if threshold is None else float(threshold)
    found = (thumbnail.values > chosen) & thumbnail.looked
    size = thumbnail.pixel_size_um
    pixel = None if size is None else math.sqrt(size[0] * size[1])
    hole = HOLE_PIXELS if pixel is None else HOLE_UM / pixel
    speck = SPECK_PIXELS if pixel is None else max(SPECK_UM / pixel, LEAST_PIXELS)
    mask = _closed(_without_specks(found, speck**2), hole**2) | thumbnail.damaged
    if not mask.any():
        raise ImageError(
            f"No tissue was found above the threshold {chosen:.3g}; choose a lower one, or segment the "
            "whole slide."
        )
    return chosen, mask


def _otsu(thumbnail: Thumbnail) -> float:
    values = thumbnail.values[thumbnail.looked]
    chosen = float(threshold_otsu(values)) if values.size and np.ptp(values) > 0 else 0.0
    above = values > chosen
    contrast = float(values[above].mean() - values[~above].mean()) if above.any() and not above.all() else 0.0
    least = max(_LEAST_CONTRAST if thumbnail.against_white else 0.0, _LEAST_NOISES * thumbnail.noise)
    if contrast <= least:
        raise ImageError(
            "No tissue was found: the slide looks blank, nothing stands out from its background; choose a "
            "threshold by hand (`--tissue-threshold`), or segment the whole slide."
        )
    return chosen


def _without_specks(mask: NDArray[np.bool_], least: float) -> NDArray[np.bool_]:
    """Without the connected parts of fewer than ``least`` pixels."""
    parts, _ = ndimage.label(mask)
    large = np.bincount(parts.ravel()) >= least
    large[0] = False
    kept: NDArray[np.bool_] = large[parts]
    return kept


def _closed(mask: NDArray[np.bool_], most: float) -> NDArray[np.bool_]:
    """With the holes of fewer than ``most`` pixels that do not reach the border."""
    parts, _ = ndimage.label(~mask)
    small = np.bincount(parts.ravel()) < most
    for border in (parts[0], parts[-1], parts[:, 0], parts[:, -1]):
        small[border] = False
    small[0] = True  # the tissue itself
    closed: NDArray[np.bool_] = small[parts]
    return closed

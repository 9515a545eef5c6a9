"""Which part of a slide is segmented: outlines, tissue, or both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from src_model.errors import ImageError
from src_model.inference.slides.grid import Grid
from src_model.tiling.plan import Box

if TYPE_CHECKING:
    from src_model.inference.slides.tissue import Tissue

_LOOKS = 64
"""A tile is looked at on a lattice of so many points a side to see whether an outline touches it."""


class Area:
    """The pixels of a mask that are segmented; all others stay background.

    Parameters
    ----------
    grid
        Of the mask.
    outlines
        Polygons (N, 2) in pixels of the slide's finest level, (y, x) from its corner, so that the middle
        of its first pixel is (0.5, 0.5); pixels whose middle is inside any of them count. ``None`` =
        everywhere.
    tissue
        Only there; ``None`` = everywhere.

    Raises
    ------
    ImageError
        When an outline is none, or all lie outside of the slide.
    """

    def __init__(self, grid: Grid, outlines: Sequence[ArrayLike] | None, tissue: Tissue | None) -> None:
        self._grid, self._tissue = grid, tissue
        self._outlines = None if outlines is None else [self._on_mask(outline) for outline in outlines]
        if self._outlines is not None and not any(self._bounds(points) for points in self._outlines):
            raise ImageError(
                "The region lies outside of the slide; draw it on the slide, or choose all of it."
            )

    def touches(self, box: Box) -> bool:
        """Whether any pixel of a box of the mask may be segmented."""
        if self._tissue is not None and not self._tissue.touches(self._grid.on_slide(box)):
            return False
        if self._outlines is None:
            return True
        if not any(_touches(points, box) for points in self._outlines):
            return False
        return self._tissue is None or bool(np.any(self.at(box)))

    def fills(self, box: Box) -> bool:
        """Whether all of a box of the mask is segmented, as far as a look at some of its pixels tells."""
        if self._tissue is not None and not self._tissue.fills(self._grid.on_slide(box)):
            return False
        return self._outlines is None or any(_looked(points, box).all() for points in self._outlines)

    def at(self, box: Box) -> NDArray[np.bool_] | None:
        """Which pixels of a box are segmented; ``None`` = all."""
        inside = None
        if self._tissue is not None:
            inside = self._tissue.at(box.y, box.x, box.height, box.width, self._grid.scale)
        if self._outlines is not None:
            drawn = np.zeros((box.height, box.width), bool)
            for points in self._outlines:
                drawn |= _filled(points, box)
            inside = drawn if inside is None else inside & drawn
        return inside

    def _on_mask(self, outline: ArrayLike) -> NDArray[np.float64]:
        points = np.asarray(outline, dtype=float)
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not np.isfinite(points).all():
            raise ImageError(
                f"An outline has at least 3 points (y, x) but got an array of shape {points.shape}; draw a "
                "rectangle, an ellipse or a polygon."
            )
        on_mask: NDArray[np.float64] = points / np.asarray(self._grid.scale) - 0.5
        return on_mask

    def _bounds(self, points: NDArray[np.float64]) -> bool:
        """Whether the bounding box of an outline reaches into the image."""
        low, high = points.min(axis=0), points.max(axis=0)
        return bool((high >= -0.5).all() and (low < np.asarray(self._grid.shape) - 0.5).all())


def _touches(points: NDArray[np.float64], box: Box) -> bool:
    low, high = points.min(axis=0), points.max(axis=0)
    if high[0] < box.y or low[0] > box.y_end or high[1] < box.x or low[1] > box.x_end:
        return False
    corner, size = np.array([box.y, box.x]), np.array([box.height, box.width])
    inside = (points >= corner) & (points < corner + size)
    return bool(inside.all(axis=1).any() or _looked(points, box).any())


def _looked(points: NDArray[np.float64], box: Box) -> NDArray[np.bool_]:
    """Whether the points of a lattice over a box lie in an outline."""
    corner, size = np.array([box.y, box.x]), np.array([box.height, box.width])
    shrink = np.maximum(size / _LOOKS, 1)
    few = np.ceil(size / shrink).astype(int)
    return _filled((points - corner + 0.5) / shrink - 0.5, Box(0, 0, int(few[0]), int(few[1])))


def _filled(points: NDArray[np.float64], box: Box) -> NDArray[np.bool_]:
    from skimage.draw import polygon

    out = np.zeros((box.height, box.width), bool)
    out[polygon(points[:, 0] - box.y, points[:, 1] - box.x, out.shape)] = True
    return out

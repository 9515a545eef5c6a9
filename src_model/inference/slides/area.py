"""Which part of a slide is segmented: outlines, tissue, or both."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from src_model.errors import ImageError
from src_model.inference.slides.grid import Grid
from src_model.tiling.plan import Box

if TYPE_CHECKING:
    from src_model.inference.slides.tissue import Tissue

_TINY = 1e-6
"""Pixels; an outline that is no wider is a line."""


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
        if self._outlines is not None and not any(map(self._reaches, self._outlines)):
            raise ImageError(
                "The region lies outside of the slide, or nothing is within it; draw it on the slide, or "
                "choose all of it."
            )

    def touched(self, box: Box, step: int) -> NDArray[np.bool_]:
        """Which squares of ``step`` pixels of a box of the mask have pixels that may be segmented."""
        rows, columns = (
            np.append(np.arange(start, end, step), end)
            for start, end in ((box.y, box.y_end), (box.x, box.x_end))
        )
        touched = np.ones((len(rows) - 1, len(columns) - 1), bool)
        if self._tissue is not None:
            height, width = self._grid.scale
            touched = self._tissue.touched(rows * height, columns * width)
        if self._outlines is not None and touched.any():
            drawn = np.zeros_like(touched)
            for points in self._outlines:
                _mark(drawn, (points + 0.5 - (box.y, box.x)) / step)
            touched &= drawn
        return touched

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
        try:
            points = np.asarray(outline, dtype=float)
        except (TypeError, ValueError):
            points = np.empty(0)
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not np.isfinite(points).all():
            got = " ".join(reprlib.repr(outline).split())
            raise ImageError(
                f"An outline has at least 3 points (y, x) of finite numbers but got {got}; draw a rectangle, "
                "an ellipse or a polygon."
            )
        on_mask: NDArray[np.float64] = points / np.asarray(self._grid.scale) - 0.5
        return on_mask

    def _reaches(self, points: NDArray[np.float64]) -> bool:
        """Whether an outline is more than a line, and its bounding box reaches into the image."""
        low, high = points.min(axis=0), points.max(axis=0)
        is_line = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)[1] < _TINY
        return bool(not is_line and (high > -0.5).all() and (low < np.asarray(self._grid.shape) - 0.5).all())


def _mark(squares: NDArray[np.bool_], points: NDArray[np.float64]) -> None:
    """Mark the squares that an outline touches, which is given in their sides: the middle of a square lies in
    it, or its line passes through.
    """
    if (points.max(axis=0) < 0).any() or (points.min(axis=0) > squares.shape).any():
        return
    squares |= _filled(points - 0.5, Box(0, 0, *squares.shape))
    for start, end in zip(points, np.roll(points, -1, axis=0), strict=True):
        # Between two crossings of the squares' sides the line is in one of them.
        crossings = [
            (np.arange(np.ceil(min(one, other)), max(one, other)) - one) / (other - one)
            for one, other in zip(start, end, strict=True)
            if one != other
        ]
        along = np.unique(np.concatenate([[0.0, 1.0], *crossings]))
        middles = (along[1:] + along[:-1]) / 2
        rows, columns = np.floor(start + middles[:, np.newaxis] * (end - start)).astype(int).T
        inside = (rows >= 0) & (rows < squares.shape[0]) & (columns >= 0) & (columns < squares.shape[1])
        squares[rows[inside], columns[inside]] = True


def _filled(points: NDArray[np.float64], box: Box) -> NDArray[np.bool_]:
    from skimage.draw import polygon

    out = np.zeros((box.height, box.width), bool)
    out[polygon(points[:, 0] - box.y, points[:, 1] - box.x, out.shape)] = True
    return out

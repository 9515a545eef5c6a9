"""Covers what is wanted of a tile with the rectangles that cost least."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from src_model.tiling.plan import Box

Cost = Callable[[int, int], float]
"""What a rectangle of so many rows and columns costs."""


def cover(wanted: NDArray[np.bool_], cost: Cost, *, every: int = 1) -> tuple[Box, ...]:
    """Rectangles that hold all that is wanted and do not overlap, made by cutting from edge to edge.

    Parameters
    ----------
    wanted
        (rows, columns), a few of each.
    cost
        Of a rectangle; a smaller one should not cost more.
    every
        Pieces along both axes: cuts are made at multiples of so many only. The time grows with the fifth
        power of the number of places where cuts can be.

    Returns
    -------
    tuple of Box
        From top to bottom and left to right; the cheapest of all that such cuts can make, each as small
        as what it holds.
    """

    @cache
    def best(box: Box) -> tuple[float, tuple[Box, ...]]:
        tight = _tight(wanted, box)
        if tight is None:
            return 0.0, ()
        found: tuple[float, tuple[Box, ...]] = (cost(tight.height, tight.width), (tight,))
        for one, other in _cuts(tight, every):
            (first, upper), (second, lower) = best(one), best(other)
            if first + second < found[0]:
                found = first + second, upper + lower
        return found

    boxes = best(Box(0, 0, *wanted.shape))[1]
    return tuple(sorted(boxes, key=lambda box: (box.y, box.x)))


def _tight(wanted: NDArray[np.bool_], box: Box) -> Box | None:
    """The smallest box that holds what is wanted of a box."""
    rows, columns = np.nonzero(wanted[box.slices])
    if not rows.size:
        return None
    y, x = int(rows.min()), int(columns.min())
    return Box(box.y + y, box.x + x, int(rows.max()) + 1 - y, int(columns.max()) + 1 - x)


def _cuts(box: Box, every: int) -> list[tuple[Box, Box]]:
    across = [
        (Box(box.y, box.x, y - box.y, box.width), Box(y, box.x, box.y_end - y, box.width))
        for y in range((box.y // every + 1) * every, box.y_end, every)
    ]
    down = [
        (Box(box.y, box.x, box.height, x - box.x), Box(box.y, x, box.height, box.x_end - x))
        for x in range((box.x // every + 1) * every, box.x_end, every)
    ]
    return across + down

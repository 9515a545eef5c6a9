"""Covers what is wanted of an area with the rectangles that cost least."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src_model.tiling.plan import Box, round_up

Numbers = NDArray[np.integer[Any]]
Cost = Callable[[Numbers, Numbers], NDArray[np.floating[Any]]]
"""What rectangles of so many rows and columns cost; infinite where one is too large."""


def cover(wanted: NDArray[np.bool_], cost: Cost, *, every: int = 1) -> list[tuple[Box, ...]]:
    """Rectangles that hold all that is wanted and do not overlap, made by cutting from edge to edge.

    Parameters
    ----------
    wanted
        ``(N, rows, columns)``: several areas of one size, each of which is covered by itself.
    cost
        Of rectangles; a smaller one should not cost more.
    every
        Pieces along both axes: cuts are made at multiples of so many only. The time grows with the fifth
        power of the number of places where cuts can be, and little with the number of areas.

    Returns
    -------
    list of tuple of Box
        For each area, from top to bottom and left to right; the cheapest of all that such cuts can make,
        each as small as what it holds.
    """
    plans = _Plans(wanted, cost, every)
    whole = tuple(-(-length // every) for length in wanted.shape[1:])
    found = (plans.boxes(area, 0, 0, *whole) for area in range(len(wanted)))
    return [tuple(sorted(boxes, key=lambda box: (box.y, box.x))) for boxes in found]


class _Plans:
    """The least cost of every rectangle between cuts, the small ones first."""

    def __init__(self, wanted: NDArray[np.bool_], cost: Cost, every: int) -> None:
        missing = [(0, round_up(length, every) - length) for length in wanted.shape[1:]]
        wanted = np.pad(wanted, ((0, 0), *missing))
        height, width = (length // every for length in wanted.shape[1:])
        rows = [_bounds(wanted, every, w) for w in range(1, width + 1)]
        columns = [_bounds(wanted.swapaxes(1, 2), every, h) for h in range(1, height + 1)]
        self._tight: dict[tuple[int, int], tuple[Numbers, ...]] = {}
        self._alone: dict[tuple[int, int], NDArray[Any]] = {}
        self._best: dict[tuple[int, int], NDArray[Any]] = {}
        for h in range(1, height + 1):
            for w in range(1, width + 1):
                (first, last), (left, right) = rows[w - 1], (x.swapaxes(1, 2) for x in columns[h - 1])
                tight = (
                    first[:, : height - h + 1],
                    last[:, h - 1 :],
                    left[..., : width - w + 1],
                    right[..., w - 1 :],
                )
                top, bottom, start, end = tight
                alone = np.where(bottom > top, cost(bottom - top, end - start), 0.0)
                best = alone.copy()
                for one, other in self._cuts(h, w):
                    np.minimum(best, one + other, out=best)
                self._tight[h, w], self._alone[h, w], self._best[h, w] = tight, alone, best

    def _cuts(self, h: int, w: int) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """The least costs of both parts, of all rectangles of that size, for each place of a cut."""
        for row in range(1, h):
            upper, lower = self._best[row, w], self._best[h - row, w]
            yield upper[:, : upper.shape[1] - h + row], lower[:, row:]
        for column in range(1, w):
            left, right = self._best[h, column], self._best[h, w - column]
            yield left[..., : left.shape[2] - w + column], right[..., column:]

    def boxes(self, area: int, y: int, x: int, h: int, w: int) -> list[Box]:
        """The cheapest rectangles of one between cuts."""
        place = area, y, x
        best = self._best[h, w][place]
        if self._alone[h, w][place] == best:
            top, bottom, left, right = (int(edge[place]) for edge in self._tight[h, w])
            return [Box(top, left, bottom - top, right - left)] if bottom > top else []
        costs = [one[place] + other[place] for one, other in self._cuts(h, w)]
        cut = costs.index(best) + 1
        if cut < h:
            return self.boxes(area, y, x, cut, w) + self.boxes(area, y + cut, x, h - cut, w)
        cut -= h - 1
        return self.boxes(area, y, x, h, cut) + self.boxes(area, y, x + cut, h, w - cut)


def _bounds(wanted: NDArray[np.bool_], every: int, width: int) -> tuple[Numbers, Numbers]:
    """In bands of columns, so many pieces wide: the first row at or below a cut that holds anything, and the
    end of the last one above the next cut; ``(N, pieces, bands)`` each.
    """
    before = np.cumsum(np.pad(wanted, ((0, 0), (0, 0), (1, 0))), axis=2, dtype=np.int32)[..., ::every]
    holds = before[..., width:] > before[..., : before.shape[2] - width]
    length = holds.shape[1]
    rows = np.arange(length, dtype=np.int32)[:, np.newaxis]
    first = np.minimum.accumulate(np.where(holds, rows, length)[:, ::-1], axis=1)[:, ::-1]
    last = np.maximum.accumulate(np.where(holds, rows + 1, 0), axis=1)
    return first[:, ::every], last[:, every - 1 :: every]

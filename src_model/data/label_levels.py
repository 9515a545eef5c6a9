"""The levels of a label pyramid while it grows: what is known is read, what is coarser is made of it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src_model.data.label_chunks import Chunks
from src_model.data.slide_formats.level import TileCache
from src_model.data.slide_formats.pyramid import paste
from src_model.tiling.plan import Box, each

OVERVIEW = 4096
"""The first level that is at most so large, and all coarser ones, are kept in memory."""
_CACHE_BYTES = 8 << 20


class GrowingLevels:
    """Arrays of a pyramid, each half of the one before, of which only some chunks are written yet.

    Parameters
    ----------
    arrays
        Finest first.
    waiting
        For each chunk of the finest one whether it is still to be written; changed in place.
    """

    def __init__(self, arrays: Sequence[Chunks], waiting: NDArray[np.bool_]) -> None:
        self._arrays, self._waiting = arrays, waiting
        self.chunk = arrays[0].side
        self.overview = next(n for n, array in enumerate(arrays) if max(array.shape) <= OVERVIEW)
        self._coarse: list[NDArray[Any]] = [
            np.zeros(array.shape, array.dtype) for array in arrays[self.overview :]
        ]
        self._cache = TileCache(_CACHE_BYTES)
        self._lock = threading.RLock()

    def chunks(self, box: Box) -> tuple[slice, slice]:
        """Rows and columns of the chunks under a box of the same level."""
        return box.squares(self.chunk)

    def reduced(self, values: NDArray[Any]) -> NDArray[Any]:
        """A part of the finest level as the overview shows it."""
        if self.chunk % 2**self.overview:
            return _halved(values, self.overview)
        bands = [values[top : top + self.chunk] for top in range(0, len(values), self.chunk)]
        return np.concatenate([_halved(band, self.overview) for band in bands])

    def store(self, box: Box, values: NDArray[Any]) -> None:
        """Write a box of the finest level."""
        self._arrays[0].write_box(box, values)

    def show(self, box: Box, overview: NDArray[Any], values: NDArray[Any] | None = None) -> None:
        """From now on a box of the finest level is known; ``overview`` is :meth:`reduced` of it.

        Its ``values``, where they are given, are kept for the coarser levels, so that they need not be read.
        """
        with self._lock:
            self._waiting[self.chunks(box)] = False
            for number in range(self.overview):
                for row, column in each(self.chunks(_shrunk(box, number))):
                    self._cache.forget((number, row, column))
            if values is not None:
                for row, column in each(self.chunks(box)):
                    part = self._arrays[0].place(row, column).moved(-box.y, -box.x)
                    self._cache.put((0, row, column), values[part.slices].copy())
            for number, level in enumerate(self._coarse):
                place = _shrunk(box, self.overview + number)
                if number:
                    overview = most_frequent(self._coarse[number - 1][_doubled(place)])
                level[place.slices] = overview

    def read(self, number: int, box: Box) -> NDArray[Any]:
        """A part of a level as it is known now, 0 elsewhere."""
        if number >= self.overview:
            with self._lock:
                return self._coarse[number - self.overview][box.slices].copy()
        out = np.zeros((box.height, box.width), self._arrays[0].dtype)
        for row, column in each(self.chunks(box)):
            values = self._part(number, row, column)
            if values is not None:
                offset = (row * self.chunk, column * self.chunk)
                paste(out, ((box.y, box.y_end), (box.x, box.x_end)), values, offset)
        return out

    def store_parents(self, box: Box) -> None:
        """Store those chunks of coarser levels over a box of the finest of which nothing waits any more."""
        for number in range(1, self.overview):
            for row, column in each(self.chunks(_shrunk(box, number))):
                if not self._waiting[_below(number, row, column)].any():
                    self._store(number, row, column)

    def store_rest(self) -> None:
        """Store what is left of the coarser levels; chunks that were not written are empty from now on."""
        left = self._waiting.copy()
        self._waiting[...] = False
        for number in range(1, self.overview):
            height, width = self._arrays[number].shape
            for row, column in each(self.chunks(Box(0, 0, height, width))):
                if left[_below(number, row, column)].any():
                    self._store(number, row, column)
        for array, level in zip(self._arrays[self.overview :], self._coarse, strict=True):
            if array is not self._arrays[0]:
                array.write_box(Box(0, 0, *array.shape), level)

    def load_overviews(self) -> None:
        """Take the overviews of a complete pyramid from the disk."""
        for array, level in zip(self._arrays[self.overview :], self._coarse, strict=True):
            level[...] = array.read_box(Box(0, 0, *array.shape))

    def make_overviews(self) -> None:
        """Make the overviews of an incomplete pyramid of what is known."""
        base = self._coarse[0]
        for row, column in np.ndindex(*(-(-side // self.chunk) for side in base.shape)):
            place = self._arrays[self.overview].place(row, column)
            if self.overview:
                base[place.slices] = self._from_below(self.overview, place)
            elif not self._waiting[row, column]:
                base[place.slices] = self._arrays[0].read(row, column)
        for finer, coarser in pairwise(self._coarse):
            coarser[...] = most_frequent(finer)

    def _part(self, number: int, row: int, column: int) -> NDArray[Any] | None:
        """One chunk of a level as it is known now; ``None`` = nothing of it is."""
        with self._lock:
            waiting = self._waiting[_below(number, row, column)]
            known, nothing = not waiting.any(), bool(waiting.all())
        if known:
            return self._cache.get((number, row, column), lambda: self._arrays[number].read(row, column))
        return None if nothing else self._from_below(number, self._arrays[number].place(row, column))

    def _store(self, number: int, row: int, column: int) -> None:
        """Make a chunk of a coarser level, and store it."""
        values = self._from_below(number, self._arrays[number].place(row, column))
        self._arrays[number].write(row, column, values)
        self._cache.put((number, row, column), values)

    def _from_below(self, number: int, place: Box) -> NDArray[Any]:
        """A part of a level, made of the finer one."""
        rows, columns = _doubled(place)
        height, width = self._arrays[number - 1].shape
        bottom, right = min(rows.stop, height), min(columns.stop, width)
        finer = Box(rows.start, columns.start, bottom - rows.start, right - columns.start)
        return most_frequent(self.read(number - 1, finer))


def _halved(values: NDArray[Any], times: int) -> NDArray[Any]:
    for _ in range(times):
        values = most_frequent(values)
    return values


def most_frequent(labels: NDArray[Any]) -> NDArray[Any]:
    """Half the size: of every four pixels the most frequent value, the largest of those that are.

    Parameters
    ----------
    labels
        (Y, X); an odd last row or column counts twice.

    Returns
    -------
    ndarray
        (ceil(Y / 2), ceil(X / 2)).
    """
    height, width = labels.shape
    largest = labels.max(initial=0)
    if not largest:
        return np.zeros((-(-height // 2), -(-width // 2)), labels.dtype)
    if height % 2 or width % 2:
        labels = np.pad(labels, ((0, height % 2), (0, width % 2)), mode="edge")
    if largest == 1:
        pairs = labels[::2] + labels[1::2]
        half: NDArray[Any] = (pairs[:, ::2] + pairs[:, 1::2] >= 2).astype(labels.dtype)
        return half
    a, b, c, d = (np.ascontiguousarray(labels[y::2, x::2]) for y in (0, 1) for x in (0, 1))
    lower, upper = (np.minimum(a, b), np.minimum(c, d)), (np.maximum(a, b), np.maximum(c, d))
    least, most = np.minimum(*lower), np.maximum(*upper)
    middle = np.maximum(*lower), np.minimum(*upper)
    low, high = np.minimum(*middle), np.maximum(*middle)
    # Sorted, equal values are neighbours: the middle two, or else the upper two, or else the lower two.
    pair = (low == high) | ((high != most) & (least == low))
    result: NDArray[Any] = np.where(pair, low, most)
    return result


def _shrunk(box: Box, levels: int) -> Box:
    """What a box covers, so many levels coarser."""
    shrink = 2**levels
    y, x = box.y // shrink, box.x // shrink
    return Box(y, x, -(-box.y_end // shrink) - y, -(-box.x_end // shrink) - x)


def _doubled(box: Box) -> tuple[slice, slice]:
    """What lies under a box in the next finer level; it may reach beyond the edge."""
    return slice(2 * box.y, 2 * box.y_end), slice(2 * box.x, 2 * box.x_end)


def _below(number: int, row: int, column: int) -> tuple[slice, slice]:
    """The chunks of the finest level under one of another level."""
    count = 2**number
    return slice(row * count, (row + 1) * count), slice(column * count, (column + 1) * count)

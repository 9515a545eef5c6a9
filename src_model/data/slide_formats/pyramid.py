"""Pyramids: levels that contradict the finest one are left out, missing coarse ones are computed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src_model.data.slide_formats.level import Box, Level, TileCache, tiles_under

LARGE = 4096
"""An image whose coarsest level is larger than so many pixels gets coarser ones."""
_OVERVIEW = 1024
_READ_AT_ONCE = 2048


def check_levels(levels: Sequence[Level]) -> tuple[list[Level], list[str]]:
    """Keep the levels that belong to one pyramid.

    Parameters
    ----------
    levels
        As they are stored, in any order.

    Returns
    -------
    kept
        Finest first; each smaller than the one before.
    warnings
        One sentence for each level that was left out.
    """
    ordered = sorted(levels, key=lambda level: -math.prod(level.size_yx))
    kept, warnings = [ordered[0]], []
    for level in ordered[1:]:
        wrong = _disagreement(kept, level)
        if wrong:
            warnings.append(f"{level.name} is left out: {wrong}.")
        else:
            kept.append(level)
    return kept, warnings


def downsample(finest: Level, level: Level) -> float:
    """How many pixels of ``finest`` one pixel of ``level`` covers along an axis."""
    (height, width), (low, narrow) = finest.size_yx, level.size_yx
    return math.sqrt(height / low * width / narrow)


def _disagreement(kept: Sequence[Level], level: Level) -> str | None:
    """What contradicts the levels before, or ``None``."""
    finest, last = kept[0], kept[-1]
    if (level.axes, level.channels) != (finest.axes, finest.channels):
        return f"it has {level.channels} channels but the finest level has {finest.channels}"
    if level.dtype != finest.dtype:
        return f"its pixels are {level.dtype} but those of the finest level are {finest.dtype}"
    if any(now >= before for now, before in zip(level.size_yx, last.size_yx, strict=True)):
        return (
            f"its size {_times(level.size_yx)} is not below that of the level before, {_times(last.size_yx)}"
        )
    if not _one_ratio(finest.size_yx, level.size_yx):
        return (
            f"its size {_times(level.size_yx)} does not fit the finest level, {_times(finest.size_yx)}, "
            "at any one reduction"
        )
    return None


def _one_ratio(fine: tuple[int, int], coarse: tuple[int, int]) -> bool:
    """Whether one reduction explains both sides, each rounded by less than a pixel."""
    least = max(full / (small + 1) for full, small in zip(fine, coarse, strict=True))
    most = min(
        full / (small - 1) if small > 1 else math.inf for full, small in zip(fine, coarse, strict=True)
    )
    return least <= most


def _times(size: tuple[int, int]) -> str:
    return "x".join(map(str, size))


def add_overviews(levels: list[Level]) -> list[Level]:
    """The levels, and coarser ones computed from the coarsest where that is :data:`LARGE`.

    Each halves the one before, down to 1,024 pixels. A pixel is the mean of those that it covers.
    Nothing is computed until it is looked at, and then only the tiles in view.
    """
    base = levels[-1]
    longest = max(base.size_yx)
    if longest <= LARGE:
        return levels
    steps = math.ceil(math.log2(longest / _OVERVIEW))
    start = len(levels)
    cache = TileCache()  # apart, because making one of its tiles passes many finer ones through theirs
    file = base.name.rsplit(", level", 1)[0]
    return levels + [
        _Reduced(base, 2**step, cache).as_level(f"{file}, level {start + step - 1}")
        for step in range(1, steps + 1)
    ]


class _Reduced:
    """Block means of a finer level, computed a tile at a time."""

    def __init__(self, base: Level, factor: int, cache: TileCache) -> None:
        self.base, self.factor, self.cache = base, factor, cache
        width = max(_READ_AT_ONCE, min(base.tile[1], base.size_yx[1]))
        height = _READ_AT_ONCE**2 // width
        self.tile = (max(1, height // factor), max(1, width // factor))

    def as_level(self, name: str) -> Level:
        sides = dict(zip("YX", self.base.size_yx, strict=True))
        shape = tuple(
            -(-sides[axis] // self.factor) if axis in sides else length
            for axis, length in zip(self.base.axes, self.base.shape, strict=True)
        )
        return Level(shape, self.base.dtype, self.base.axes, self.read, name=name, tile=self.tile)

    def read(self, box: Box) -> NDArray[Any]:
        axes = self.base.axes
        spans = dict(zip(axes, box, strict=True))
        channels = spans.pop("C", (0, 1))
        out = np.empty([stop - start for start, stop in box], self.base.dtype)
        for row, column in tiles_under(tuple(spans.values()), self.tile):
            tile = self._tile(row, column, channels)
            offsets = {"Y": row * self.tile[0], "X": column * self.tile[1], "C": channels[0]}
            paste(out, box, tile, tuple(offsets[axis] for axis in axes))
        return out

    def _tile(self, row: int, column: int, channels: tuple[int, int]) -> NDArray[Any]:
        key = ("mean", id(self), row, column, channels)
        return self.cache.get(key, lambda: self._mean(row, column, channels))

    def _mean(self, row: int, column: int, channels: tuple[int, int]) -> NDArray[Any]:
        spans = {"C": channels}
        for axis, index, side, length in zip("YX", (row, column), self.tile, self.base.size_yx, strict=True):
            start = index * side * self.factor
            spans[axis] = (start, min(start + side * self.factor, length))
        fine = self.base.read(tuple(spans[axis] for axis in self.base.axes))
        return block_mean(fine, tuple(1 if axis == "C" else self.factor for axis in self.base.axes))


def block_mean(image: NDArray[Any], blocks: tuple[int, ...]) -> NDArray[Any]:
    """The mean of each block of an image; those at the end may be smaller.

    Parameters
    ----------
    image
        Any axes and type; whole numbers are rounded.
    blocks
        Length of a block along each axis.
    """
    total, exact = image, np.float32 if image.dtype.itemsize == 1 else np.float64
    for axis, block in enumerate(blocks):
        if block == 1:
            continue
        starts = np.arange(0, total.shape[axis], block)
        counts = np.diff(np.append(starts, total.shape[axis]))
        shape = [-1 if n == axis else 1 for n in range(total.ndim)]
        sums = np.add.reduceat(total, starts, axis=axis, dtype=exact)
        total = sums / counts.reshape(shape).astype(exact)
    return (np.rint(total) if image.dtype.kind in "iu" else total).astype(image.dtype)


def paste(out: NDArray[Any], box: Box, tile: NDArray[Any], offset: tuple[int, ...]) -> None:
    """Copy what a tile that begins at ``offset`` has of ``box`` into ``out``."""
    source, target = [], []
    for (start, stop), first, length in zip(box, offset, tile.shape, strict=True):
        low, high = max(start, first), min(stop, first + length)
        if high <= low:
            return
        source.append(slice(low - first, high - first))
        target.append(slice(low - start, high - start))
    out[tuple(target)] = tile[tuple(source)]

"""A small picture of a whole slide, read block by block, and how much of tissue each of its pixels has."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from src_model.data.slide import Slide
from src_model.data.slide_formats.level import Level
from src_model.errors import DataError

LEAST_SIDE = 1000
"""Of the coarsest level that is still looked at, its longer side, pixels."""
MOST_SIDE = 2048
"""The longer side of a thumbnail is at most this."""
BLOCK_BYTES = 32 << 20
"""What is read at once takes at most about this."""
_LEAST_BLOCK = 128
"""Where a block cannot be read, its quarters are tried, down to this side."""
_BLACK = 12 / 255
"""No colour above this: what a scanner writes where it did not look."""
_TINY = float(np.finfo(np.float32).tiny)
_SMOOTHING = 1.0
"""Standard deviation of the smoothing, pixels of the thumbnail."""


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """What the search for tissue looks at; made once for any number of thresholds."""

    values: NDArray[np.float32]
    """``(h, w)``, 0 = surely none to 1 = most: against white how coloured or dark, else the intensity."""
    looked: NDArray[np.bool_]
    """``(h, w)``: where the scanner looked, so that the value means something."""
    damaged: NDArray[np.bool_]
    """``(h, w)``: where the slide cannot be decoded."""
    noise: float
    """Standard deviation of the values that noise from pixel to pixel would explain."""
    against_white: bool
    scale: tuple[float, float]
    """Pixels of the finest level that a pixel covers, rows and columns."""
    pixel_size_um: tuple[float, float] | None
    """Height and width of a pixel, micrometres, where the slide tells it."""


def read_thumbnail(slide: Slide, *, against_white: bool | None = None) -> Thumbnail:
    """Read a slide at a size of about 1,000 to 2,000 pixels; memory does not grow with the slide.

    Parameters
    ----------
    slide
        With any axes and pixels.
    against_white
        Whether tissue is what is darker or more coloured than a white background. ``None``: for
        colours yes, unless the picture is a bright one on black; for others no.

    Raises
    ------
    DataError
        When no part of the slide can be decoded.
    """
    level = choose_level(slide)
    factor = max(1, -(-max(level.size_yx) // MOST_SIDE))
    pixels, damaged = _reduced(level, factor)
    sy, sx = (fine / coarse * factor for fine, coarse in zip(slide.size_yx, level.size_yx, strict=True))
    size = slide.pixel_size_um
    if slide.is_rgb:
        least, most = _extremes(pixels)
        brightest = 255.0 if slide.dtype == np.uint8 else _high(most[~damaged])
        least, most = least / brightest, most / brightest
        black = most <= _BLACK
        white = not _on_black(least[~damaged], black[~damaged]) if against_white is None else against_white
        values, looked = (1 - least, ~black & ~damaged) if white else (most, ~damaged)
    else:
        mean = pixels.mean(-1)
        low, white, looked = float(np.nanpercentile(mean[~damaged], 0.1)), bool(against_white), ~damaged
        values = (mean - low) / max(_high(mean[~damaged]) - low, _TINY)
        values = 1 - values if white else values
    values = np.where(looked, np.nan_to_num(values), 0).clip(0, 1).astype(np.float32)
    return Thumbnail(
        values=ndimage.gaussian_filter(values, _SMOOTHING),
        looked=looked,
        damaged=damaged,
        noise=_noise(values) / (2 * math.sqrt(math.pi) * _SMOOTHING),
        against_white=white,
        scale=(sy, sx),
        pixel_size_um=None if size is None else (size[0] * sy, size[1] * sx),
    )


def choose_level(slide: Slide) -> Level:
    """The coarsest level whose longer side is at least :data:`LEAST_SIDE`, else the finest."""
    large = [level for level in slide.levels if max(level.size_yx) >= LEAST_SIDE]
    return large[-1] if large else slide.levels[0]


def _reduced(level: Level, factor: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Means over blocks of ``factor`` pixels, ``(h, w, C)``, and where none could be read, ``(h, w)``."""
    height, width = (-(-length // factor) for length in level.size_yx)
    pixels = np.zeros((height, width, level.channels), np.float32)
    damaged = np.zeros((height, width), bool)
    failures: list[DataError] = []
    side = int((BLOCK_BYTES / (level.channels * level.dtype.itemsize)) ** 0.5)
    side = max(_LEAST_BLOCK, side // factor * factor or factor)
    for y in range(0, level.size_yx[0], side):
        for x in range(0, level.size_yx[1], side):
            for (top, left), block in _blocks(level, y, x, side, factor, failures):
                place = np.s_[top // factor :, left // factor :]
                if block is None:
                    damaged[place][: -(-side // factor), : -(-side // factor)] = True
                    continue
                small = _means(block, factor)
                pixels[place][: small.shape[0], : small.shape[1]] = small
                damaged[place][: small.shape[0], : small.shape[1]] = False
    if damaged.all():
        raise failures[0]
    return pixels, damaged


def _blocks(
    level: Level, y: int, x: int, side: int, factor: int, failures: list[DataError]
) -> Iterator[tuple[tuple[int, int], NDArray[Any] | None]]:
    """A square ``(Y, X, C)`` from its corner on; where it cannot be read ``None``, then its quarters."""
    height, width = level.size_yx
    if y >= height or x >= width:
        return
    spans = {"Y": (y, min(y + side, height)), "X": (x, min(x + side, width)), "C": (0, level.channels)}
    try:
        block = level.read(tuple(spans[axis] for axis in level.axes))
    except DataError as error:
        failures.append(error)
        yield (y, x), None
        half = side // 2 // factor * factor
        if half >= max(_LEAST_BLOCK, factor):
            for top in range(y, y + side, half):
                for left in range(x, x + side, half):
                    yield from _blocks(level, top, left, half, factor, failures)
        return
    yield (y, x), np.moveaxis(block, 0, -1) if level.axes == "CYX" else np.atleast_3d(block)


def _means(block: NDArray[Any], factor: int) -> NDArray[np.float32]:
    """Of squares of ``factor`` pixels; those at the end may be smaller."""
    rows, columns = (-(-length // factor) for length in block.shape[:2])
    total = np.zeros((rows, columns, block.shape[2]), np.float32)
    for y in range(min(factor, block.shape[0])):
        for x in range(min(factor, block.shape[1])):
            part = block[y::factor, x::factor]
            total[: part.shape[0], : part.shape[1]] += part
    heights, widths = (
        np.minimum(factor, length - np.arange(0, length, factor)).astype(np.float32)
        for length in block.shape[:2]
    )
    total /= (heights[:, np.newaxis] * widths)[..., np.newaxis]
    return total


def _extremes(pixels: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The least and the greatest of three colours ``(..., 3)``; much faster than along the last axis."""
    red, green, blue = (pixels[..., n] for n in range(3))
    return np.minimum(np.minimum(red, green), blue), np.maximum(np.maximum(red, green), blue)


def _high(values: NDArray[np.float32]) -> float:
    """Nearly the greatest, above 0."""
    return max(float(np.nanpercentile(values, 99.9)), _TINY)


def _on_black(least: NDArray[np.float32], black: NDArray[np.bool_]) -> bool:
    """Whether colours shine on black: much of the picture is black, and nothing is white."""
    return bool(black.mean() > 0.25 and np.percentile(least, 99) < 0.5)


def _noise(values: NDArray[np.float32]) -> float:
    """Standard deviation of the noise, from how neighbours differ; structure counts as little as it can."""
    if values.shape[1] < 2:
        return 0.0
    return float(np.median(np.abs(np.diff(values, axis=1))) / (0.6745 * math.sqrt(2)))

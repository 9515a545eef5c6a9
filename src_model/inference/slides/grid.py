"""At which resolution a slide is segmented, and how its pixels are brought to it."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src_model.data.slide import Slide
from src_model.data.slide_formats.damage import around_damage
from src_model.data.slide_formats.level import tiles_under
from src_model.errors import DataError, ImageError
from src_model.inference.slides.fit import known_channels
from src_model.tiling.plan import Box, round_up

STEP = 32
"""Where pixels are resampled, so many of the mask cover a whole number of the slide's."""
_ROWS = 512
"""That are read at a time, at least."""
_NEAR = 0.03
"""A level is taken as it is where its resolution differs by no more than this share."""
_FINEST = 0.25
"""So much finer than the slide itself it may be at most, along an axis."""


@dataclass(frozen=True)
class Grid:
    """The pixels of the mask: on a level of the slide, each as wide as ``factor`` of its pixels."""

    level: int
    factor: float
    """A multiple of 1/32, so that tiles begin on whole pixels of the level; 1 = not resampled."""
    shape: tuple[int, int]
    """Of the mask, pixels."""
    scale: tuple[float, float]
    """Pixels of the slide's finest level that one of the mask covers, rows and columns."""
    pixel_size_um: float | None
    """Side of a pixel of the mask, micrometres."""

    def multiple(self, required: int) -> int:
        """On which pixels of the mask tiles may begin, for a network that needs multiples of ``required``."""
        return required if self.factor == 1 else round_up(STEP, required)


def choose_grid(slide: Slide, wanted_um: float | None, slide_um: float | None) -> Grid:
    """The nearest level that is not coarser, unless one is as good as equal.

    Parameters
    ----------
    slide
        What is segmented.
    wanted_um
        Side of a pixel of the mask, micrometres; ``None`` = that of the finest level.
    slide_um
        That of the finest level; ``None`` = not known, then the finest level is taken.

    Raises
    ------
    ImageError
        When it is much finer than the slide, or leaves less than a pixel.
    """
    ratio = wanted_um / slide_um if wanted_um is not None and slide_um is not None else 1.0
    if ratio < _FINEST:
        raise ImageError(
            f"A pixel size of {wanted_um:g} micrometres is much finer than that of the slide, {slide_um:g}; "
            f"choose at least {_FINEST * (slide_um or 1):g}."
        )
    reductions = slide.downsamples
    nearest = min(range(len(reductions)), key=lambda n: abs(np.log(reductions[n] / ratio)))
    if abs(reductions[nearest] / ratio - 1) <= _NEAR:
        number, factor = nearest, 1.0
    else:
        number = max((n for n, reduction in enumerate(reductions) if reduction <= ratio), default=0)
        factor = max(round(ratio / reductions[number] * STEP), 1) / STEP
    sides = slide.levels[number].size_yx
    shape = tuple(int(np.ceil(side / factor)) for side in sides)
    if min(sides) < factor:
        raise ImageError(
            f"At a pixel size of {wanted_um:g} micrometres nothing is left of the slide, whose pixels are "
            f"{slide_um or 0:g}; choose a smaller one."
        )
    scale = tuple(full / side * factor for full, side in zip(slide.size_yx, sides, strict=True))
    size = None if slide_um is None else slide_um * reductions[number] * factor
    return Grid(number, factor, (shape[0], shape[1]), (scale[0], scale[1]), size)


class GridReader:
    """Reads a slide at the resolution of its mask; several threads may.

    What cannot be decoded is replaced, piece by piece, by white (colours) or 0, and noted.

    Parameters
    ----------
    slide, grid
        What is read, and how.
    channels
        Which ones of a slide with channels; ``None`` = all.

    Raises
    ------
    ImageError
        When the slide does not have them.
    """

    def __init__(self, slide: Slide, grid: Grid, channels: Sequence[int] | None = None) -> None:
        fill = 255 if slide.is_rgb and slide.dtype == np.uint8 else 0
        self._level = around_damage(slide.levels[grid.level], fill, self._note)
        self._grid = grid
        self._channels = None if channels is None else known_channels(slide, channels)
        self._lock = threading.Lock()
        self._damaged: dict[tuple[int, int], str] = {}

    @property
    def damaged(self) -> tuple[Box, ...]:
        """The pieces that could not be decoded so far, in pixels of the mask."""
        with self._lock:
            cells = sorted(self._damaged)
        return tuple(self._on_mask(cell) for cell in cells)

    @property
    def reason(self) -> str:
        """Why the first of them could not."""
        return next(iter(self._damaged.values()), "")

    def read(self, box: Box) -> NDArray[Any]:
        """A box of the mask's pixels as (Y, X, C); of the slide's type, or float32 where it is resampled.

        Every pixel is the same whatever box it is read in, up to the last ones at its edges where it is
        resampled.
        """
        factor = self._grid.factor
        if factor == 1:
            return self._pixels(box)
        y, x = box.y // STEP * STEP, box.x // STEP * STEP
        height, width = round_up(box.y_end, STEP) - y, round_up(box.x_end, STEP) - x
        source = Box(*(int(value * factor) for value in (y, x, height, width)))
        rows, columns = self._level.size_yx
        inside = Box(
            source.y, source.x, min(source.height, rows - source.y), min(source.width, columns - source.x)
        )
        pixels = self._pixels(inside)
        beyond = ((0, source.height - inside.height), (0, source.width - inside.width), (0, 0))
        pixels = np.pad(pixels, beyond, mode="edge") if any(map(any, beyond)) else pixels
        return resample(pixels, (height, width))[box.y - y : box.y_end - y, box.x - x : box.x_end - x]

    def pieces(self, box: Box) -> Iterator[tuple[int, NDArray[Any]]]:
        """What :meth:`read` gives, some rows after the other, each with the number of its first row.

        They end where tiles of the slide do, so that none is decoded twice. All rows at once where they are
        resampled.
        """
        step = round_up(_ROWS, self._level.tile[0]) if self._grid.factor == 1 else box.y_end
        row = box.y
        while row < box.y_end:
            end = min((row // step + 1) * step, box.y_end)
            yield row - box.y, self.read(Box(row, box.x, end - row, box.width))
            row = end

    def _pixels(self, box: Box) -> NDArray[Any]:
        """A box of the level's pixels as (Y, X, C)."""
        values = self._cut(box)
        if self._level.axes == "CYX":
            values = np.moveaxis(values, 0, -1)
        return values[..., np.newaxis] if values.ndim == 2 else values

    def _cut(self, box: Box) -> NDArray[Any]:
        if self._level.axes != "CYX":
            return self._level[box.slices]
        if self._channels is None:
            return self._level[(slice(None), *box.slices)]
        return np.concatenate([self._level[(slice(n, n + 1), *box.slices)] for n in self._channels])

    def is_nothing(self, boxes: Iterable[Box], damaged: Iterable[tuple[int, int, int, int]]) -> bool:
        """Whether boxes of the mask lie in damaged pieces alone, which are given as :attr:`damaged` does."""
        tile, factor = self._level.tile, self._grid.factor
        cells = {(round(y * factor / tile[0]), round(x * factor / tile[1])) for y, x, _, _ in damaged}

        def span(start: int, stop: int) -> tuple[int, int]:
            return int(start * factor), math.ceil(stop * factor)

        under = ((span(box.y, box.y_end), span(box.x, box.x_end)) for box in boxes)
        return bool(cells) and all(cells.issuperset(tiles_under(spans, tile)) for spans in under)

    def _note(self, cell: tuple[int, int], error: DataError) -> None:
        """A tile of the level is damaged."""
        with self._lock:
            self._damaged.setdefault(cell, str(error))

    def _on_mask(self, cell: tuple[int, int]) -> Box:
        height, width = self._level.tile
        factor, (rows, columns) = self._grid.factor, self._grid.shape
        y, x = int(cell[0] * height / factor), int(cell[1] * width / factor)
        bottom = min(int(np.ceil((cell[0] + 1) * height / factor)), rows)
        right = min(int(np.ceil((cell[1] + 1) * width / factor)), columns)
        return Box(y, x, bottom - y, right - x)


def resample(pixels: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Bilinear with antialiasing: (Y, X, C) to (\\*size, C); uint8 stays so, the rest becomes float32."""
    import torch
    import torch.nn.functional as F

    values = pixels if pixels.dtype == np.uint8 else pixels.astype(np.float32)
    image = torch.from_numpy(np.ascontiguousarray(values)).permute(2, 0, 1)[np.newaxis]
    small = F.interpolate(image, size=size, mode="bilinear", antialias=True, align_corners=False)
    result: NDArray[Any] = small[0].permute(1, 2, 0).numpy()
    return result

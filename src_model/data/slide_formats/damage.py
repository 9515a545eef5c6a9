"""Reading around damaged tiles, for whoever would rather have a gap than an error."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from src_model.data.slide_formats.level import Box, Level, tiles_under
from src_model.data.slide_formats.pyramid import paste
from src_model.errors import DataError

Note = Callable[[tuple[int, int], DataError], None]
"""Takes row and column of a tile, and why it cannot be decoded."""


def around_damage(level: Level, fill: ArrayLike, note: Note) -> Level:
    """The same level, but with ``fill`` in the place of tiles that cannot be decoded.

    Parameters
    ----------
    level
        What is read.
    fill
        One value, or one for each colour of ``YXC``.
    note
        Called for each such tile, every time that a part of it is asked for, in the thread that reads.
    """

    def read(box: Box) -> NDArray[np.generic]:
        try:
            return level.read(box)
        except DataError:
            return _tile_by_tile(level, box, fill, note)

    return level.read_by(read)


def _tile_by_tile(level: Level, box: Box, fill: ArrayLike, note: Note) -> NDArray[np.generic]:
    """A region of which one damaged tile costs no other."""
    out = np.full([stop - start for start, stop in box], fill, level.dtype)
    y, x = level.axes.index("Y"), level.axes.index("X")
    height, width = level.tile
    for row, column in tiles_under((box[y], box[x]), level.tile):
        tile = list(box)
        tile[y] = row * height, min((row + 1) * height, level.shape[y])
        tile[x] = column * width, min((column + 1) * width, level.shape[x])
        try:
            values = level.read(tuple(tile))
        except DataError as error:
            note((row, column), error)
            continue
        paste(out, box, values, tuple(start for start, _ in tile))
    return out

"""What the viewer reads of a mask that grows: always at once, whatever is stored already."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_utanet.adapters.drawable import drawable
from src_model.data.slide_formats.level import Level, tiles_under
from src_model.data.slide_formats.pyramid import paste
from src_model.tiling.plan import Box

if TYPE_CHECKING:
    from src_model.data.label_pyramid import LabelPyramid

Spans = tuple[tuple[int, int], ...]


class GrowingMask:
    """The levels of a label pyramid that another thread fills.

    Levels between the finest and the overview are stored when all below a chunk of theirs is known;
    until then they show the overview, enlarged, as making them would take the window's time. The
    coarsest level is an array that is changed in place: napari keeps that level once it has read it.

    Parameters
    ----------
    pyramid
        As :meth:`src_model.data.label_pyramid.LabelPyramid.open` gives it.
    """

    def __init__(self, pyramid: LabelPyramid) -> None:
        self.pyramid = pyramid
        self._coarsest = np.array(pyramid.levels[-1])
        self._lock = threading.Lock()
        self._changed: list[tuple[int, int, int, int]] = []
        last = len(pyramid.levels) - 1
        finer = drawable([self._level(number) for number in range(last)], 0, "as background")
        self.levels: list[Any] = [*finer, self._coarsest]

    def grow(self, box: tuple[int, int, int, int], overview: NDArray[Any]) -> None:
        """Show a part that was written; any thread may call it.

        Parameters
        ----------
        box
            First row, first column, height and width; pixels of the finest level.
        overview
            The part as the pyramid's overview shows it.
        """
        self.pyramid.grow(box, overview)
        shrink = 2 ** (len(self.levels) - 1)
        top, left, height, width = box
        rows = slice(top // shrink, -(-(top + height) // shrink))
        columns = slice(left // shrink, -(-(left + width) // shrink))
        self._coarsest[rows, columns] = self.pyramid.levels[-1][rows, columns]
        with self._lock:
            self._changed.append(box)

    def take_changes(self) -> NDArray[np.int64]:
        """What has grown since the last call, (N, 4): first row and column, row and column after the last."""
        with self._lock:
            boxes, self._changed = self._changed, []
        changes = np.array(boxes, dtype=np.int64).reshape(-1, 4)
        changes[:, 2:] += changes[:, :2]
        return changes

    def _level(self, number: int) -> Level:
        level = self.pyramid.levels[number]
        if number == 0 or number >= self.pyramid.overview:
            return level

        def read(spans: Spans) -> NDArray[Any]:
            return self._read(number, spans)

        return level.read_by(read)

    def _read(self, number: int, spans: Spans) -> NDArray[Any]:
        """A part of a level, chunk by chunk."""
        level, side = self.pyramid.levels[number], self.pyramid.chunk
        out = np.zeros([stop - start for start, stop in spans], level.dtype)
        for row, column in tiles_under(spans, (side, side)):
            y, x = row * side, column * side
            height, width = (min(side, end - at) for end, at in zip(level.shape, (y, x), strict=True))
            part = Box(y, x, height, width)
            values = level[part.slices] if self._is_stored(number, part) else self._enlarged(number, part)
            paste(out, spans, values, (y, x))
        return out

    def _is_stored(self, number: int, part: Box) -> bool:
        factor, (height, width) = 2**number, self.pyramid.shape
        y, x = part.y * factor, part.x * factor
        below = Box(y, x, min(part.height * factor, height - y), min(part.width * factor, width - x))
        return self.pyramid.is_done(below)

    def _enlarged(self, number: int, part: Box) -> NDArray[Any]:
        """A part of a level as the overview shows it."""
        overview = self.pyramid.levels[self.pyramid.overview]
        shrink = 2 ** (self.pyramid.overview - number)
        rows, columns = (
            np.minimum(np.arange(start, start + count) // shrink, length - 1)
            for start, count, length in zip(
                (part.y, part.x), (part.height, part.width), overview.shape, strict=True
            )
        )
        seen = overview[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        enlarged: NDArray[Any] = seen[np.ix_(rows - rows[0], columns - columns[0])]
        return enlarged

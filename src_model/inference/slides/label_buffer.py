"""Gathers the objects of many windows, so that a chunk of their labels is written when it is complete."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from src_model.tiling.plan import Box

LIMIT = 128 << 20
"""Bytes that wait at most."""

_Part = tuple[Box, NDArray[np.uint32]]


class Labels(Protocol):
    """Where the numbers of the objects are kept: an image of square chunks, 0 at first."""

    def read(self, box: Box, /) -> NDArray[Any]:
        """A part of the image."""

    def write(self, box: Box, values: NDArray[np.uint32], /) -> object:
        """Replace a chunk."""


class LabelBuffer:
    """Objects that wait to be written; chunks without one never are.

    Parameters
    ----------
    labels
        Where they go.
    shape
        Of the image, pixels.
    chunk
        Side of its chunks.
    check
        Called before each chunk; may raise.
    """

    def __init__(self, labels: Labels, shape: tuple[int, int], chunk: int, check: Callable[[], None]) -> None:
        self._labels, self._shape, self._chunk, self._check = labels, shape, chunk, check
        self._waiting: dict[tuple[int, int], list[_Part]] = {}
        self._bytes = 0

    def put(self, at: Box, labels: NDArray[np.uint32]) -> None:
        """Add the objects of a window that lies at ``at``; 0 leaves what is there."""
        side = self._chunk
        for y in range(at.y // side * side, at.y_end, side):
            for x in range(at.x // side * side, at.x_end, side):
                shared = _shared(self._box(y, x), at)
                part = labels[shared.moved(-at.y, -at.x).slices]
                if part.any():
                    held = extent(part)
                    values = part[held.slices].copy()
                    self._waiting.setdefault((y, x), []).append((held.moved(shared.y, shared.x), values))
                    self._bytes += values.nbytes
        if self._bytes > LIMIT:
            self.flush()

    def flush(self, complete: Callable[[Box], bool] = lambda _: True) -> None:
        """Write the chunks to which nothing will be added any more; all, where it is not said which."""
        for y, x in sorted(self._waiting):
            chunk = self._box(y, x)
            if complete(chunk):
                self._check()
                self._write(chunk, self._waiting.pop((y, x)))

    def _write(self, chunk: Box, parts: Iterable[_Part]) -> None:
        values = np.array(self._labels.read(chunk), np.uint32)
        for box, part in parts:
            np.copyto(values[box.moved(-chunk.y, -chunk.x).slices], part, where=part > 0)
            self._bytes -= part.nbytes
        self._labels.write(chunk, values)

    def _box(self, y: int, x: int) -> Box:
        """The chunk that begins there."""
        return Box(y, x, min(self._chunk, self._shape[0] - y), min(self._chunk, self._shape[1] - x))


def extent(labels: NDArray[Any]) -> Box:
    """The smallest box that holds all objects of an array; there is at least one."""
    (top, bottom), (left, right) = (np.flatnonzero(labels.any(axis))[[0, -1]].tolist() for axis in (1, 0))
    return Box(top, left, bottom + 1 - top, right + 1 - left)


def _shared(one: Box, other: Box) -> Box:
    """What lies in both."""
    y, x = max(one.y, other.y), max(one.x, other.x)
    return Box(y, x, min(one.y_end, other.y_end) - y, min(one.x_end, other.x_end) - x)

"""Masks, and labels in memory, for the tests of a slide's objects."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from src_model.inference.slides.components import Read
from src_model.inference.slides.objects import Numbered, stream_objects
from src_model.inference.slides.table import ObjectTable
from src_model.tiling.plan import Box


class Chunked:
    """An array that only whole chunks are written to."""

    def __init__(self, values: np.ndarray, *, chunk: int = 16) -> None:
        self.values, self.chunk = values, chunk
        self.written: list[tuple[int, int]] = []

    def read(self, box: Box) -> np.ndarray:
        return self.values[box.slices].copy()

    def write(self, box: Box, values: np.ndarray) -> None:
        assert box.y % self.chunk == 0
        assert box.x % self.chunk == 0
        height, width = self.values.shape
        assert box.y_end % self.chunk == 0 or box.y_end == height
        assert box.x_end % self.chunk == 0 or box.x_end == width
        self.values[box.slices] = values
        self.written.append((box.y, box.x))


def reader(values: np.ndarray) -> Read:
    """Reads an array in parts, and never beyond its edge."""

    def read(y: int, x: int, height: int, width: int) -> np.ndarray:
        assert min(y, x) >= 0
        assert min(height, width) >= 1
        part = values[y : y + height, x : x + width]
        assert part.shape[:2] == (height, width)
        return part.copy()

    return read


def stream(
    mask: np.ndarray,
    *,
    chunk: int = 16,
    text: io.StringIO | None = None,
    labels: Chunked | None = None,
    **options: Any,
) -> tuple[np.ndarray, Numbered, list[tuple[int, int]]]:
    """Objects of a mask by windows: their numbers, what is returned, and the steps."""
    labels = labels or Chunked(np.zeros(mask.shape, np.uint32), chunk=chunk)
    channels = ("red", "green")[: np.ndim(options["intensity"]) - 1] if "intensity" in options else ()
    for name in {"intensity", "confidence"} & options.keys():
        options[name] = reader(options[name])
    table = ObjectTable(
        text or io.StringIO(),
        pixel_size_um=0.5,
        channels=channels,
        confidence="confidence" in options,
    )
    work = stream_objects(reader(mask), mask.shape, labels, table, chunk=chunk, **options)
    steps = []
    while True:
        try:
            steps.append(next(work))
        except StopIteration as end:
            return labels.values, end.value, steps


def same_objects(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two arrays hold the same objects, whatever their numbers."""
    pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1)
    return bool(len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1])


def discs(shape: tuple[int, int], *places: tuple[float, float, float], value: int = 1) -> np.ndarray:
    """A mask of discs (row, column, radius)."""
    rows, columns = np.indices(shape)
    inside = [np.hypot(rows - y, columns - x) <= radius for y, x, radius in places]
    return np.where(np.logical_or.reduce(inside), value, 0).astype(np.uint8)

"""Masks, and a label pyramid in memory, for the tests of a slide's objects."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import numpy as np

from src_model.inference.components import Read
from src_model.inference.slide_objects import Numbered, stream_objects
from src_model.inference.slide_table import ObjectTable

Spans = tuple[tuple[int, int], tuple[int, int]]


class ArrayPyramid:
    """A label pyramid that is one array; made in a folder, as the real one."""

    made: ArrayPyramid
    """The one that was created last."""

    def __init__(self, values: np.ndarray, *, chunk: int = 16, pixel_size_um: float | None = 0.5) -> None:
        self.values = values
        self.levels = (SimpleNamespace(shape=values.shape),)
        self.chunk, self.scale, self.pixel_size_um = chunk, (2.0, 2.0), pixel_size_um
        self.attributes = {"model": "a network"}
        self.finished = False
        self.written: list[Spans] = []

    @classmethod
    def create(cls, path: Path, shape: tuple[int, int], *, chunk: int, dtype: Any, **options: Any) -> Self:
        path.mkdir()
        (path / "chunk").write_text("values")
        pyramid = cls(np.zeros(shape, dtype), chunk=chunk, pixel_size_um=options["pixel_size_um"])
        pyramid.attributes = options["provenance"]
        ArrayPyramid.made = pyramid
        return pyramid

    def read(self, box: Spans) -> np.ndarray:
        return self.values[slice(*box[0]), slice(*box[1])].copy()

    def write(self, box: Spans, values: np.ndarray) -> None:
        for (start, stop), length in zip(box, self.values.shape, strict=True):
            assert start % self.chunk == 0
            assert stop % self.chunk == 0 or stop == length
        self.written.append(box)
        self.values[slice(*box[0]), slice(*box[1])] = values

    def finish(self) -> None:
        self.finished = True


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
    mask: np.ndarray, *, chunk: int = 16, text: io.StringIO | None = None, **options: Any
) -> tuple[np.ndarray, Numbered, list[tuple[int, int]]]:
    """Objects of a mask by windows: their numbers, what is returned, and the steps."""
    pyramid = ArrayPyramid(np.zeros(mask.shape, np.uint32), chunk=chunk)
    channels = ("red", "green")[: np.ndim(options["intensity"]) - 1] if "intensity" in options else ()
    for name in {"intensity", "confidence"} & options.keys():
        options[name] = reader(options[name])
    table = ObjectTable(
        text or io.StringIO(),
        pixel_size_um=0.5,
        channels=channels,
        confidence="confidence" in options,
    )
    work = stream_objects(reader(mask), mask.shape, pyramid, table, chunk=chunk, **options)
    steps = []
    while True:
        try:
            steps.append(next(work))
        except StopIteration as end:
            return pyramid.values, end.value, steps


def same_objects(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two arrays hold the same objects, whatever their numbers."""
    pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1)
    return bool(len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1])


def discs(shape: tuple[int, int], *places: tuple[float, float, float], value: int = 1) -> np.ndarray:
    """A mask of discs (row, column, radius)."""
    rows, columns = np.indices(shape)
    inside = [np.hypot(rows - y, columns - x) <= radius for y, x, radius in places]
    return np.where(np.logical_or.reduce(inside), value, 0).astype(np.uint8)

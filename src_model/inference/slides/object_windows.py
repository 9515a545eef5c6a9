"""The second pass over the mask of a slide: objects are split, numbered, written and measured by windows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from src_model.inference.objects import reach, split_pieces, typical_radius, without_small
from src_model.inference.slides.components import Components, Grid, Read, classes_in, grown
from src_model.inference.slides.label_buffer import LabelBuffer, Labels, extent
from src_model.inference.slides.object_measures import Sums, measure
from src_model.inference.slides.table import ObjectTable
from src_model.tiling.plan import Box


@dataclass
class Windows:
    """Numbers the pieces that a first pass has found, each in a window that holds it whole."""

    read: Read
    grid: Grid
    labels: Labels
    table: ObjectTable
    chunk: int
    split: bool
    min_size: int
    intensity: Read | None
    confidence: Read | None
    check: Callable[[], None]
    found: Components
    count: int = 0
    """Objects so far."""

    def __post_init__(self) -> None:
        self._buffer = LabelBuffer(self.labels, self.grid.shape, self.chunk, self.check)
        self._radii = {value: typical_radius(radii) for value, radii in self.found.radii.items()}
        # A piece that is cut by the window's edge can look too small, but only within min_size of the edge.
        self._margin = max(map(reach, self._radii.values()), default=0) + self.min_size + 1
        self._begin_in: dict[int, list[int]] = {}
        for index, block in enumerate(self.found.crossing.block.tolist()):
            self._begin_in.setdefault(block, []).append(index)

    def split_block(self, index: int) -> None:
        """All objects that lie in a block, or begin there."""
        if self.found.filled[index]:
            self._number_block(index)
        # A piece begins in the first of its blocks, so what follows lies in later blocks.
        self._buffer.flush(lambda chunk: self.grid.block_of(chunk.y_end - 1, chunk.x_end - 1) <= index)

    def keep_huge(self, blocks: Sequence[int]) -> Iterator[None]:
        """Pieces that are too large for a window: one object each, written and measured by blocks."""
        huge = self.found.huge
        for index in blocks:
            self.check()
            self._buffer.put(self.grid[index], self._huge_in(index))
            self._buffer.flush()
            yield
        sums = Sums.nothing(len(huge), len(self.table.channels))
        for index in blocks:
            self.check()
            core = self.grid[index]
            box = grown(core, 2, self.grid.shape)
            labels = self.labels.read(box)
            sums.add(self._measure(labels, len(huge), box, core.moved(-box.y, -box.x), origin=(0, 0)))
            yield
        self._append(huge.value.tolist(), sums)

    def _number_block(self, index: int) -> None:
        """Those that stick out far have a window of their own."""
        block, pieces = self.grid[index], self.found.crossing
        near = grown(block, self.grid.side // 4, self.grid.shape)
        boxes = {number: pieces.box(number) for number in self._begin_in.get(index, [])}
        beside = [number for number, box in boxes.items() if near.contains(box)]
        self._window(_around([block, *(boxes[number] for number in beside)]), beside, block)
        for number in sorted(boxes.keys() - set(beside)):
            self.check()
            self._window(boxes[number], [number])

    def _huge_in(self, index: int) -> NDArray[np.uint32]:
        """The huge pieces in a block, numbered from 1."""
        values = self._mask(self.grid[index])
        labels = np.zeros(values.shape, np.uint32)
        parts = self.found.parts[self.found.parts[:, 0] == index]
        for value in np.unique(parts[:, 1]):
            pieces, count = ndimage.label(values == value)
            mine = parts[parts[:, 1] == value]
            number = np.zeros(count + 1, np.uint32)
            number[mine[:, 2]] = mine[:, 3] + 1
            labels += number[pieces]
        return labels

    def _window(self, box: Box, crossing: Sequence[int], block: Box | None = None) -> None:
        """Number some of the crossing pieces, all within ``box``, and every piece that lies in ``block``."""
        window = grown(box, self._margin, self.grid.shape)
        values = self._mask(window)
        labels = np.zeros(values.shape, np.uint32)
        classes: list[int] = []
        for value in classes_in(values):
            self.check()
            pieces, count = ndimage.label(values == value)
            mine = np.zeros(count + 1, bool)
            if block is not None:
                mine = _inside(pieces, count, block.moved(-window.y, -window.x))
            for number in crossing:
                if self.found.crossing.value[number] == value:
                    y, x = self.found.crossing.anchor[number] - (window.y, window.x)
                    mine[pieces[y, x]] = True
            objects = self._split(pieces, mine, value)
            lookup = np.zeros(int(objects.max(initial=0)) + 1, np.uint32)
            numbers = np.flatnonzero(np.bincount(objects.ravel())[1:]) + 1
            lookup[numbers] = np.arange(1, len(numbers) + 1) + len(classes)
            labels += lookup[objects]
            classes += [value] * len(numbers)
        if classes:
            self.check()
            self._buffer.put(window, np.where(labels, labels + np.uint32(self.count), np.uint32(0)))
            held = extent(labels)
            sums = self._measure(labels[held.slices], len(classes), held.moved(window.y, window.x))
            self._append(classes, sums)

    def _split(self, pieces: NDArray[Any], mine: NDArray[np.bool_], value: int) -> NDArray[Any]:
        """The objects of some of the pieces of a window, by numbers with gaps."""
        pieces = without_small(pieces, self.min_size)
        if not self.split or not mine.any():
            return np.where(mine[pieces], pieces, 0)
        self.check()
        objects = split_pieces(pieces, self._radii.get(value), only=mine, check=self.check)
        return without_small(objects, self.min_size)

    def _mask(self, box: Box) -> NDArray[Any]:
        return self.read(box.y, box.x, box.height, box.width)

    def _measure(
        self,
        labels: NDArray[Any],
        count: int,
        at: Box,
        core: Box | None = None,
        origin: tuple[int, int] | None = None,
    ) -> Sums:
        """Measure the objects of an array that lies at ``at``; ``core`` is what counts of it."""
        inside = at if core is None else core.moved(at.y, at.x)
        where = (inside.y, inside.x, inside.height, inside.width)
        return measure(
            labels,
            count,
            (at.y, at.x),
            core=core,
            origin=origin,
            intensity=None if self.intensity is None else self.intensity(*where),
            confidence=None if self.confidence is None else self.confidence(*where),
        )

    def _append(self, classes: Sequence[int], sums: Sums) -> None:
        """Add the rows of the next objects to the table."""
        if classes:
            self.table.add(self.count + 1, classes, sums)
            self.count += len(classes)


def _inside(pieces: NDArray[Any], count: int, block: Box) -> NDArray[np.bool_]:
    """For each number whether the piece lies wholly in a part of the array."""
    inside = np.zeros(count + 1, bool)
    inside[pieces[block.slices]] = True
    for beyond in (pieces[: block.y], pieces[block.y_end :], pieces[:, : block.x], pieces[:, block.x_end :]):
        inside[beyond] = False
    inside[0] = False
    return inside


def _around(boxes: Sequence[Box]) -> Box:
    y, x = min(box.y for box in boxes), min(box.x for box in boxes)
    return Box(y, x, max(box.y_end for box in boxes) - y, max(box.x_end for box in boxes) - x)

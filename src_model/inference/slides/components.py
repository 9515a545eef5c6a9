"""Connected pieces of a mask that is too large for memory: found block by block, joined across borders."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

from src_model.inference.objects import piece_distances
from src_model.tiling.plan import Box

Read = Callable[[int, int, int, int], NDArray[Any]]
"""Reads a part of an image: first row, first column, height, width; gives (height, width) or (…, C)."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Grid:
    """Square blocks that cover an image row by row; those at its end are smaller."""

    shape: tuple[int, int]
    """Of the image, pixels."""
    side: int
    """Of a block, pixels."""

    @property
    def columns(self) -> int:
        """Blocks beside each other."""
        return -(-self.shape[1] // self.side)

    def block_of(self, y: int, x: int) -> int:
        """In which block a pixel lies."""
        return y // self.side * self.columns + x // self.side

    def __len__(self) -> int:
        return -(-self.shape[0] // self.side) * self.columns

    def __getitem__(self, index: int) -> Box:
        if not 0 <= index < len(self):
            raise IndexError(f"Expected a block below {len(self)} but got {index}.")
        y, x = index // self.columns * self.side, index % self.columns * self.side
        return Box(y, x, min(self.side, self.shape[0] - y), min(self.side, self.shape[1] - x))

    def __iter__(self) -> Iterator[Box]:
        return (self[index] for index in range(len(self)))


@dataclass(frozen=True)
class Pieces:
    """Connected pieces of several classes, one entry each; all arrays have length N."""

    value: Ints
    """Class."""
    block: Ints
    """First block of the grid in which the piece lies."""
    anchor: Ints
    """(N, 2), row and column of one of its pixels, within that block; pixels of the image."""
    low: Ints
    """(N, 2), first row and column."""
    high: Ints
    """(N, 2), the row and column after the last."""

    def __len__(self) -> int:
        return len(self.value)

    def take(self, which: NDArray[Any]) -> Pieces:
        """Some of them, by index or mask."""
        columns = (self.value, self.block, self.anchor, self.low, self.high)
        return Pieces(*(column[which] for column in columns))

    def box(self, index: int) -> Box:
        """Bounding box of one."""
        (y, x), (height, width) = self.low[index], self.high[index] - self.low[index]
        return Box(int(y), int(x), int(height), int(width))


@dataclass(frozen=True)
class Components:
    """What a first pass over a mask tells about its connected pieces."""

    filled: NDArray[np.bool_]
    """For each block whether it holds anything."""
    radii: dict[int, NDArray[np.float32]]
    """For each class the radii of its pieces, pixels; without the huge ones."""
    crossing: Pieces
    """Pieces that touch the border to another block."""
    huge: Pieces
    """Those of them that are too large to be held in memory."""
    parts: Ints
    """(M, 4): block, class, number of the piece within the block and class, index of the huge piece."""


@dataclass
class _Border:
    """The pieces that touch a block's border, each with a number of its own from 1, and where they meet."""

    count: int = 0
    rows: list[Ints] = field(default_factory=lambda: [np.empty((0, 10), np.int64)])
    """block, class, number there, size, anchor y, x, first y, x, end y, x."""
    pairs: list[Ints] = field(default_factory=lambda: [np.empty((0, 2), np.int64)])

    def add(self, rows: Ints) -> Ints:
        """Number new pieces."""
        self.rows.append(rows)
        numbers = np.arange(self.count + 1, self.count + 1 + len(rows))
        self.count += len(rows)
        return numbers

    def meet(self, one: Ints, other: Ints) -> None:
        """Pieces that lie on both sides of a border, pixel by pixel, may be one piece."""
        both = (one > 0) & (other > 0)
        if both.any():
            self.pairs.append(np.unique(np.stack([one[both], other[both]], axis=1), axis=0))

    def joined(self) -> tuple[Ints, Ints]:
        """The rows of all pieces, and for each the whole to which it belongs, counted from 0."""
        rows, pairs = np.concatenate(self.rows), np.concatenate(self.pairs) - 1
        pairs = pairs[rows[pairs[:, 0], 1] == rows[pairs[:, 1], 1]]  # of one class
        graph = sparse.coo_matrix((np.ones(len(pairs), bool), (*pairs.T,)), shape=(len(rows), len(rows)))
        return rows, sparse.csgraph.connected_components(graph, directed=False)[1].astype(np.int64)


class Scan:
    """A first pass over a mask, block by block.

    Parameters
    ----------
    read
        Reads a part of the mask, whole numbers: 0 = background, other values = classes.
    grid
        The blocks.
    min_size
        Pieces of fewer pixels are left out.
    largest
        Pieces that are higher or wider than this many pixels, and lie in several blocks, are huge.
    measure
        Whether the radii are wanted.
    check
        Called between two steps; may raise.
    """

    def __init__(
        self, read: Read, grid: Grid, *, min_size: int, largest: int, measure: bool, check: Callable[[], None]
    ) -> None:
        self._read, self._grid, self._check = read, grid, check
        self._min_size, self._largest, self._measure = min_size, largest, measure
        self._filled = np.zeros(len(grid), bool)
        self._radii: dict[int, array[float]] = {}
        self._border = _Border()
        self._above = np.zeros(grid.shape[1], np.int64)
        """Numbers of the pieces along the lower edge of the blocks above."""
        self._left = np.zeros(0, np.int64)
        """Those along the right edge of the block before."""

    def add(self, index: int) -> None:
        """Find the pieces of one block; all are added in their order."""
        box = self._grid[index]
        values = self._read(box.y, box.x, box.height, box.width)
        lengths = (box.width, box.width, box.height, box.height)
        lines = {edge: np.zeros(n, np.int64) for edge, n in zip("tblr", lengths, strict=True)}
        self._filled[index] = values.any()
        if self._filled[index]:
            for value in classes_in(values):
                self._check()
                self._add_class(index, box, value, values == value, lines)
        if box.y:
            self._border.meet(self._above[box.x : box.x_end], lines["t"])
        if box.x:
            self._border.meet(self._left, lines["l"])
        self._above[box.x : box.x_end], self._left = lines["b"], lines["r"]

    def finish(self) -> Components:
        """Join the pieces across the borders."""
        rows, whole = self._border.joined()
        _, first = np.unique(whole, return_index=True)
        size = np.bincount(whole, rows[:, 3]).astype(np.int64)
        low, high = rows[first, 6:8], rows[first, 8:10]
        np.minimum.at(low, whole, rows[:, 6:8])
        np.maximum.at(high, whole, rows[:, 8:10])
        pieces = Pieces(rows[first, 1], rows[first, 0], rows[first, 4:6], low, high)
        kept = size >= self._min_size
        huge = kept & ((high - low).max(axis=1, initial=0) > self._largest)
        crossing = pieces.take(kept & ~huge)
        if self._measure:
            for index in range(len(crossing)):
                self._check()
                self._add_radius(int(crossing.value[index]), self._radius(crossing, index))
        number = np.cumsum(huge) - 1
        of_huge = huge[whole]
        parts = np.column_stack([rows[of_huge, :3], number[whole[of_huge]]])
        radii = {value: np.asarray(some, np.float32) for value, some in self._radii.items()}
        return Components(self._filled, radii, crossing, pieces.take(huge), parts)

    def _add_class(
        self, index: int, box: Box, value: int, mask: NDArray[np.bool_], lines: dict[str, Ints]
    ) -> None:
        pieces, count = ndimage.label(mask)
        edges = {"t": pieces[0], "b": pieces[-1], "l": pieces[:, 0], "r": pieces[:, -1]}
        height, width = self._grid.shape
        inner = {"t": box.y > 0, "b": box.y_end < height, "l": box.x > 0, "r": box.x_end < width}
        touches = np.zeros(count + 1, bool)
        for edge, line in edges.items():
            touches[line] |= inner[edge]
        touches[0] = False
        sizes, boxes = np.bincount(pieces.ravel(), minlength=count + 1), ndimage.find_objects(pieces)
        if self._measure:
            for number in (np.flatnonzero(~touches[1:] & (sizes[1:] >= self._min_size)) + 1).tolist():
                _, distances = piece_distances(pieces, number, boxes[number - 1])
                self._add_radius(value, float(distances.max()))
        numbers = np.flatnonzero(touches)
        rows = [
            [index, value, number, sizes[number], *_place(pieces, number, boxes[number - 1], box)]
            for number in numbers.tolist()
        ]
        known = np.zeros(count + 1, np.int64)
        known[numbers] = self._border.add(np.asarray(rows, np.int64).reshape(-1, 10))
        for edge, line in edges.items():
            lines[edge] += known[line]

    def _add_radius(self, value: int, radius: float) -> None:
        self._radii.setdefault(value, array("f")).append(radius)

    def _radius(self, pieces: Pieces, index: int) -> float:
        """Radius of a piece that lies in several blocks, from its own surroundings."""
        value, (y, x) = pieces.value[index], pieces.anchor[index]
        around = grown(pieces.box(index), 1, self._grid.shape)
        found, _ = ndimage.label(self._read(around.y, around.x, around.height, around.width) == value)
        number = int(found[y - around.y, x - around.x])
        box = ndimage.find_objects(found, max_label=number)[number - 1]
        return float(piece_distances(found, number, box)[1].max())


def classes_in(values: NDArray[Any]) -> list[int]:
    """Which classes a part of a mask holds."""
    present: list[int] = (np.flatnonzero(np.bincount(values.ravel(), minlength=1)[1:]) + 1).tolist()
    return present


def grown(box: Box, by: int, shape: tuple[int, int]) -> Box:
    """The box with ``by`` more pixels on each side, as far as an image of that shape goes."""
    y, x = max(0, box.y - by), max(0, box.x - by)
    return Box(y, x, min(shape[0], box.y_end + by) - y, min(shape[1], box.x_end + by) - x)


def _place(pieces: NDArray[Any], number: int, part: tuple[slice, ...], box: Box) -> tuple[int, ...]:
    """Anchor and bounding box of a piece of a block, in pixels of the image."""
    rows, columns = part
    first = columns.start + int(np.argmax(pieces[rows.start, columns] == number))
    anchor = (box.y + rows.start, box.x + first)
    return (*anchor, box.y + rows.start, box.x + columns.start, box.y + rows.stop, box.x + columns.stop)

"""The plan of a tiled pass over an image: (read, keep, write) boxes in whole numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Self


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of pixels: first row ``y``, first column ``x``, ``height`` rows, ``width`` columns."""

    y: int
    x: int
    height: int
    width: int

    @property
    def y_end(self) -> int:
        """First row below the box."""
        return self.y + self.height

    @property
    def x_end(self) -> int:
        """First column right of the box."""
        return self.x + self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the box in an array whose last two axes are (Y, X)."""
        return slice(self.y, self.y_end), slice(self.x, self.x_end)

    def squares(self, side: int) -> tuple[slice, slice]:
        """Rows and columns of the squares of so many pixels, counted from pixel 0, that the box touches."""
        return slice(self.y // side, -(-self.y_end // side)), slice(self.x // side, -(-self.x_end // side))

    def moved(self, y: int, x: int) -> Self:
        """The same box, ``y`` rows further down and ``x`` columns further right."""
        return type(self)(self.y + y, self.x + x, self.height, self.width)

    def contains(self, other: Box) -> bool:
        """Whether ``other`` lies wholly inside."""
        return (
            self.y <= other.y
            and other.y_end <= self.y_end
            and self.x <= other.x
            and other.x_end <= self.x_end
        )


def each(squares: tuple[slice, slice]) -> Iterator[tuple[int, int]]:
    """Row and column of each of some squares, as :meth:`Box.squares` gives them."""
    rows, columns = squares
    return product(range(rows.start, rows.stop), range(columns.start, columns.stop))


@dataclass(frozen=True, slots=True)
class Tile:
    """One step of a plan."""

    read: Box
    """What the network sees, in image coordinates; never outside the image."""
    keep: Box
    """The part of the network's output that is kept, counted from the corner of ``read``."""
    write: Box
    """Where the result goes, in output coordinates (counted from the corner of the region)."""

    @property
    def kept(self) -> Box:
        """The part that is kept, in image coordinates."""
        return self.keep.moved(self.read.y, self.read.x)


def plan_tiles(
    height: int, width: int, *, tile: int, halo: int, multiple: int = 1, region: Box | None = None
) -> tuple[Tile, ...]:
    """Cut an image into overlapping tiles whose kept parts cover every pixel exactly once.

    Kept parts are cut on a grid fixed to the image's corner, and every read box begins on a
    multiple of ``multiple`` (and ends on one, or at the image's edge). A network that divides its
    input by ``multiple`` therefore sees each pixel at the same phase as in the whole image.

    Parameters
    ----------
    height, width
        Size of the image, pixels; at least 1.
    tile
        Side of the kept part, pixels; rounded up to ``multiple``.
    halo
        Pixels of context read on each side beyond the kept part, as far as the image goes;
        rounded up to ``multiple``.
    multiple
        Grid on which the network works, e.g. 16 for four halvings.
    region
        Part of the image to cover, in image coordinates; ``None`` = all. Context is read beyond it.

    Returns
    -------
    tuple of Tile
        Row by row, left to right.

    Raises
    ------
    ValueError
        When a size is not positive, ``halo`` is negative, or the region is outside the image.
    """
    if min(height, width, tile, multiple) < 1 or halo < 0:
        raise ValueError(
            f"Expected positive sizes but got {height=}, {width=}, {tile=}, {halo=}, {multiple=}."
        )
    region = region or Box(0, 0, height, width)
    if region.height < 1 or region.width < 1 or not Box(0, 0, height, width).contains(region):
        raise ValueError(f"The region {region} is not inside an image of {height} x {width} pixels.")
    tiles = (
        tile_around(part, halo=halo, multiple=multiple, height=height, width=width)
        for part in cells(region, round_up(tile, multiple))
    )
    return tuple(replace(one, write=one.write.moved(-region.y, -region.x)) for one in tiles)


def cells(region: Box, side: int) -> Iterator[Box]:
    """A region cut at the multiples of ``side`` along both axes; row by row, left to right."""
    for y, bottom in _cuts(region.y, region.y_end, side):
        for x, right in _cuts(region.x, region.x_end, side):
            yield Box(y, x, bottom - y, right - x)


def tile_around(part: Box, *, halo: int, multiple: int, height: int, width: int) -> Tile:
    """The tile of which ``part`` is kept and written; the other arguments are as for :func:`plan_tiles`."""
    read = around(part, halo=halo, multiple=multiple, height=height, width=width)
    return Tile(read, part.moved(-read.y, -read.x), part)


def around(part: Box, *, halo: int, multiple: int, height: int, width: int) -> Box:
    """A part of an image and ``halo`` pixels around it, out to multiples of ``multiple`` or to the edge."""
    margin = round_up(halo, multiple)
    y, x = (max(start - margin, 0) // multiple * multiple for start in (part.y, part.x))
    bottom = min(round_up(part.y_end + margin, multiple), height)
    right = min(round_up(part.x_end + margin, multiple), width)
    return Box(y, x, bottom - y, right - x)


def round_up(value: int, multiple: int) -> int:
    """The smallest multiple of ``multiple`` that is not below ``value``."""
    return -(-value // multiple) * multiple


def _cuts(start: int, end: int, step: int) -> Iterator[tuple[int, int]]:
    while start < end:
        stop = min((start // step + 1) * step, end)
        yield start, stop
        start = stop

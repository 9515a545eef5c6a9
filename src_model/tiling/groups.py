"""The order of a tiled pass over a slide: tiles in groups, from the middle of the view outwards."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from src_model.tiling.plan import Box, Tile

Group = tuple[Tile, ...]
"""Tiles that read boxes of one size; they go through the network together."""


def group_tiles(tiles: Iterable[Tile], batch: int, *, keep_alike: bool = False) -> list[Group]:
    """Neighbours that read as much together.

    The groups depend on the plan alone, not on an order of work, so that a work that is gone on with
    computes the same.

    Parameters
    ----------
    tiles
        A plan, row by row.
    batch
        Tiles of a group at most.
    keep_alike
        Whether all tiles of a group keep the same of what they read.
    """

    def size(tile: Tile) -> tuple[int, int, Box | None]:
        return tile.read.height, tile.read.width, tile.keep if keep_alike else None

    alike = (tuple(run) for _, run in groupby(tiles, size))
    return [run[first : first + batch] for run in alike for first in range(0, len(run), batch)]


def from_middle(groups: Iterable[Group], focus: tuple[float, float], block: int) -> list[Group]:
    """The groups by their distance from a point.

    Groups of one block stay together, so that what neighbours read from the slide is decoded once.

    Parameters
    ----------
    groups
        In any order.
    focus
        (y, x) in output coordinates.
    block
        Side of a block, pixels.
    """

    def distance(y: float, x: float) -> float:
        return (y - focus[0]) ** 2 + (x - focus[1]) ** 2

    def key(group: Group) -> tuple[float, int, int, float]:
        write = group[0].write
        y, x = write.y + write.height / 2, write.x + write.width / 2
        row, column = _cell(y - focus[0], block), _cell(x - focus[1], block)
        return (row**2 + column**2, row, column, distance(y, x))

    return sorted(groups, key=key)


def _cell(offset: float, block: int) -> int:
    """Number of the block at a distance from the focus, which lies in the middle of block 0."""
    return int((offset + block / 2) // block)

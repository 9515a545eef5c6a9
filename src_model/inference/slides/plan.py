"""The plan of a slide: how large the tiles are, which ones there are, and in what order they come."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from src_model.data.label_pyramid import CHUNK
from src_model.inference.network import Network
from src_model.inference.slides.area import Area
from src_model.inference.slides.grid import Grid
from src_model.inference.slides.needs import Needs, fits, needs_of, peak_of_maps
from src_model.inference.slides.request import TILES, SlideRequest
from src_model.tiling.cover import Numbers, cover
from src_model.tiling.groups import Group, from_middle, group_tiles
from src_model.tiling.plan import Box, Tile, around, cells, round_up, tile_around

WINDOW = 256
"""Side of the samples that are looked at before the tiles, pixels of the mask."""
_BLOCK = 4
"""Tiles along the side of a block that is done before the next one is begun."""
MOST_MEMORY = 1_400_000_000
"""Bytes of memory that a work takes unless the caller names a tile that needs more."""
_EACH = 170_000
"""Pixels that could be computed in the time that a tile takes beside its own."""
_FINE = 64
"""Tiles are cut to what is to be segmented at multiples of so many pixels."""
_SPAN, _PIECES = 4, 16
"""Tiles are laid in squares of so many times their side, cut at so many places along it at most."""
_AT_ONCE = 32
_SAMPLES, _TOGETHER = 16, 4
_LATTICE = 4


@dataclass(frozen=True)
class Sizes:
    """Of tiles: side of what a square one keeps, and halo, pixels of the mask; how many go together."""

    tile: int
    halo: int
    batch: int

    @classmethod
    def of(cls, request: SlideRequest, network: Network, grid: Grid, halo_of: Callable[[int], int]) -> Sizes:
        """What the caller said, else the largest tiles that take little enough memory.

        ``halo_of`` gives the context that a tile of some side needs.
        """
        batch = request.batch_size or network.batch_size
        usual = [side for side in TILES if side <= network.largest_tile]
        sides = usual if request.tile is None else [request.tile]
        choices = [
            cls(tile, halo_of(tile) if request.halo is None else request.halo, batch) for tile in sides
        ]
        if request.tile is not None:
            return choices[0]

        def suits(sizes: Sizes) -> bool:
            needs = sizes.needs(network, grid, held=request.holds_pools)
            return needs.memory <= MOST_MEMORY and fits(needs)

        return next(filter(suits, choices), choices[-1])

    def needs(
        self, network: Network, grid: Grid, *, held: bool, tiles: int = 0, objects: bool = False
    ) -> Needs:
        """What so many tiles of this size take; ``held`` as for :func:`peak_of_maps`."""
        side = round_up(self.tile + 2 * self.halo, network.model.required_multiple)
        read, kept = ([min(length, full) for full in grid.shape] for length in (side, self.tile))
        peak = peak_of_maps(network, math.prod(read), held=held, kept=math.prod(kept) / math.prod(read))
        pixels = tiles * self.tile**2
        return needs_of(
            network,
            (read[0], read[1]),
            peak=peak,
            batch=self.batch,
            ahead=network.ahead,
            pixels=pixels,
            objects=objects,
        )


class Plan:
    """The groups of tiles of a slide.

    Parameters
    ----------
    grid, area
        The pixels of the mask, and which of them are segmented.
    sizes
        Of the tiles.
    required
        The network works on multiples of so many pixels.
    """

    def __init__(self, grid: Grid, area: Area, sizes: Sizes, required: int) -> None:
        self._grid, self._sizes = grid, sizes
        self._multiple = grid.multiple(required)
        self._step = chunk_of(sizes.tile)
        self._fine = math.gcd(_FINE, self._step)
        self.groups = group_tiles(map(self._tile, self._parts(area)), sizes.batch, keep_alike=True)
        self.tiles = sum(map(len, self.groups))

    def nearest_first(self, groups: Sequence[Group], focus: tuple[float, float] | None) -> list[Group]:
        """Some of the groups by their distance from a point of the slide, ``None`` = their middle.

        ``focus`` is (y, x) in pixels of the slide's finest level.
        """
        if focus is None:
            boxes = [tile.write for group in groups for tile in group]
            y = (min(box.y for box in boxes) + max(box.y_end for box in boxes)) / 2 if boxes else 0.0
            x = (min(box.x for box in boxes) + max(box.x_end for box in boxes)) / 2 if boxes else 0.0
        else:
            y, x = focus[0] / self._grid.scale[0], focus[1] / self._grid.scale[1]
        return from_middle(groups, (y, x), _BLOCK * self._sizes.tile)

    def chunks(self, chunk: int) -> NDArray[np.bool_]:
        """For each chunk of the mask whether a tile writes it."""
        wanted = np.zeros([-(-side // chunk) for side in self._grid.shape], bool)
        for box in (tile.write for group in self.groups for tile in group):
            wanted[box.squares(chunk)] = True
        return wanted

    def _parts(self, area: Area) -> Iterator[Box]:
        """What is to be segmented: rectangles without a chunk in common that cost least."""
        fine, side = self._fine, _SPAN * self._sizes.tile
        every = round_up(-(-side // _PIECES), self._step) // fine
        boxes = list(cells(Box(0, 0, *self._grid.shape), side))
        for first in range(0, len(boxes), _AT_ONCE):
            some = boxes[first : first + _AT_ONCE]
            wanted = np.zeros((len(some), side // fine, side // fine), bool)
            for squares, box in zip(wanted, some, strict=True):
                touched = area.touched(box, fine)
                squares[: touched.shape[0], : touched.shape[1]] = touched
            for box, parts in zip(some, cover(wanted, self._cost, every=every), strict=True):
                for part in parts:
                    y, x = box.y + part.y * fine, box.x + part.x * fine
                    bottom, right = y + part.height * fine, x + part.width * fine
                    yield Box(y, x, min(bottom, box.y_end) - y, min(right, box.x_end) - x)

    def _cost(self, rows: Numbers, columns: Numbers) -> NDArray[np.float64]:
        """Of tiles; the first half of a network sees what is read, the other what is kept.

        None is larger than a square one, or wider, as layers work on some rows at a time.
        """
        height, width, margin = rows * self._fine, columns * self._fine, 2 * self._sizes.halo
        read, most = (height + margin) * (width + margin), (self._sizes.tile + margin) ** 2
        too_large = (read > most) | (width > self._sizes.tile)
        return np.where(too_large, np.inf, (read + height * width) / 2 + _EACH)

    def _tile(self, part: Box) -> Tile:
        """The tile that keeps a part, and writes all chunks that the part touches."""
        height, width = self._grid.shape
        tile = tile_around(part, halo=self._sizes.halo, multiple=self._multiple, height=height, width=width)
        return replace(tile, write=around(part, halo=0, multiple=self._step, height=height, width=width))

    def samples(self) -> list[list[Box]]:
        """Boxes in the middle of tiles all over what is segmented; those of one size a few together."""
        parts = [tile.kept for group in self.groups for tile in group]
        boxes = map(self._middle, parts[:: -(-len(parts) // _SAMPLES)])
        alike = groupby(sorted(boxes, key=_size), key=_size)
        groups = [list(group) for _, group in alike]
        return [group[n : n + _TOGETHER] for group in groups for n in range(0, len(group), _TOGETHER)]

    def windows(self, side: int, count: int) -> list[Box]:
        """So many boxes around middles of tiles all over what is segmented; none of a smaller slide."""
        height, width = self._grid.shape
        if min(height, width) < side:
            return []
        parts = [tile.kept for group in self.groups for tile in group]
        step = max(len(parts) // count, 1)
        corners = dict.fromkeys(
            tuple(
                min(max(middle - side // 2, 0), most - side) // self._multiple * self._multiple
                for middle, most in ((part.y + part.height // 2, height), (part.x + part.width // 2, width))
            )
            for part in parts[step // 2 :: step][:count]
        )
        return [Box(y, x, side, side) for y, x in corners]

    def _middle(self, box: Box) -> Box:
        height, width = min(WINDOW, box.height), min(WINDOW, box.width)
        y, x = box.y + (box.height - height) // 2, box.x + (box.width - width) // 2
        return Box(y // self._multiple * self._multiple, x // self._multiple * self._multiple, height, width)


def _size(box: Box) -> tuple[int, int]:
    return box.height, box.width


def chunk_of(tile: int) -> int:
    """Side of the mask's chunks for tiles of that side, which are cut where chunks end."""
    return math.gcd(CHUNK, tile)


def lattice(grid: Grid) -> list[Box]:
    """Boxes all over a mask, wherever tissue may be."""
    rows, columns = (
        [number * max(side - WINDOW, 0) // (_LATTICE - 1) for number in range(_LATTICE)]
        for side in grid.shape
    )
    height, width = (min(WINDOW, side) for side in grid.shape)
    return [Box(y, x, height, width) for y in rows for x in columns]

"""The plan of a slide: how large the tiles are, which ones there are, and in what order they come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from src_model.inference.network import Network
from src_model.inference.slides.area import Area
from src_model.inference.slides.grid import Grid
from src_model.inference.slides.needs import Needs, fits, needs_of
from src_model.inference.slides.request import TILES, SlideRequest
from src_model.tiling.groups import Group, from_middle, group_tiles
from src_model.tiling.plan import Box, Tile, crop_tile, plan_tiles, round_up

WINDOW = 256
"""Side of the samples that are looked at before the tiles, pixels of the mask."""
_BLOCK = 4
"""Tiles along the side of a block that is done before the next one is begun."""
_MOST_MEMORY = 1_200_000_000
"""Bytes of memory that a work takes unless the caller names a tile that needs more."""
_STEP = 512
"""Tiles are cropped to what is wanted of them in steps of so many pixels: few sizes, to which a device
adapts once each."""
_SAMPLES = 16
_LATTICE = 4


@dataclass(frozen=True)
class Sizes:
    """Of tiles: side of the kept part and halo, pixels of the mask, and how many go together."""

    tile: int
    halo: int
    batch: int

    @classmethod
    def of(cls, request: SlideRequest, network: Network, grid: Grid) -> Sizes:
        """What the caller said, else the largest tiles that take little enough memory."""
        halo = network.model.halo if request.halo is None else request.halo
        batch = request.batch_size or network.batch_size
        if request.tile is not None:
            return cls(request.tile, halo, batch)
        choices = [cls(tile, halo, batch) for tile in TILES]

        def suits(sizes: Sizes) -> bool:
            needs = sizes.needs(network, grid)
            return needs.memory <= _MOST_MEMORY and fits(needs)

        return next(filter(suits, choices), choices[-1])

    def needs(self, network: Network, grid: Grid, *, tiles: int = 0, objects: bool = False) -> Needs:
        """What so many tiles of this size take."""
        side = round_up(self.tile + 2 * self.halo, network.model.required_multiple)
        read = (min(side, grid.shape[0]), min(side, grid.shape[1]))
        pixels = tiles * self.tile**2
        return needs_of(
            network, read, batch=self.batch, ahead=network.readers + 1, pixels=pixels, objects=objects
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
        self._grid, self._sizes, self._area = grid, sizes, area
        self._multiple = grid.multiple(required)
        tiles = plan_tiles(*grid.shape, tile=sizes.tile, halo=sizes.halo, multiple=self._multiple)
        wanted = (self._wanted(tile) for tile in tiles if area.touches(tile.write))
        self.groups = group_tiles(wanted, sizes.batch)
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
            wanted[box.y // chunk : -(-box.y_end // chunk), box.x // chunk : -(-box.x_end // chunk)] = True
        return wanted

    def _wanted(self, tile: Tile) -> Tile:
        """The tile without what is not to be segmented at its sides, in steps."""
        write = tile.write
        pieces = [
            Box(y, x, min(_STEP, write.y_end - y), min(_STEP, write.x_end - x))
            for y in range(write.y, write.y_end, _STEP)
            for x in range(write.x, write.x_end, _STEP)
        ]
        touched = [piece for piece in pieces if self._area.touches(piece)]
        if not touched:
            return tile
        y, x = min(piece.y for piece in touched), min(piece.x for piece in touched)
        bottom, right = max(piece.y_end for piece in touched), max(piece.x_end for piece in touched)
        height, width = self._grid.shape
        part = Box(y, x, bottom - y, right - x)
        halo, multiple = self._sizes.halo, self._multiple
        return crop_tile(tile, part, halo=halo, multiple=multiple, height=height, width=width)

    def samples(self) -> list[Box]:
        """Boxes in the middle of tiles all over what is segmented."""
        parts = [tile.part for group in self.groups for tile in group]
        return [self._middle(box) for box in parts[:: -(-len(parts) // _SAMPLES)]]

    def _middle(self, box: Box) -> Box:
        height, width = min(WINDOW, box.height), min(WINDOW, box.width)
        y, x = box.y + (box.height - height) // 2, box.x + (box.width - width) // 2
        return Box(y // self._multiple * self._multiple, x // self._multiple * self._multiple, height, width)


def lattice(grid: Grid) -> list[Box]:
    """Boxes all over a mask, wherever tissue may be."""
    rows, columns = (
        [number * max(side - WINDOW, 0) // (_LATTICE - 1) for number in range(_LATTICE)]
        for side in grid.shape
    )
    height, width = (min(WINDOW, side) for side in grid.shape)
    return [Box(y, x, height, width) for y in rows for x in columns]

"""Two ways of one image plane through the network, piece by piece: tiles, or shrunk to fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from src_model.errors import ConfigError
from src_model.inference.network import Network
from src_model.inference.prepare import Preparation, batch_of
from src_model.inference.request import DEFAULT_TILE, Request, TileSize
from src_model.tiling.groups import group_tiles
from src_model.tiling.plan import Box, Tile, plan_tiles

OUTPUT_SIDE = 2 * DEFAULT_TILE
"""Results of a resized plane are enlarged in squares of this side, so that memory stays flat."""


@dataclass(frozen=True, eq=False, slots=True)
class Piece:
    """A finished part of the result."""

    write: Box
    """Its place, counted from the corner of the region."""
    logits: Tensor
    """(K, write.height, write.width) float32, on the device."""


class Method(Protocol):
    """One way of segmenting the planes of one image."""

    @property
    def region(self) -> Box:
        """The part of each plane that is segmented."""
        ...

    @property
    def count(self) -> int:
        """How many pieces each plane gives."""
        ...

    def pieces(self, plane: NDArray[Any], prepare: Preparation) -> Iterator[Piece]:
        """The logits of the region of one plane (Y, X, C), in pieces that cover it once.

        Raises
        ------
        MemoryRanOut
            When the device's memory did not suffice.
        """
        ...

    def smaller(self) -> Method | None:
        """The method to go on with when memory ran out, or ``None``."""
        ...

    def describe(self) -> str:
        """For messages, e.g. ``tiles of 256 pixels``."""
        ...


@dataclass(frozen=True, eq=False)
class Tiled:
    """At the image's own resolution, in overlapping tiles."""

    network: Network
    whole: Box
    region: Box
    size: TileSize

    @property
    def count(self) -> int:
        """See :class:`Method`."""
        return len(self._plan)

    def pieces(self, plane: NDArray[Any], prepare: Preparation) -> Iterator[Piece]:
        """See :class:`Method`."""
        for group in group_tiles(self._plan, self.size.batch):
            images = batch_of([plane[tile.read.slices] for tile in group], prepare, self.network)
            logits = self.network.logits(self.network.transfer.send(images))
            for tile, result in zip(group, logits, strict=True):
                yield Piece(tile.write, result[(slice(None), *tile.keep.slices)])

    def smaller(self) -> Tiled | None:
        """See :class:`Method`."""
        size = self.size.smaller()
        return None if size is None else replace(self, size=size)

    def describe(self) -> str:
        """See :class:`Method`."""
        return f"tiles of {self.size.tile} pixels, {self.size.batch} at a time"

    @cached_property
    def _plan(self) -> tuple[Tile, ...]:
        return plan_tiles(
            self.whole.height,
            self.whole.width,
            tile=self.size.tile,
            halo=self.size.halo,
            multiple=self.network.model.required_multiple,
            region=self.region,
        )


@dataclass(frozen=True, eq=False)
class Fitted:
    """The whole plane resized to the side that the network was trained on, the result enlarged."""

    network: Network
    whole: Box
    region: Box
    side: int

    @property
    def count(self) -> int:
        """See :class:`Method`."""
        return len(self._squares)

    def pieces(self, plane: NDArray[Any], prepare: Preparation) -> Iterator[Piece]:
        """See :class:`Method`."""
        logits = self.network.logits(prepare.resized(plane, self.side)[np.newaxis])[0]
        for square in self._squares:
            place = square.moved(self.region.y, self.region.x)
            yield Piece(square, enlarge(logits, self.whole, place))

    def smaller(self) -> None:
        """See :class:`Method`: the side is the trained one, nothing smaller would do."""
        return

    def describe(self) -> str:
        """See :class:`Method`."""
        return f"the image resized to {self.side} x {self.side} pixels"

    @cached_property
    def _squares(self) -> list[Box]:
        tiles = plan_tiles(self.region.height, self.region.width, tile=OUTPUT_SIDE, halo=0)
        return [tile.write for tile in tiles]


@dataclass(frozen=True, eq=False)
class Shrunk:
    """The whole plane resized to the side that the network was trained on, and left at that."""

    network: Network
    side: int

    count = 1

    @property
    def region(self) -> Box:
        """See :class:`Method`; here the whole plane, resized."""
        return Box(0, 0, self.side, self.side)

    def pieces(self, plane: NDArray[Any], prepare: Preparation) -> Iterator[Piece]:
        """See :class:`Method`."""
        yield Piece(self.region, self.network.logits(prepare.resized(plane, self.side)[np.newaxis])[0])

    def smaller(self) -> None:
        """See :class:`Method`: the side is the trained one, nothing smaller would do."""
        return

    def describe(self) -> str:
        """See :class:`Method`."""
        return f"the image resized to {self.side} x {self.side} pixels"


def choose_method(network: Network, request: Request, height: int, width: int) -> Tiled | Fitted | Shrunk:
    """As the network was trained, unless the caller named a tile: then the native resolution.

    Raises
    ------
    ConfigError
        When the trained size is asked for but the network was not trained on resized images.
    ImageError
        When the region of interest is not inside the image.
    """
    whole, region = Box(0, 0, height, width), request.region(height, width)
    side = trained_side(network.training)
    if request.trained_size:
        return Shrunk(network, known_side(network.training))
    if side is not None and request.tile is None:
        return Fitted(network, whole, region, side)
    model = network.model
    size = request.tile_size(
        region, multiple=model.required_multiple, halo=model.halo, batch_size=network.batch_size
    )
    return Tiled(network, whole, region, size)


def trained_side(training: dict[str, Any]) -> int | None:
    """Side to which whole training images were resized, or ``None`` where they were not."""
    side = training.get("image_size")
    return int(side) if training.get("sampling") == "resize" and isinstance(side, int) else None


def known_side(training: dict[str, Any]) -> int:
    """The side of :func:`trained_side`.

    Raises
    ------
    ConfigError
        When training images were not resized.
    """
    side = trained_side(training)
    if side is None:
        raise ConfigError(
            "The model was not trained on images resized to one size, so there is no training resolution; "
            "choose the resolution 'native'."
        )
    return side


def enlarge(logits: Tensor, whole: Box, part: Box | None = None) -> Tensor:
    """Resize logits (K, h, w) linearly to the size of ``whole`` and return its ``part``.

    Only the part is computed. Pixel centres lie half a step in, as in
    ``torch.nn.functional.interpolate(align_corners=False)``.
    """
    part = part or whole
    rows = _interpolation(logits.shape[1], whole.height, part.y, part.height)
    columns = _interpolation(logits.shape[2], whole.width, part.x, part.width)
    return rows.to(logits.device) @ logits @ columns.to(logits.device).T


def _interpolation(side: int, length: int, start: int, count: int) -> Tensor:
    """Matrix (count, side) of linear interpolation from ``side`` samples to ``length``.

    Its rows are the outputs ``start`` to ``start + count``.
    """
    centre = (torch.arange(start, start + count, dtype=torch.float64) + 0.5) * side / length - 0.5
    centre = centre.clamp(0, side - 1)
    low = centre.floor().long().clamp(max=max(side - 2, 0))
    share = centre - low
    matrix = torch.zeros(count, side, dtype=torch.float64)
    row = torch.arange(count)
    matrix[row, low] = 1 - share
    matrix[row, (low + 1).clamp(max=side - 1)] += share
    return matrix.float()

"""Puts the kept parts of tiles together into one output array."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from src_model.tiling.plan import Tile


def cut(image: NDArray[Any], tile: Tile) -> NDArray[Any]:
    """A view of what ``tile`` reads from ``image`` (Y, X, ...)."""
    return image[tile.read.slices]


def place(output: NDArray[Any], tile: Tile, values: NDArray[Any]) -> None:
    """Write the kept part of one tile's result into ``output``.

    Parameters
    ----------
    output
        (..., H, W), changed in place.
    tile
        Where the values come from and go to.
    values
        (..., h, w): the network's result for all of ``tile.read``.

    Raises
    ------
    ValueError
        When ``values`` is not of the size that the tile read.
    """
    expected = (tile.read.height, tile.read.width)
    if values.shape[-2:] != expected:
        raise ValueError(f"Expected a result of {expected} pixels but got {values.shape[-2:]}.")
    output[(..., *tile.write.slices)] = np.asarray(values)[(..., *tile.keep.slices)]

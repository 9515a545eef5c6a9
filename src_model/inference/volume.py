"""Logits of a whole volume from overlapping patches, blended with a Gaussian window."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from src_model.errors import ConfigError
from src_model.models.base import SegmentationModel

Place = tuple[slice, slice, slice]
"""Of a patch in its volume: Z, Y, X."""

_SIGMA = 0.125
"""Standard deviation of the window, as a share of the patch's side (as in nnU-Net, Isensee et al., 2021)."""
_LEAST_WEIGHT = 1e-3


class Blend:
    """Cuts a volume in overlapping patches and puts their logits together again.

    Parameters
    ----------
    shape
        Of the volume, voxels (Z, Y, X).
    patch_size
        Voxels (Z, Y, X) that the network sees at once. An axis that is shorter is seen whole.
    overlap
        Share of a patch that its neighbour sees too at least, from 0 to below 1.

    Raises
    ------
    ConfigError
        When the patch size or the overlap is out of its bounds.
    """

    def __init__(self, shape: Sequence[int], patch_size: Sequence[int], overlap: float) -> None:
        if len(patch_size) != 3 or min(patch_size) < 1:
            raise ConfigError(f"patch_size must be three sizes (Z, Y, X) of at least 1 but got {patch_size}.")
        if not 0 <= overlap < 1:
            raise ConfigError(f"overlap must be from 0 to below 1 but got {overlap}.")
        self._shape = tuple(shape)
        self.window = tuple(min(side, length) for side, length in zip(patch_size, shape, strict=True))
        starts = [_starts(*axis, overlap) for axis in zip(self._shape, self.window, strict=True)]
        self.places: list[Place] = [_place(corner, self.window) for corner in product(*starts)]
        self._weight = _gaussian(self.window)
        self._weights = self._sum = torch.empty(0)

    def fill(
        self, values: NDArray[np.float32], forward: Callable[[Tensor], Tensor], batch_size: int
    ) -> Iterator[int]:
        """Give the patches of ``values`` to ``forward`` and take in their logits.

        Yields
        ------
        int
            Patches done so far, after each batch.
        """
        done = 0
        for places, batch in self.patches(values, batch_size):
            self.add(places, forward(batch))
            done += len(places)
            yield done

    def patches(self, values: NDArray[np.float32], batch_size: int) -> Iterator[tuple[list[Place], Tensor]]:
        """The patches of ``values`` (C, Z, Y, X) in batches (B, C, *window), with their places."""
        for first in range(0, len(self.places), batch_size):
            places = self.places[first : first + batch_size]
            cut = np.stack([values[(slice(None), *place)] for place in places])
            yield places, torch.from_numpy(np.ascontiguousarray(cut, dtype=np.float32))

    def add(self, places: Sequence[Place], logits: Tensor) -> None:
        """Take in the logits (B, K, *window) of the patches at ``places``."""
        if not len(self._sum):
            self._sum = torch.zeros((logits.shape[1], *self._shape))
            self._weights = torch.zeros(self._shape)
        for place, patch in zip(places, logits.float().cpu(), strict=True):
            self._sum[(slice(None), *place)] += patch * self._weight
            self._weights[place] += self._weight

    def logits(self) -> Tensor:
        """Logits (K, Z, Y, X) float32 in main memory, once every patch is in."""
        return self._sum / self._weights


def predict_volume(
    model: SegmentationModel,
    values: NDArray[np.float32],
    *,
    domain: str | int | None = None,
    patch_size: Sequence[int] = (64, 64, 64),
    overlap: float = 0.5,
    batch_size: int = 1,
    between: Callable[[], None] = lambda: None,
) -> NDArray[np.float32]:
    """Run a 3-D network over a volume of any size.

    Parameters
    ----------
    model
        In evaluation mode; runs where its weights are, the result is gathered in main memory.
    values
        ``(C, Z, Y, X)``, standardised as in training.
    domain
        Of the volume; see the network.
    patch_size, overlap
        See :class:`Blend`.
    batch_size
        Patches in one pass.
    between
        Called before each pass; may raise.

    Returns
    -------
    ndarray
        Logits ``(K, Z, Y, X)``.

    Raises
    ------
    ConfigError
        When the patch size or the overlap is out of its bounds.
    ModelError
        When the volume or the domain does not fit the network.
    """
    model.check_input(torch.empty((1, *values.shape), device="meta"), len(values))  # before patches are cut
    blend = Blend(values.shape[1:], patch_size, overlap)
    device = next(model.parameters()).device

    def forward(batch: Tensor) -> Tensor:
        between()
        logits: Tensor = model(batch.to(device), domain=domain).logits
        return logits

    with torch.inference_mode():
        for _ in blend.fill(values, forward, batch_size):
            pass
    result: NDArray[np.float32] = blend.logits().numpy()
    return result


def _starts(length: int, window: int, overlap: float) -> list[int]:
    """Where patches begin along one axis: evenly, the last one ending with the volume."""
    step = max(1, math.floor(window * (1 - overlap)))
    count = math.ceil((length - window) / step) + 1
    return [round(start) for start in np.linspace(0, length - window, count)]


def _place(corner: Sequence[int], window: Sequence[int]) -> Place:
    depth, height, width = (slice(at, at + side) for at, side in zip(corner, window, strict=True))
    return depth, height, width


def _gaussian(window: Sequence[int]) -> Tensor:
    """Weight of each voxel of a patch: 1 in its centre, small but not 0 at its corners."""
    axes = []
    for side in window:
        distance = torch.arange(side) - (side - 1) / 2
        axes.append(torch.exp(-0.5 * (distance / (_SIGMA * side)) ** 2))
    return reduce(lambda grid, axis: grid[..., None] * axis, axes).clamp(min=_LEAST_WEIGHT)

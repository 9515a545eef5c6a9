"""From stored intensities to what the network was trained on: scaled, channels matched, standardised."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from src_model.config import Normalisation
from src_model.data.image_io import finite_range
from src_model.data.normalise import Limits, match_channels, standardise, to_unit, unit_limits
from src_model.inference.network import Network

if TYPE_CHECKING:
    from torch import Tensor

_BYTES: Limits = (0.0, 255.0)
_ROWS = 32
"""That are prepared at a time: they stay in a processor's cache from one step to the next."""


@dataclass(frozen=True, eq=False)
class Preparation:
    """Prepares parts of one image for a network, all by the intensity range of the whole image."""

    limits: Limits
    in_channels: int
    normalisation: Normalisation
    _lines: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(cls, image: NDArray[Any], network: Network, limits: Limits | None = None) -> Preparation:
        """The preparation of an image (..., Y, X, C) for a network.

        ``limits`` are the intensities that become 0 and 1, ``None`` = found from the image.

        Raises
        ------
        ImageError
            When the image's channels do not fit the network.
        """
        corner = image[(0,) * (image.ndim - 3)][:1, :1]
        match_channels(corner.astype(np.float32), network.in_channels)
        has_alpha = image.shape[-1] == 4 and network.in_channels != 4
        stretch = network.training.get("intensity_range") == "image"
        if limits is None:
            limits = unit_limits(image[..., :3] if has_alpha else image, stretch=stretch)
        return cls(limits, network.in_channels, network.normalisation)

    def __call__(self, part: NDArray[Any]) -> NDArray[np.float32]:
        """A part (Y, X, C) of a plane as the network takes it, (C, Y, X); channels lie last in memory."""
        if part.dtype == np.uint8 and self.limits == _BYTES and part.shape[-1] == self.in_channels:
            return self._of_bytes(part)
        return self._standardised(self._unit(part))

    def resized(self, plane: NDArray[Any], side: int) -> NDArray[np.float32]:
        """A whole plane (Y, X, C), resized as in training, as the network takes it: (C, side, side)."""
        return self._standardised(resize_image(self._unit(plane), side))

    def _of_bytes(self, part: NDArray[np.uint8]) -> NDArray[np.float32]:
        """All steps in one, whole rows at a time."""
        import torch

        step, low = self._row(part.shape[1])
        values = torch.from_numpy(part.reshape(len(part), -1).astype(np.float32, order="C"))
        values.mul_(step).add_(low)
        return np.moveaxis(values.numpy().reshape(part.shape), -1, 0)

    def _row(self, width: int) -> tuple[Tensor, Tensor]:
        """:attr:`_line` for each pixel of a row."""
        import torch

        if width not in self._lines:
            step, low = (torch.from_numpy(np.tile(values, width)) for values in self._line)
            self._lines[width] = step, low
        return self._lines[width]

    @cached_property
    def _line(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """For each channel by how much a byte's value raises what the network sees, and where it begins."""
        ends = np.repeat(np.array([[0.0], [1.0]], np.float32), self.in_channels, axis=1)
        low, high = standardise(ends, self.normalisation)
        return (high - low) / 255, low

    def _unit(self, part: NDArray[Any]) -> NDArray[np.float32]:
        return match_channels(to_unit(part, self.limits), self.in_channels)

    def _standardised(self, unit: NDArray[np.float32]) -> NDArray[np.float32]:
        values = standardise(unit, self.normalisation)
        return np.moveaxis(values.astype(np.float32, copy=False), -1, 0)


def resize_image(image: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Bilinear with antialiasing: (Y, X, C) to (side, side, C)."""
    import torch
    import torch.nn.functional as F

    values = torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, 0)))[None]
    small = F.interpolate(values, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
    result: NDArray[np.float32] = np.moveaxis(small[0].numpy(), 0, -1)
    return result


def batch_of(images: Sequence[NDArray[Any]], prepare: Preparation, network: Network) -> Tensor:
    """Parts (Y, X, C) of an image as a batch (B, C, Y, X) of the number type that the network computes in."""
    height, width, _ = images[0].shape
    batch = empty_batch(len(images), height, width, network)
    for image, sample in zip(images, batch, strict=True):
        fill(sample, image, prepare)
    return batch


def empty_batch(count: int, height: int, width: int, network: Network) -> Tensor:
    """Room for parts of an image as the network takes them, where its maps lie."""
    import torch

    shape = (count, network.in_channels, height, width)
    return network.maps.empty(shape, network.transfer.dtype, torch.device("cpu"))


def fill(sample: Tensor, image: NDArray[Any], prepare: Preparation) -> None:
    """Prepare a part (Y, X, C) of an image to where it lies in a batch (C, Y, X).

    Some rows at a time, as float32 takes several times the memory of what is read, and more time to fetch
    from it than to compute.
    """
    import torch

    for top in range(0, len(image), _ROWS):
        sample[:, top : top + _ROWS] = torch.from_numpy(prepare(image[top : top + _ROWS]))


def fill_from(
    sample: Tensor, pieces: Iterable[tuple[int, NDArray[Any]]], prepare: Preparation
) -> NDArray[Any] | None:
    """:func:`fill` with an image that comes in pieces, each with the number of its first row.

    An image without contrast is left out: the pixel (1, 1, C) that all of it equals is returned instead.
    """
    pixel: NDArray[Any] | None = None
    for row, piece in pieces:
        if row == 0:
            pixel = first = piece[:1, :1].copy()
        if pixel is not None and not (is_constant(piece) and np.array_equal(piece[:1, :1], pixel)):
            pixel = None
            fill(sample[:, :row], np.broadcast_to(first, (row, *piece.shape[1:])), prepare)
        if pixel is None:
            fill(sample[:, row : row + len(piece)], piece, prepare)
    return pixel


def is_constant(plane: NDArray[Any]) -> bool:
    """Whether a plane has no contrast: all its finite values are equal, or it has none."""
    return _is_flat(plane[::_ROWS]) and _is_flat(plane)  # some of its rows mostly tell that it has


def _is_flat(plane: NDArray[Any]) -> bool:
    low, high = finite_range(plane)
    return low == high

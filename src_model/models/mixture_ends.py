"""The two ends of a mixture of skips: levels onto one grid, and mixtures back onto the levels' grids."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from src_model.models.blocks import conv_bn_relu, resize, shrink

_LIGHT_FUSE_GROUPS = 8


class Fuse(nn.ModuleList):
    """Resize the levels to one grid, join and reduce them: 1x1 convolution, BatchNorm, ReLU.

    Parameters
    ----------
    channels, width
        Of the levels; of the result.
    dims
        2 or 3 spatial axes.
    light
        Grouped, with corners kept in place.

    Attributes
    ----------
    corners : bool
        Whether corners are kept in place: what a pixel sees then depends on where in the image it is.
    """

    def __init__(self, channels: Sequence[int], width: int, *, dims: int = 2, light: bool = False) -> None:
        groups = math.gcd(_LIGHT_FUSE_GROUPS, sum(channels), width) if light else 1
        super().__init__(conv_bn_relu(sum(channels), width, 1, dims=dims, groups=groups))
        self.channels, self.light, self.corners = tuple(channels), light, light

    def forward(self, features: Sequence[Tensor], grid: Sequence[int]) -> Tensor:
        """One ``(B, channels[i], ...)`` per level to ``(B, width, *grid)``."""
        return _run(self, torch.cat([on_grid(f, grid, align_corners=self.corners) for f in features], dim=1))


class Dock(nn.ModuleList):
    """Turn a mixture into the channels of a level, then resize it to the level's grid.

    Parameters
    ----------
    width, channels
        Of the mixture; of the level.
    dims
        2 or 3 spatial axes.
    light
        Grouped, with corners kept in place.
    activation
        Whether a ReLU follows the 1x1 convolution and the BatchNorm.

    Attributes
    ----------
    corners : bool
        As for :class:`Fuse`.
    """

    def __init__(
        self, width: int, channels: int, *, dims: int = 2, light: bool = False, activation: bool = True
    ) -> None:
        groups = math.gcd(width, channels) if light else 1
        layers = list(conv_bn_relu(width, channels, 1, dims=dims, groups=groups))
        super().__init__(layers if activation else layers[:2])
        self.light, self.corners = light, light

    def forward(self, mixture: Tensor, size: Sequence[int]) -> Tensor:
        """``(B, width, [D,] h, w)`` to ``(B, channels, *size)``."""
        return resize(_run(self, mixture), size, align_corners=self.corners)


def on_grid(feature: Tensor, grid: Sequence[int], *, align_corners: bool) -> Tensor:
    """Resized; a map more than twice as fine is averaged, of which interpolation would skip pixels."""
    if all(length > 2 * target for length, target in zip(feature.shape[2:], grid, strict=True)):
        return shrink(feature, grid)
    return resize(feature, grid, align_corners=align_corners)


def _run(layers: nn.ModuleList, x: Tensor) -> Tensor:
    for layer in layers:
        x = layer(x)
    return x

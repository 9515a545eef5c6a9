"""Experts that differ in how much of the surroundings they see, from a detail to the whole image.

Source: the hierarchical experts of the Lightweight Hierarchical UTANet.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src_model.models.blocks import BATCH_NORM, CONVOLUTION, GlobalPool

DILATIONS = (1, 2, 4)
"""Of the small, the medium and the large expert."""


def receptive_expert(number: int, width: int, *, dims: int = 2) -> nn.Module:
    """The expert of that number: small, medium, large, global, and from 4 on the same again."""
    kind = number % (len(DILATIONS) + 1)
    if kind == len(DILATIONS):
        return GlobalExpert(width, dims=dims)
    return LocalExpert(width, DILATIONS[kind], dims=dims)


class Doubling2d(nn.Conv2d):
    """A depthwise convolution to twice the channels, of two copies of each: faster, the same values."""

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to ``(B, 2C, H, W)``."""
        place: tuple[Any, ...] = (self.stride, self.padding, self.dilation, 2 * self.groups)
        return F.conv2d(twice(x), self.weight, self.bias, *place)


class Doubling3d(nn.Conv3d):
    """The same for volumes."""

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, D, H, W)`` to ``(B, 2C, D, H, W)``."""
        place: tuple[Any, ...] = (self.stride, self.padding, self.dilation, 2 * self.groups)
        return F.conv3d(twice(x), self.weight, self.bias, *place)


_DOUBLING: dict[int, type[Doubling2d] | type[Doubling3d]] = {2: Doubling2d, 3: Doubling3d}


def twice(x: Tensor) -> Tensor:
    """Each channel of ``(B, C, [D,] H, W)`` twice in a row; channels that lie last in memory stay there."""
    last = x.movedim(1, -1)
    doubled = last.unsqueeze(-1).expand(*last.shape, 2)
    return doubled.reshape(*last.shape[:-1], 2 * last.shape[-1]).movedim(-1, 1)


class LocalExpert(nn.Module):
    """Depthwise 3x3 convolution to ``2 * width`` channels, BatchNorm, ReLU, and 1x1 back.

    Parameters
    ----------
    width
        Channels in and out.
    dilation
        Step between the taps: the kernel spans ``2 * dilation + 1`` pixels.
    dims
        2 or 3 spatial axes.
    """

    def __init__(self, width: int, dilation: int, *, dims: int = 2) -> None:
        super().__init__()
        conv, look = CONVOLUTION[dims], _DOUBLING[dims]
        self.look = look(width, 2 * width, 3, padding=dilation, dilation=dilation, groups=width)
        self.norm = BATCH_NORM[dims](2 * width)
        self.relu = nn.ReLU(inplace=True)
        self.reduce = conv(2 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, width, [D,] H, W)`` to the same shape."""
        result: Tensor = self.reduce(self.relu(self.norm(self.look(x))))
        return result


class GlobalExpert(nn.Module):
    """Scale each channel by a sigmoid of what the whole image holds (squeeze and excitation)."""

    def __init__(self, width: int, *, dims: int = 2) -> None:
        super().__init__()
        conv = CONVOLUTION[dims]
        self.pool = GlobalPool(width)
        self.expand = conv(width, 2 * width, 1)
        self.relu = nn.ReLU(inplace=True)
        self.reduce = conv(2 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, width, [D,] H, W)`` to the same shape."""
        return x * torch.sigmoid(self.reduce(self.relu(self.expand(self.pool(x)))))

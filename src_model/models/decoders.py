"""Decoders: feature maps of all levels in, one full-resolution feature map out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from src_model.models.blocks import conv_bn_relu, part_of, without_gaps
from src_model.tiling.plan import Box, around

_FEW = 32
"""Of so many columns, one is rather computed than cut off: to cut columns copies the map."""


class UpBlock(nn.Module):
    """Double the resolution, halve the channels, join the skip and convolve."""

    def __init__(self, in_channels: int, skip_channels: int) -> None:
        super().__init__()
        half = max(in_channels // 2, 1)
        self.up = nn.Sequential(
            nn.ConvTranspose2d(in_channels, half, 2, stride=2), nn.BatchNorm2d(half), nn.ReLU(inplace=True)
        )
        self.conv = conv_bn_relu(skip_channels + half, half)

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        """``(B, C, H, W)`` and ``(B, S, 2H, 2W)`` to ``(B, C/2, 2H, 2W)``."""
        result: Tensor = self.conv(torch.cat([skip, self.up(below)], dim=1))
        return result


class LightUpBlock(nn.Module):
    """The same with a depthwise separable convolution, and nothing between the two."""

    def __init__(self, in_channels: int, skip_channels: int) -> None:
        super().__init__()
        half = max(in_channels // 2, 1)
        joined = skip_channels + half
        self.up = nn.ConvTranspose2d(in_channels, half, 2, stride=2)
        self.depthwise = nn.Conv2d(joined, joined, 3, padding=1, groups=joined)
        self.conv = conv_bn_relu(joined, half, 1)

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        """``(B, C, H, W)`` and ``(B, S, 2H, 2W)`` to ``(B, C/2, 2H, 2W)``."""
        result: Tensor = self.conv(self.depthwise(torch.cat([skip, self.up(below)], dim=1)))
        return result


class UNetDecoder(nn.Module):
    """A chain of :class:`UpBlock` from the coarsest level to the finest.

    Parameters
    ----------
    channels
        Of the levels, from the finest to the coarsest; each level has twice the stride of the
        one before. The result has ``channels[-1] / 2 ** (len(channels) - 1)`` channels, at least 1.
    light
        Whether the blocks are :class:`LightUpBlock`.

    Attributes
    ----------
    out_channels : int
        Channels of the result.
    """

    def __init__(self, channels: Sequence[int], *, light: bool = False) -> None:
        super().__init__()
        width = channels[-1]
        self.ups = nn.ModuleList()
        for skip in reversed(channels[:-1]):
            self.ups.append(LightUpBlock(width, skip) if light else UpBlock(width, skip))
            width = max(width // 2, 1)
        self.out_channels = width

    def forward(self, features: Sequence[Tensor], part: Box | None = None) -> Tensor:
        """Features of all levels, finest first, to ``(B, out_channels, H, W)`` of the finest.

        With a ``part`` of the finest level it is that part only, and each block computes no more than it
        takes; the values are those of the whole.
        """
        x = features[-1]
        if part is None:
            for up, skip in zip(self.ups, reversed(features[:-1]), strict=True):
                x = up(x, skip)
            return x
        height, width = features[0].shape[2:]
        seen = Box(0, 0, height, width)
        for level in reversed(range(len(self.ups))):
            stride = 1 << level
            # A pixel of the block's result looks at one on each side.
            wanted = around(part, halo=2 * stride, multiple=2 * stride, height=height, width=width)
            if seen.width - wanted.width <= seen.width // _FEW:
                wanted = replace(wanted, x=seen.x, width=seen.width)
            below = without_gaps(part_of(x, wanted.moved(-seen.y, -seen.x), 2 * stride))
            x = self.ups[-1 - level](below, part_of(features[level], wanted, stride))
            seen = wanted
        return part_of(x, part.moved(-seen.y, -seen.x))

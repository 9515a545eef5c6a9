"""Atrous spatial pyramid pooling: the deepest features seen at several scales at once.

Source: DeepLabv3+ (Chen et al., ECCV 2018); the light form is that of the Lightweight
Hierarchical UTANet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from src_model.models.blocks import GlobalPool, conv_bn_relu, part_of, without_gaps
from src_model.tiling.plan import Box, around


class ASPP(nn.Module):
    """A 1x1 convolution, dilated 3x3 convolutions and the pooled image, joined and projected.

    Parameters
    ----------
    in_channels, out_channels
        Channels in and out.
    dilations
        One branch each.
    light
        Whether the dilated convolutions are depthwise ones followed by a 1x1 convolution.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, dilations: Sequence[int] = (6, 12), light: bool = True
    ) -> None:
        super().__init__()
        self.dilations = tuple(dilations)
        self.point = conv_bn_relu(in_channels, out_channels, 1)
        branch = _separable if light else _dilated
        self.dilated = nn.ModuleList(branch(in_channels, out_channels, dilation) for dilation in dilations)
        self.pool = GlobalPool(in_channels)
        # No BatchNorm: one value a channel, which a batch of one could not normalise.
        self.pooled = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), nn.ReLU(inplace=True))
        self.project = conv_bn_relu((2 + len(self.dilated)) * out_channels, out_channels, 1)

    def forward(self, x: Tensor, part: Box | None = None) -> Tensor:
        """``(B, in_channels, H, W)`` to ``(B, out_channels, H, W)``, or to what that is in a part of it."""
        result: Tensor = self.project(torch.cat(list(self.branches(x, part)), dim=1))
        return result

    def branches(self, x: Tensor, part: Box | None = None) -> Iterator[Tensor]:
        """What is joined, ``(B, out_channels, H, W)`` each; all of ``x`` is seen, only the part is made."""
        here = x if part is None else without_gaps(part_of(x, part))
        yield self.point(here)
        for branch, dilation in zip(self.dilated, self.dilations, strict=True):
            yield branch(x) if part is None else _made_in(part, cast(nn.Sequential, branch), x, dilation)
        yield self.pooled(self.pool(x)).expand(-1, -1, *here.shape[2:])


def _made_in(part: Box, branch: nn.Sequential, x: Tensor, reach: int) -> Tensor:
    """A part of what a branch makes of a map; only its first layer looks around, ``reach`` pixels far."""
    seen = around(part, halo=reach, multiple=1, height=x.shape[2], width=x.shape[3])
    first, *others = branch
    made = without_gaps(part_of(first(without_gaps(part_of(x, seen))), part.moved(-seen.y, -seen.x)))
    for layer in others:
        made = layer(made)
    return made


def _dilated(in_channels: int, out_channels: int, dilation: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=dilation, dilation=dilation),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def _separable(in_channels: int, out_channels: int, dilation: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels, 3, padding=dilation, dilation=dilation, groups=in_channels),
        *conv_bn_relu(in_channels, out_channels, 1),
    )

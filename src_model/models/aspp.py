"""Atrous spatial pyramid pooling: the deepest features seen at several scales at once.

Source: DeepLabv3+ (Chen et al., ECCV 2018); the light form is that of the Lightweight
Hierarchical UTANet.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from src_model.models.blocks import GlobalPool, conv_bn_relu


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
        self.point = conv_bn_relu(in_channels, out_channels, 1)
        branch = _separable if light else _dilated
        self.dilated = nn.ModuleList(branch(in_channels, out_channels, dilation) for dilation in dilations)
        self.pool = GlobalPool()
        # No BatchNorm: one value a channel, which a batch of one could not normalise.
        self.pooled = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), nn.ReLU(inplace=True))
        self.project = conv_bn_relu((2 + len(self.dilated)) * out_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, in_channels, H, W)`` to ``(B, out_channels, H, W)``."""
        pooled = self.pooled(self.pool(x)).expand(-1, -1, *x.shape[2:])
        seen = [self.point(x), *(branch(x) for branch in self.dilated), pooled]
        result: Tensor = self.project(torch.cat(seen, dim=1))
        return result


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

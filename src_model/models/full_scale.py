"""The decoder of UTANet++: each level sees all levels, and attention gates what it found.

Sources: full-scale skips of UNet 3+ (Huang et al., ICASSP 2020); attention gates of Attention
U-Net (Oktay et al., 2018); channel attention of squeeze-and-excitation (Hu et al., CVPR 2018).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src_model.models.blocks import GlobalPool, conv_bn_relu, resize

_SQUEEZE, _LEAST = 16, 8


class FullScaleDecoder(nn.Module):
    """From the second coarsest level to the finest, each made of all five.

    A level sees the skips that are at least as fine as itself and the decoder's results (the
    encoder's deepest features, for the coarsest) that are coarser.

    Parameters
    ----------
    channels, strides
        Of the levels, finest first.
    level_channels
        To which each seen level is reduced before they are joined.
    attention
        Whether a :class:`GatedAttention` follows each level.
    light
        Whether the convolutions are depthwise separable.

    Attributes
    ----------
    out_channels : tuple of int
        Of the results, finest first.
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        *,
        level_channels: int = 64,
        attention: bool = True,
        light: bool = False,
    ) -> None:
        super().__init__()
        count = len(channels) - 1
        self.out_channels = tuple(max(channels[-1] // 2 ** (count - level), 1) for level in range(count))
        self.levels = nn.ModuleList()
        self.gates = nn.ModuleList()
        for level, out in enumerate(self.out_channels):
            seen = [*channels[: level + 1], *self.out_channels[level + 1 :], channels[-1]]
            pools = [max(strides[level] // stride, 1) for stride in strides]
            self.levels.append(FullScaleLevel(seen, pools, level_channels, out, light=light))
            below = self.out_channels[level + 1] if level + 1 < count else channels[-1]
            if attention:
                self.gates.append(GatedAttention(out, below))

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Features of all levels, finest first, to the decoder's levels, finest first."""
        count = len(self.levels)
        results: list[Tensor] = [*features]
        for level in reversed(range(count)):
            x = self.levels[level]([*features[: level + 1], *results[level + 1 :]])
            results[level] = self.gates[level](x, results[level + 1]) if self.gates else x
        return results[:count]


class FullScaleLevel(nn.Module):
    """Reduce each level to ``width`` channels on its own or the target's grid, join and convolve.

    Parameters
    ----------
    channels
        Of the levels.
    pools
        How many times finer than the target each level is; 1 where it is not.
    width, out_channels
        Channels of each reduced level and of the result.
    light
        Whether the convolutions are depthwise separable.
    """

    def __init__(
        self, channels: Sequence[int], pools: Sequence[int], width: int, out_channels: int, *, light: bool
    ) -> None:
        super().__init__()
        convolution = _separable if light else conv_bn_relu
        self.pools = tuple(pools)
        # Coarser levels are reduced before they are enlarged, on fewer pixels.
        self.reduce = nn.ModuleList(convolution(c, width) for c in channels)
        self.join = convolution(width * len(channels), out_channels)
        self.own = self.pools.index(1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """One ``(B, channels[i], ...)`` per level to ``(B, out_channels, H, W)`` of the target."""
        grid = features[self.own].shape[2:]
        seen = []
        for feature, pool, reduce in zip(features, self.pools, self.reduce, strict=True):
            seen.append(resize(reduce(F.max_pool2d(feature, pool) if pool > 1 else feature), grid))
        result: Tensor = self.join(torch.cat(seen, dim=1))
        return result


class GatedAttention(nn.Module):
    """Weigh each pixel by what the coarser level says of it, and each channel by the whole image.

    Parameters
    ----------
    channels, gate_channels
        Of the features and of the coarser level.
    """

    def __init__(self, channels: int, gate_channels: int) -> None:
        super().__init__()
        inner = max(channels // 2, _LEAST)
        self.feature = nn.Sequential(nn.Conv2d(channels, inner, 1), nn.BatchNorm2d(inner))
        self.gate = nn.Sequential(nn.Conv2d(gate_channels, inner, 1), nn.BatchNorm2d(inner))
        self.pixels = nn.Conv2d(inner, 1, 1)
        self.pool = GlobalPool()
        squeezed = max(channels // _SQUEEZE, _LEAST)
        self.channels = nn.Sequential(
            nn.Conv2d(channels, squeezed, 1), nn.ReLU(inplace=True), nn.Conv2d(squeezed, channels, 1)
        )

    def forward(self, x: Tensor, below: Tensor) -> Tensor:
        """``(B, channels, H, W)`` and the coarser ``(B, gate_channels, h, w)`` to the shape of ``x``."""
        agreement = torch.relu(self.feature(x) + resize(self.gate(below), x.shape[2:]))
        by_pixel = torch.sigmoid(self.pixels(agreement))
        by_channel = torch.sigmoid(self.channels(self.pool(x)))
        return x * by_pixel * by_channel


def _separable(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels),
        *conv_bn_relu(in_channels, out_channels, 1),
    )

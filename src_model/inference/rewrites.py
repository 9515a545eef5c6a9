"""Parts of a network that give the same values in evaluation mode with less work.

They rest on two facts: a linear resize and a pointwise convolution commute, and a convolution of
joined maps is the sum of the convolutions of each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from src_model.inference.folding import Plain, like
from src_model.models.blocks import BLOCK_POOL, without_gaps
from src_model.models.mixture_ends import Dock, Fuse, on_grid


def can_split(fuse: Fuse) -> bool:
    """Whether no BatchNorm is left and each group of the convolution sees a single level."""
    conv = cast(Plain, fuse[0])
    per_group = conv.in_channels // conv.groups
    alone = conv.groups == 1 or all(channels % per_group == 0 for channels in fuse.channels)
    return alone and isinstance(fuse[1], nn.Identity)


class SplitFuse(nn.Module):
    """:class:`src_model.models.mixture_ends.Fuse` without the joined map: a convolution per level.

    A level that is coarser than the grid is convolved before it is enlarged, a finer one while it
    is shrunk: the mean over a block and a pointwise convolution are one convolution of that block. The
    results of a dense convolution are added; those of a grouped one are some channels of the result
    each.

    Parameters
    ----------
    fuse
        One that :func:`can_split` allows.
    steps
        How many times finer than the grid each level is; 1 where it is not.
    """

    def __init__(self, fuse: Fuse, steps: Sequence[int]) -> None:
        super().__init__()
        conv, self.relu = cast(Plain, fuse[0]), fuse[2]
        self.corners, self.dense = fuse.corners, conv.groups == 1
        self.parts = nn.ModuleList()
        column = row = 0
        for channels in fuse.channels:
            if self.dense:
                weight = conv.weight[:, column : column + channels]
                self.parts.append(like(conv, weight, None if column else conv.bias))
            else:
                groups = channels * conv.groups // conv.in_channels
                rows = slice(row, row + groups * conv.out_channels // conv.groups)
                bias = None if conv.bias is None else conv.bias[rows]
                self.parts.append(like(conv, conv.weight[rows], bias, groups=groups))
                row = rows.stop
            column += channels
        blocks = zip(self.parts, steps, strict=True)
        self.blocks = nn.ModuleList(_block_mean(cast(Plain, part), step) for part, step in blocks)

    def forward(self, features: Sequence[Tensor], grid: Sequence[int]) -> Tensor:
        """One ``(B, channels[i], ...)`` per level to ``(B, width, *grid)``."""
        levels = zip(self.parts, self.blocks, map(without_gaps, features), strict=True)
        maps = (self._on_grid(part, block, feature, grid) for part, block, feature in levels)
        if self.dense:
            joined = next(maps)
            for other in maps:
                joined.add_(other)
                del other  # before the next one is made
        else:
            joined = torch.cat(list(maps), dim=1)
        result: Tensor = self.relu(joined)
        return result

    def _on_grid(self, part: nn.Module, block: nn.Module, feature: Tensor, grid: Sequence[int]) -> Tensor:
        if isinstance(block, Plain) and not self.corners:
            sides = zip(feature.shape[2:], block.stride, grid, strict=True)
            if all(length == step * target for length, step, target in sides):
                shrunk: Tensor = block(feature)
                return shrunk
        if math.prod(feature.shape[2:]) < math.prod(grid):
            return on_grid(part(feature), grid, align_corners=self.corners)
        result: Tensor = part(on_grid(feature, grid, align_corners=self.corners))
        return result


def _block_mean(conv: Plain, step: int) -> nn.Module:
    """The pointwise ``conv`` of the mean over blocks of ``step`` pixels along each axis, in one."""
    if step == 1:
        return nn.Identity()
    axes = conv.weight.ndim - 2
    weight = conv.weight.expand(*conv.weight.shape[:2], *[step] * axes) / step**axes
    made = like(conv, weight, conv.bias, groups=conv.groups)
    made.stride, made.padding = (step,) * axes, (0,) * axes
    return made


class MiddleDock(nn.Module):
    """:class:`src_model.models.mixture_ends.Dock` that computes only the pixels that are looked at.

    Interpolation to a grid that is coarser by an even factor is the mean of the two middle pixels
    of that many, along each axis. The others need no convolution.

    Parameters
    ----------
    dock
        One that does not keep corners in place.
    """

    def __init__(self, dock: Dock) -> None:
        super().__init__()
        self.dock = dock

    def forward(self, mixture: Tensor, size: Sequence[int]) -> Tensor:
        """``(B, width, [D,] h, w)`` to ``(B, channels, *size)``."""
        factor = int(mixture.shape[-1]) // int(size[-1])
        exact = [factor * int(length) for length in size] == [int(length) for length in mixture.shape[2:]]
        if exact and factor % 2 == 0 and factor > 2:
            middle = middle_pixels(mixture, factor)
            return BLOCK_POOL[len(size)](self.dock(middle, middle.shape[2:]), 2)
        result: Tensor = self.dock(mixture, size)
        return result


def middle_pixels(x: Tensor, factor: int) -> Tensor:
    """The two middle ones of every ``factor`` pixels of ``(B, C, [D,] H, W)``, along each axis.

    The result lies in memory with its channels last.
    """
    x = x.movedim(1, -1)
    for axis in range(1, x.ndim - 1):
        blocks = x.reshape(*x.shape[:axis], -1, factor, *x.shape[axis + 1 :])
        x = blocks.narrow(axis + 1, factor // 2 - 1, 2).flatten(axis, axis + 1)
    return x.movedim(-1, 1)

"""Small parts that every network shares: convolution blocks, resizing and padding in 2-D and 3-D."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src_model.tiling.plan import Box

CONVOLUTION: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
BATCH_NORM: dict[int, type[nn.BatchNorm2d] | type[nn.BatchNorm3d]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
AREA_POOL: dict[int, Callable[..., Tensor]] = {2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}
BLOCK_POOL: dict[int, Callable[..., Tensor]] = {2: F.avg_pool2d, 3: F.avg_pool3d}
INTERPOLATION = {2: "bilinear", 3: "trilinear"}


def conv_bn_relu(
    in_channels: int, out_channels: int, kernel: int = 3, *, dims: int = 2, groups: int = 1
) -> nn.Sequential:
    """Convolution with bias and "same" padding, BatchNorm, ReLU; keys ``0``, ``1``, ``2``."""
    return nn.Sequential(
        CONVOLUTION[dims](in_channels, out_channels, kernel, padding=kernel // 2, groups=groups),
        BATCH_NORM[dims](out_channels),
        nn.ReLU(inplace=True),
    )


class GlobalPool(nn.Module):
    """The mean of each channel over the whole image; every such mean of a network is one of these.

    What follows it depends on all of the image. Where an image is seen in parts, one value can be
    held for all of them, see :class:`src_model.inference.global_pools.GlobalPools`.

    Parameters
    ----------
    channels
        Of the input.
    precise
        Whether the mean is float32 whatever the number type of the input.

    Attributes
    ----------
    held : Tensor or None
        ``(C,)`` that is given instead of the mean, for every sample.
    """

    def __init__(self, channels: int, *, precise: bool = False) -> None:
        super().__init__()
        self.channels, self.precise = channels, precise
        self.held: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, [D,] H, W)`` to ``(B, C, [1,] 1, 1)``."""
        kind = torch.float32 if self.precise else x.dtype
        axes = tuple(range(2, x.ndim))
        if self.held is None:
            return x.mean(dim=axes, keepdim=True, dtype=kind)
        held = self.held.to(x.device, kind).reshape(1, -1, *[1] * len(axes))
        return held.expand(len(x), *held.shape[1:])


def has_memory(module: nn.Module) -> bool:
    """Whether a layer's own weights lie anywhere; those of a network about to be loaded do not yet."""
    return not any(parameter.is_meta for parameter in module.parameters(recurse=False))


def init_weights(module: nn.Module) -> None:
    """Initialise convolutions for ReLU (He et al., 2015) and BatchNorm to the identity.

    Meant for ``network.apply(init_weights)``. A network that has no memory yet is left as it is.
    """
    if not has_memory(module):
        return
    if isinstance(module, (nn.Conv2d, nn.Conv3d)):
        if module.groups == 1:
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        else:  # each channel reaches those of its own group only
            fan = module.weight[:, 0].numel() / module.groups
            nn.init.normal_(module.weight, std=(2.0 / fan) ** 0.5)
        _zero(module.bias)
    elif isinstance(module, nn.ConvTranspose2d):
        # One input pixel reaches each output pixel: the fan is the number of input channels.
        nn.init.normal_(module.weight, std=(2.0 / module.in_channels) ** 0.5)
        _zero(module.bias)
    elif isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)


def _zero(bias: Tensor | None) -> None:
    if bias is not None:
        nn.init.zeros_(bias)


def resize(x: Tensor, size: Sequence[int], *, align_corners: bool = False) -> Tensor:
    """Linear interpolation of ``(B, C, [D,] H, W)`` to ``size``.

    Pixel centres lie half a step in; with ``align_corners`` those of the corners stay in place.
    """
    if tuple(x.shape[2:]) == tuple(size):
        return x
    if not align_corners and all(
        length == 2 * target for length, target in zip(x.shape[2:], size, strict=True)
    ):
        return BLOCK_POOL[x.ndim - 2](x, 2)  # the same values, faster
    # On CUDA devices autocast would widen the map to float32.
    with torch.autocast("cuda", enabled=False) if x.is_cuda else nullcontext():
        return F.interpolate(x, size=list(size), mode=INTERPOLATION[x.ndim - 2], align_corners=align_corners)


def shrink(x: Tensor, size: Sequence[int]) -> Tensor:
    """Mean over the area of each pixel of a smaller grid, of ``(B, C, [D,] H, W)``."""
    steps = [length // target for length, target in zip(x.shape[2:], size, strict=True)]
    if [step * target for step, target in zip(steps, size, strict=True)] == list(x.shape[2:]):
        return BLOCK_POOL[x.ndim - 2](x, steps)  # the same values, faster
    return AREA_POOL[x.ndim - 2](x, list(size))


def pad_to_multiple(x: Tensor, multiple: int | Sequence[int]) -> Tensor:
    """Extend ``(B, C, [D,] H, W)`` at the far end of each axis to a multiple of ``multiple``.

    ``multiple`` is one number for all axes or one for each.

    The image is mirrored where it is long enough, else its last row or column is repeated. The
    near ends stay in place, so pixel ``i`` of the input is pixel ``i`` of the result.
    """
    spatial = x.ndim - 2
    multiples = [multiple] * spatial if isinstance(multiple, int) else multiple
    for axis in range(spatial):
        length = x.shape[2 + axis]
        missing = -length % multiples[axis]
        if not missing:
            continue
        widths = [0] * (2 * spatial)
        widths[2 * (spatial - 1 - axis) + 1] = missing
        x = F.pad(x, widths, mode="reflect" if missing < length else "replicate")
    return x


def crop_to(x: Tensor, size: Sequence[int]) -> Tensor:
    """The first ``size`` elements of the spatial axes of ``(B, C, [D,] H, W)``: a view."""
    for axis, length in enumerate(size):
        x = x.narrow(2 + axis, 0, length)
    return x


def part_of(x: Tensor, part: Box, stride: int = 1) -> Tensor:
    """A part of a map ``(B, C, H, W)``: a view. ``part`` is in pixels; the map has one in ``stride``."""
    (top, bottom), (left, right) = ((span.start // stride, span.stop // stride) for span in part.slices)
    return x[:, :, top:bottom, left:right]


def without_gaps(x: Tensor) -> Tensor:
    """A map ``(B, C, H, W)`` that lies in one piece, itself if it does; its channels last if they did.

    Layers are much slower on a view of some columns of a map.
    """
    last = x.shape[1] > 1 and x.stride(1) == 1
    return x.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)

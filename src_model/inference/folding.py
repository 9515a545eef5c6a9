"""Folds layers with nothing between them into one: BatchNorm into a convolution, and two convolutions.

The new weights are computed in float64, so that a result differs from the original one by the
rounding of float32 alone. Only exact in evaluation mode.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from src_model.models.blocks import CONVOLUTION
from src_model.models.encoders import BasicBlock, StridedResNet34Encoder
from src_model.models.experts import Expert
from src_model.models.mixture_ends import Dock, Fuse
from src_model.models.receptive_experts import LocalExpert

Convolution = nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d
BatchNorm = nn.BatchNorm2d | nn.BatchNorm3d
Plain = nn.Conv2d | nn.Conv3d

_NORMALISED: dict[type[nn.Module], tuple[tuple[str, str], ...]] = {
    BasicBlock: (("conv1", "bn1"), ("conv2", "bn2")),
    StridedResNet34Encoder: (("conv1", "bn1"),),
    Expert: (("mix", "norm"),),
    LocalExpert: (("look", "norm"),),
}
"""Of modules that are no sequences: each convolution and the BatchNorm that takes its result."""


def fold_norms(module: nn.Module) -> None:
    """Fold each BatchNorm of one module into the convolution before it, in place.

    ``scale (W x + b) + shift`` is the convolution ``(scale W) x + (scale b + shift)``. An ``Identity``
    takes the place of the BatchNorm.
    """
    if is_sequence(module) or isinstance(module, (Fuse, Dock)):
        for (_, _, first), (owner, name, _) in pairwise(_layers(module)):
            _fold(first, owner, name)
    for convolution, name in _NORMALISED.get(type(module), ()):
        _fold(getattr(module, convolution), module, name)


def merge_pointwise(expert: Expert) -> None:
    """Make one convolution of an expert's first two: ``W (V x + c) + b`` is ``(W V) x + (W c + b)``."""
    if not hasattr(expert.expand, "weight"):  # merged already
        return
    first, second = expert.expand, expert.mix
    outer = second.weight.double().flatten(1)
    weight = (outer @ first.weight.double().flatten(1)).reshape(-1, *first.weight.shape[1:])
    expert.register_module("mix", like(first, weight, outer @ _bias(first) + _bias(second)))
    expert.register_module("expand", nn.Identity())


class Twin(nn.Module):
    """All channels, and all of them again."""

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, ...)`` to ``(B, 2C, ...)``."""
        return torch.cat([x, x], dim=1)


def pair_depthwise(expert: LocalExpert) -> None:
    """Let an expert look at two copies of the map one behind the other, in place.

    Its channels of even number look at the first, those of odd number at the second.
    """
    look, reduce = cast(Plain, expert.look), expert.reduce
    order = torch.arange(look.out_channels).reshape(-1, 2).T.flatten()
    bias = None if look.bias is None else look.bias[order]
    paired = like(look, look.weight[order], bias, groups=look.out_channels)
    paired.padding, paired.dilation = look.padding, look.dilation
    expert.register_module("look", nn.Sequential(Twin(), paired))
    expert.register_module("reduce", like(reduce, reduce.weight[:, order], reduce.bias))


def ungroup_pointwise(conv: nn.Module) -> nn.Module:
    """A grouped 1x1 convolution with its weights in a dense one, zero elsewhere; any other as it is.

    The groups are small: the dense product costs no more than reading the map, and is what devices are
    made for.
    """
    if not isinstance(conv, Plain) or conv.groups == 1 or set(conv.kernel_size + conv.stride) != {1}:
        return conv
    rows, columns = conv.out_channels // conv.groups, conv.in_channels // conv.groups
    weight = conv.weight.new_zeros(conv.out_channels, conv.in_channels, *conv.weight.shape[2:])
    for group in range(conv.groups):
        place = slice(group * rows, (group + 1) * rows), slice(group * columns, (group + 1) * columns)
        weight[place] = conv.weight[place[0]]
    return like(conv, weight, conv.bias)


def like(conv: Plain, weight: Tensor, bias: Tensor | None, *, groups: int = 1) -> Plain:
    """A convolution of the number type and device of ``conv`` that keeps the size of a map."""
    kernel = tuple(weight.shape[2:])
    made = CONVOLUTION[len(kernel)](
        groups * weight.shape[1],
        len(weight),
        kernel,  # type: ignore[arg-type]
        padding=tuple(side // 2 for side in kernel),  # type: ignore[arg-type]
        groups=groups,
        bias=bias is not None,
        device="meta",  # no weights of its own, and so no random numbers drawn
        dtype=conv.weight.dtype,
    )
    set_weights(made, weight.clone(), None if bias is None else bias.clone())
    return made.train(conv.training)


def is_sequence(module: nn.Module) -> bool:
    """Whether it does nothing but run its layers one after the other."""
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def _layers(module: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    """Owner, name and layer of each layer in their order, those of sequences inside as well."""
    for name, layer in module.named_children():
        if is_sequence(layer):
            yield from _layers(layer)
        else:
            yield module, name, layer


def _fold(conv: nn.Module, owner: nn.Module, name: str) -> None:
    """Fold what ``owner`` calls ``name`` into ``conv`` where it is a BatchNorm and that is exact."""
    norm = getattr(owner, name)
    if not isinstance(conv, Convolution) or not isinstance(norm, BatchNorm):
        return
    if norm.running_mean is None or norm.running_var is None or (conv.transposed and conv.groups > 1):
        return
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.affine:
        scale = scale * norm.weight.double()
    bias = scale * (_bias(conv) - norm.running_mean.double())
    if norm.affine:
        bias = bias + norm.bias.double()
    along = [1] * conv.weight.ndim
    along[1 if conv.transposed else 0] = -1
    set_weights(conv, conv.weight.double() * scale.reshape(along), bias)
    setattr(owner, name, nn.Identity())


def _bias(conv: Convolution) -> Tensor:
    """In float64; zeros where it has none."""
    return conv.weight.new_zeros(conv.out_channels).double() if conv.bias is None else conv.bias.double()


def set_weights(conv: Convolution, weight: Tensor, bias: Tensor | None) -> None:
    """Give a convolution other weights, in its own number type, without gradients."""
    kind = conv.weight.dtype
    conv.weight = nn.Parameter(weight.to(kind), requires_grad=False)
    conv.bias = None if bias is None else nn.Parameter(bias.to(kind), requires_grad=False)

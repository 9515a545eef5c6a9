"""Folds layers with nothing between them into one: BatchNorm into a convolution, and two convolutions.

The new weights are computed in float64, so that a result differs from the original one by the
rounding of float32 alone. Only exact in evaluation mode.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from torch import Tensor, nn

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
    if _is_sequence(module) or isinstance(module, (Fuse, Dock)):
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


def like(conv: Plain, weight: Tensor, bias: Tensor | None, *, groups: int = 1) -> Plain:
    """A convolution of the kind, number type and device of ``conv`` that keeps the size of a map."""
    kernel = tuple(weight.shape[2:])
    made = type(conv)(
        groups * weight.shape[1],
        len(weight),
        kernel,  # type: ignore[arg-type]
        padding=tuple(side // 2 for side in kernel),  # type: ignore[arg-type]
        groups=groups,
        bias=bias is not None,
        device="meta",  # no weights of its own, and so no random numbers drawn
        dtype=conv.weight.dtype,
    )
    _set(made, weight.clone(), None if bias is None else bias.clone())
    return made.train(conv.training)


def _is_sequence(module: nn.Module) -> bool:
    """Whether it does nothing but run its layers one after the other."""
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def _layers(module: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    """Owner, name and layer of each layer in their order, those of sequences inside as well."""
    for name, layer in module.named_children():
        if _is_sequence(layer):
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
    _set(conv, conv.weight.double() * scale.reshape(along), bias)
    setattr(owner, name, nn.Identity())


def _bias(conv: Convolution) -> Tensor:
    """In float64; zeros where it has none."""
    return conv.weight.new_zeros(conv.out_channels).double() if conv.bias is None else conv.bias.double()


def _set(conv: Convolution, weight: Tensor, bias: Tensor | None) -> None:
    kind = conv.weight.dtype
    conv.weight = nn.Parameter(weight.to(kind), requires_grad=False)
    conv.bias = None if bias is None else nn.Parameter(bias.to(kind), requires_grad=False)

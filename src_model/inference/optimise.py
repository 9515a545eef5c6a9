"""Rewrites a network for inference: the same values within the rounding of float32, in less time.

Only exact rewrites of the graph, found by the type of a module; nothing is approximated.
"""

from __future__ import annotations

import copy
from typing import TypeVar

import torch

from src_model.device import NARROW, Precision
from src_model.inference.cpu_layers import run_in_strips
from src_model.inference.cuda_layers import suit_cuda
from src_model.inference.folding import (
    Convolution,
    fold_norms,
    is_sequence,
    merge_pointwise,
    pair_depthwise,
    ungroup_pointwise,
)
from src_model.inference.fused import fuse_passes
from src_model.inference.maps import Maps
from src_model.inference.rewrites import MiddleDock, SplitFuse, can_split
from src_model.models.base import SegmentationModel
from src_model.models.experts import Expert
from src_model.models.mixture_ends import Dock, Fuse
from src_model.models.receptive_experts import LocalExpert
from src_model.models.skips import MixtureOfSkips

Network = TypeVar("Network", bound=SegmentationModel)


def optimise(model: Network) -> Network:
    """A copy of a network for inference that is called in the same way and gives the same.

    - Each BatchNorm is folded into the convolution before it.
    - The first two convolutions of an expert, with nothing between them, become one.
    - The levels of a mixture are reduced one by one where that is cheapest and then added, instead
      of joined on one grid.
    - Docking to a much coarser level computes only the pixels that interpolation looks at.
    - Depthwise convolutions to twice the channels look at two copies of the map.
    - Grouped 1x1 convolutions become dense ones.

    A network to which none of this applies, or that was rewritten already, is only copied.

    Parameters
    ----------
    model
        On any device; not changed.

    Returns
    -------
    SegmentationModel
        In evaluation mode, without gradients, on the same device. Its state dict has other keys than
        that of ``model``: to save a network, keep the original. It cannot be trained.
    """
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    fast = copy.deepcopy(model).cpu().eval().requires_grad_(False)  # not every device knows float64
    with torch.no_grad():
        for module in list(fast.modules()):
            fold_norms(module)
            if isinstance(module, Expert):
                merge_pointwise(module)
            if isinstance(module, LocalExpert) and not is_sequence(module.look):
                pair_depthwise(module)
        for module in list(fast.modules()):
            if isinstance(module, MixtureOfSkips):
                _rewrite_ends(module)
        for module in list(fast.modules()):
            for name, layer in list(module.named_children()):
                setattr(module, name, ungroup_pointwise(layer))
    return fast.to(device)


def fit_to_device(model: SegmentationModel, precision: Precision, maps: Maps | None = None) -> None:
    """Make a network of :func:`optimise` as fast as the device that it is on allows, in place.

    Weights are stored in the number type of ``precision``, and layers join where the device's libraries
    compute them in one pass. Values are rounded no more often than before, but for the sum of a local
    expert's halves. The network then runs in this precision and on this kind of device only.
    """
    if precision in NARROW:
        narrow_weights(model, NARROW[precision])
    if model.dims != 2:
        return
    fuse_passes(model)
    if any(parameter.is_cuda for parameter in model.parameters()):
        suit_cuda(model)
    else:
        run_in_strips(model, maps or Maps())
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def narrow_weights(model: SegmentationModel, dtype: torch.dtype) -> None:
    """Store the weights of convolutions as autocast to ``dtype`` casts them at each call, in place.

    Under that autocast the results stay bit-equal and the casts are saved; without it the network
    cannot run any more.
    """
    for module in model.modules():
        if isinstance(module, Convolution):
            module.to(dtype)


def _rewrite_ends(mixture: MixtureOfSkips) -> None:
    if isinstance(mixture.fuse, Fuse) and not can_split(mixture.fuse):
        mixture.fuse[0] = ungroup_pointwise(mixture.fuse[0])
    if isinstance(mixture.fuse, Fuse) and can_split(mixture.fuse):
        stride = mixture.strides[mixture.reference_level]
        steps = [max(stride // finer, 1) for finer in mixture.strides]
        mixture.register_module("fuse", SplitFuse(mixture.fuse, steps))
    for number, dock in enumerate(mixture.dockers):
        if isinstance(dock, Dock) and not dock.light:
            mixture.dockers[number] = MiddleDock(dock)

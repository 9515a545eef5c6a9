"""Rewrites a network for inference: the same values within the rounding of float32, in less time.

Only exact rewrites of the graph, found by the type of a module; nothing is approximated.
"""

from __future__ import annotations

import copy
from typing import TypeVar

import torch

from src_model.inference.folding import Convolution, fold_norms, merge_pointwise
from src_model.inference.rewrites import MiddleDock, SplitFuse, can_split
from src_model.models.base import SegmentationModel
from src_model.models.experts import Expert
from src_model.models.mixture_ends import Dock, Fuse
from src_model.models.skips import MixtureOfSkips

Network = TypeVar("Network", bound=SegmentationModel)


def optimise(model: Network) -> Network:
    """A copy of a network for inference that is called in the same way and gives the same.

    - Each BatchNorm is folded into the convolution before it.
    - The first two convolutions of an expert, with nothing between them, become one.
    - The levels of a mixture are reduced one by one where that is cheapest and then added, instead
      of joined on one grid.
    - Docking to a much coarser level computes only the pixels that interpolation looks at.

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
        for module in list(fast.modules()):
            if isinstance(module, MixtureOfSkips):
                _rewrite_ends(module)
    return fast.to(device)


def narrow_weights(model: SegmentationModel, dtype: torch.dtype) -> None:
    """Store the weights of convolutions as autocast to ``dtype`` casts them at each call, in place.

    Under that autocast the results stay bit-equal and the casts are saved; without it the network
    cannot run any more.
    """
    for module in model.modules():
        if isinstance(module, Convolution):
            module.to(dtype)


def _rewrite_ends(mixture: MixtureOfSkips) -> None:
    if isinstance(mixture.fuse, Fuse) and can_split(mixture.fuse):
        mixture.register_module("fuse", SplitFuse(mixture.fuse))
    for number, dock in enumerate(mixture.dockers):
        if isinstance(dock, Dock) and not dock.light:
            mixture.dockers[number] = MiddleDock(dock)

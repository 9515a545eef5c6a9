"""Size and cost of a network: parameters, multiply-adds and measured latency."""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from src_model.device import resolve_device
from src_model.models.base import SegmentationModel
from src_model.models.experts import Routing, check_top_k
from src_model.models.skips import MixtureOfSkips


@dataclass(frozen=True, kw_only=True)
class ModelProfile:
    """What one network costs for one image.

    With a mixture, how many experts run depends on the image; the cost is that of the image for
    which the routers choose the most and the dearest of them, see :func:`costliest_routing`.
    """

    name: str
    stage: int
    parameters: int
    """All of them."""
    mixture_parameters: int
    """Those that stage 2 trains; 0 without a mixture."""
    top_k: int | None
    """Experts that each router chooses; ``None`` without a mixture."""
    gmac: float
    """10^9 multiply-adds for one image (half the GFLOP), at most."""
    latency_ms: float
    """Median of the repeats, milliseconds for one image, of the same choice of experts."""
    height: int
    width: int
    device: str
    threads: int
    """With which the processor computes."""
    depth: int | None = None
    """Slices of the volume; ``None`` for an image."""


VOLUME_SIDE = 64
"""Longest side of the volume that a 3-D network is measured on."""
_GRID = 16
"""Side of the map on which the experts' costs are compared; their order is that on larger ones."""


def count_parameters(module: nn.Module, *, trainable_only: bool = False) -> int:
    """Number of parameters (buffers not counted)."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trainable_only)


def count_gmac(model: SegmentationModel, height: int, width: int, *, top_k: int | None = None) -> float:
    """10^9 multiply-adds of the convolutions and matrix products for one image, at most.

    The same at every call: with a mixture it is the cost of :func:`costliest_routing`, which no
    image exceeds.

    Parameters
    ----------
    model
        On any device; it computes the image once.
    height, width
        Of the image, pixels; a volume is as deep as it is high.
    top_k
        Experts per router; ``None`` = those of the network. Without effect where it has no mixture.

    Raises
    ------
    ModelError
        When ``top_k`` does not fit the mixture.
    """
    return gmac_of(model, _image(model, height, width), routing=costliest_routing(model, top_k))


def gmac_of(module: nn.Module, *inputs: Tensor, **arguments: Any) -> float:
    """10^9 multiply-adds of the convolutions and matrix products of one call in evaluation mode."""
    with _evaluation(module), torch.inference_mode(), FlopCounterMode(display=False) as counter:
        module(*inputs, **arguments)
    return float(counter.get_total_flops()) / 2 / 1e9


def costliest_routing(model: SegmentationModel, top_k: int | None = None) -> Routing | None:
    """The decision of the routers that costs most, for one sample; ``None`` without a mixture.

    An expert runs once for an image, however many routers chose it. So the routers choose as
    different experts as ``top_k`` (``None`` = that of the network) lets them, the dearest first:
    with four routers and four experts all of them, with one router the ``top_k`` dearest. (What
    the routers themselves compute, some thousand products, is left out.)

    Raises
    ------
    ModelError
        When ``top_k`` does not fit the mixture.
    """
    mixture = _mixture(model)
    if mixture is None:
        return None
    experts = mixture.num_experts
    chosen = check_top_k(model.top_k if top_k is None else top_k, experts)
    sample = torch.zeros(1, mixture.width, *[_GRID] * mixture.dims, device="meta")
    costs = [gmac_of(copy.deepcopy(expert).to("meta"), sample) for expert in mixture.experts]
    dearest = sorted(range(experts), key=costs.__getitem__, reverse=True)
    weights = torch.zeros(1, mixture.num_routers, experts)
    for router in range(mixture.num_routers):
        for place in range(router * chosen, (router + 1) * chosen):
            weights[0, router, dearest[place % experts]] = 1 / chosen
    return Routing(weights, weights)


def measure_latency(model: SegmentationModel, height: int, width: int, *, repeats: int = 5) -> float:
    """Median time for one image in milliseconds, after one call to warm up.

    With a mixture, of the same choice of experts as in :func:`count_gmac`.
    """
    image = _image(model, height, width)
    routing = costliest_routing(model)
    times = []
    with _evaluation(model), torch.inference_mode():
        for _ in range(repeats + 1):
            start = time.perf_counter()
            model(image, routing=routing)
            _synchronise(image.device)
            times.append(time.perf_counter() - start)
    return 1000 * sorted(times[1:])[repeats // 2]


def profile_model(
    model: SegmentationModel, *, height: int = 224, width: int = 224, device: str = "cpu", repeats: int = 5
) -> ModelProfile:
    """Measure ``model`` on one image of ``height`` x ``width``; moves it to ``device``.

    A 3-D network is measured on a volume whose sides are at most :data:`VOLUME_SIDE` and whose
    depth is its height.

    Raises
    ------
    DeviceError
        When the device is not available.
    """
    target = resolve_device(device)
    model.to(target)
    mixture = _mixture(model)
    if model.dims == 3:
        height, width = min(height, VOLUME_SIDE), min(width, VOLUME_SIDE)
    return ModelProfile(
        name=model.name,
        stage=model.stage,
        parameters=count_parameters(model),
        mixture_parameters=0 if mixture is None else count_parameters(mixture),
        top_k=None if mixture is None else model.top_k,
        gmac=count_gmac(model, height, width),
        latency_ms=measure_latency(model, height, width, repeats=repeats),
        height=height,
        width=width,
        device=str(target),
        threads=torch.get_num_threads(),
        depth=height if model.dims == 3 else None,
    )


def _mixture(model: SegmentationModel) -> MixtureOfSkips | None:
    mixture = getattr(model, "mixture", None)
    return mixture if isinstance(mixture, MixtureOfSkips) else None


@contextlib.contextmanager
def _evaluation(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the block, the former modes after it."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _image(model: SegmentationModel, height: int, width: int) -> Tensor:
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(0)
    size = (1, model.in_channels, *([height] * (model.dims - 2)), height, width)
    return torch.randn(size, generator=generator).to(device)


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()

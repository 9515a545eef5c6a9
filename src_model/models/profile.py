"""Size and cost of a network: parameters, multiply-adds and measured latency."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from src_model.device import resolve_device
from src_model.models.base import SegmentationModel


@dataclass(frozen=True, kw_only=True)
class ModelProfile:
    """What one network costs for one image."""

    name: str
    stage: int
    parameters: int
    """All of them."""
    mixture_parameters: int
    """Those that stage 2 trains; 0 without a mixture."""
    gmac: float
    """10^9 multiply-adds for one image (half the GFLOP)."""
    latency_ms: float
    """Median of the repeats, milliseconds for one image."""
    height: int
    width: int
    device: str
    depth: int | None = None
    """Slices of the volume; ``None`` for an image."""


VOLUME_SIDE = 64
"""Longest side of the volume that a 3-D network is measured on."""


def count_parameters(module: nn.Module, *, trainable_only: bool = False) -> int:
    """Number of parameters (buffers not counted)."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trainable_only)


def count_gmac(model: SegmentationModel, height: int, width: int) -> float:
    """10^9 multiply-adds of the convolutions and products for one random image."""
    image = _image(model, height, width)
    with _evaluation(model), torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(image)
    return float(counter.get_total_flops()) / 2 / 1e9


def measure_latency(model: SegmentationModel, height: int, width: int, *, repeats: int = 5) -> float:
    """Median time for one image in milliseconds, after one call to warm up."""
    image = _image(model, height, width)
    times = []
    with _evaluation(model), torch.inference_mode():
        for _ in range(repeats + 1):
            start = time.perf_counter()
            model(image)
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
    mixture = getattr(model, "mixture", None)
    if model.dims == 3:
        height, width = min(height, VOLUME_SIDE), min(width, VOLUME_SIDE)
    return ModelProfile(
        name=model.name,
        stage=model.stage,
        parameters=count_parameters(model),
        mixture_parameters=count_parameters(mixture) if isinstance(mixture, nn.Module) else 0,
        gmac=count_gmac(model, height, width),
        latency_ms=measure_latency(model, height, width, repeats=repeats),
        height=height,
        width=width,
        device=str(target),
        depth=height if model.dims == 3 else None,
    )


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


def _image(model: SegmentationModel, height: int, width: int) -> torch.Tensor:
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(0)
    size = (1, model.in_channels, *([height] * (model.dims - 2)), height, width)
    return torch.randn(size, generator=generator).to(device)


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()

"""The same network on a slide by MONAI's ``sliding_window_inference``, given its best chance.

The whole region lies in memory, prepared as the project prepares it, channels last, in the same precision and
by the same rewritten network; windows overlap by a quarter, and as many go through the network at a time as
measures best. Reading and preparing belong to its time, as they do to the project's.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from monai.data.utils import dense_patch_slices
from monai.inferers import sliding_window_inference
from numpy.typing import NDArray
from torch import Tensor

from src_model.data.slide_formats.level import Level
from src_model.device import autocast
from src_model.inference.global_pools import GlobalPools, Values
from src_model.inference.network import Network
from src_model.inference.prepare import Preparation
from src_model.models.utanet import UTANet
from src_model.tiling.plan import Box

OVERLAP = 0.25
_STRIP = 1024


@dataclass(frozen=True, eq=False)
class Window:
    """Size of the windows, how many at a time, and what the network holds for the whole slide."""

    side: int
    batch: int
    held: Values | None = None


@dataclass(frozen=True, eq=False)
class Result:
    """The mask ``(Y, X)`` uint8; seconds, those of all threads, and what the network saw."""

    mask: NDArray[np.uint8]
    read: float
    infer: float
    cpu: float
    megapixels: float

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.read + self.infer


def run_monai(level: Level, network: Network, window: Window, *, threshold: float = 0.5) -> Result:
    """Segment a whole level ``YXC``."""
    begun, cpu = time.perf_counter(), time.process_time()
    image = prepared(level, network)
    read = time.perf_counter() - begun
    begun = time.perf_counter()
    with holding(network, window.held), torch.inference_mode(), autocast(network.device, network.precision):
        logits = sliding_window_inference(
            image,
            (window.side, window.side),
            window.batch,
            lambda x: forward(network, x),
            overlap=OVERLAP,
        )
        mask = (logits[0, 0].sigmoid() > threshold).to(torch.uint8).cpu().numpy()
    infer, cpu = time.perf_counter() - begun, time.process_time() - cpu
    megapixels = len(windows(mask.shape, window.side)) * window.side**2 / 1e6
    return Result(mask, read, infer, cpu, megapixels)


def prepared(level: Level, network: Network) -> Tensor:
    """A level as the network takes it, ``(1, C, Y, X)`` float32, channels last; strip by strip."""
    height, width = level.size_yx
    out = torch.empty(1, network.in_channels, height, width).contiguous(memory_format=torch.channels_last)
    prepare = None
    for top in range(0, height, _STRIP):
        part = level[top : top + _STRIP]
        prepare = prepare or Preparation.of(part, network)
        out[0, :, top : top + _STRIP] = torch.from_numpy(prepare(part))
    return out.to(network.device)


def forward(network: Network, x: Tensor, part: Box | None = None) -> Tensor:
    """Logits of a batch, as :meth:`Network.logits` gives them."""
    x = x.contiguous(memory_format=torch.channels_last)
    wanted = {"part": part} if isinstance(network.model, UTANet) else {}  # the others compute all
    logits: Tensor = network.model(x, top_k=network.top_k, domain=network.domain, **wanted).logits
    return logits.float()


def holding(network: Network, held: Values | None) -> AbstractContextManager[None]:
    """Inside, routers and other global pools have the values of a whole slide, if any are given."""
    if not held:
        return nullcontext()
    pools = GlobalPools(network.model)
    pools.load(held)
    return pools.held()


@dataclass(frozen=True)
class Alone:
    """Time of the network alone for one window: as the clock goes, and of all threads together."""

    seconds: float
    cpu: float


def network_alone(
    network: Network,
    samples: Sequence[Tensor],
    *,
    repeats: int = 2,
    held: Values | None = None,
    part: Box | None = None,
) -> Alone:
    """Mean time of the network alone; its inputs ``(B, C, Y, X)`` lie in memory, and it is warmed up.

    ``part`` = what of them is wanted, as for :meth:`src_model.inference.network.Network.logits`.
    """
    batches = [x.to(network.device).contiguous(memory_format=torch.channels_last) for x in samples]
    with holding(network, held), torch.inference_mode(), autocast(network.device, network.precision):
        forward(network, batches[0], part)
        begun, cpu = time.perf_counter(), time.process_time()
        for _ in range(repeats):
            for x in batches:
                forward(network, x, part)
        if network.device.type == "cuda":
            torch.cuda.synchronize()
    count = repeats * sum(map(len, batches))
    return Alone((time.perf_counter() - begun) / count, (time.process_time() - cpu) / count)


def best_batch(network: Network, sample: Tensor, candidates: Sequence[int] = (1, 2, 4, 8)) -> int:
    """The number of windows at a time that takes the least for each."""
    seconds = {n: network_alone(network, [sample[:1].expand(n, -1, -1, -1)]).seconds for n in candidates}
    return min(candidates, key=lambda n: seconds[n])


def windows(shape: tuple[int, ...], side: int) -> Sequence[tuple[slice, ...]]:
    """Where its windows lie."""
    sides = [min(side, length) for length in shape]
    steps = [
        int(one * (1 - OVERLAP)) if one < length else one for one, length in zip(sides, shape, strict=True)
    ]
    found: Sequence[tuple[slice, ...]] = dense_patch_slices(shape, sides, steps)
    return found


def away_from_borders(shape: tuple[int, int], side: int, margin: int) -> NDArray[np.bool_]:
    """Which pixels are at least ``margin`` from every border of a window that lies within the image."""
    near = [np.zeros(length, np.bool_) for length in shape]
    for axis, marks in enumerate(near):
        for border in {edge for one in windows(shape, side) for edge in (one[axis].start, one[axis].stop)}:
            if 0 < border < shape[axis]:
                marks[max(border - margin, 0) : border + margin] = True
    return ~(near[0][:, np.newaxis] | near[1])

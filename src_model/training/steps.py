"""One optimiser step over an effective batch, computed in parts that fit into memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.optim import AdamW

from src_model.device import Precision, autocast, is_out_of_memory
from src_model.errors import DeviceError, NonFiniteLossError
from src_model.models.base import SegmentationModel
from src_model.training.frozen import FrozenFeatures, forward
from src_model.training.losses import Losses, Objective
from src_model.training.seeding import seeded
from src_model.training.usage import UsageMeter

if TYPE_CHECKING:
    from src_model.data.sample import Sample

Item = TypeVar("Item")


class Place(NamedTuple):
    """Which step of a run."""

    stage: str
    epoch: int
    step: int


class StepResult(NamedTuple):
    """Mean losses of one step over its samples, and what the user should know."""

    samples: int
    total: float
    segmentation: float
    balance: float
    warnings: tuple[str, ...]


def spread(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    """Cut ``items`` in as few parts of at most ``size`` as possible, of nearly equal lengths.

    No part is left with one or two stragglers, on which BatchNorm would be noisy.
    """
    parts = math.ceil(len(items) / size)
    return [items[len(items) * i // parts : len(items) * (i + 1) // parts] for i in range(parts)]


def to_batch(samples: Sequence[Sample], device: torch.device) -> tuple[Tensor, Tensor]:
    """Images float32 ``(B, C, [D,] H, W)`` and masks int64 ``(B, [D,] H, W)`` on the device.

    Flat images are laid out as channels_last.
    """
    images = torch.from_numpy(np.stack([sample.image for sample in samples]))
    masks = torch.from_numpy(np.stack([sample.mask for sample in samples]).astype(np.int64, copy=False))
    layout = torch.channels_last if images.ndim == 4 else torch.preserve_format
    return images.to(device, memory_format=layout), masks.to(device)


class Stepper:
    """Makes optimiser steps.

    The gradient of a step is the mean over its samples, whatever the size of the parts
    ("micro-batches"); the balance loss and BatchNorm see one part at a time. When memory runs
    out the parts are halved and the same step is made again.

    Parameters
    ----------
    model, optimiser, objective
        What is trained, by what, towards what. The model is in the right mode and on ``device``.
    seed
        Of the run.
    micro_batch
        Samples in a part at first; an attribute that may shrink.
    between
        Called before each part: blocks in a pause, raises ``Stopped``.
    features
        Of a frozen encoder, where they are remembered.
    """

    def __init__(
        self,
        model: SegmentationModel,
        optimiser: AdamW,
        objective: Objective,
        *,
        device: torch.device,
        precision: Precision,
        seed: int,
        micro_batch: int,
        between: Callable[[], None],
        features: FrozenFeatures | None = None,
    ) -> None:
        self.model, self.optimiser, self.objective = model, optimiser, objective
        self.device, self.precision, self.seed = device, precision, seed
        self.micro_batch = micro_batch
        self._between, self.features = between, features

    def step(
        self, load: Callable[[int], Sample], indices: Sequence[int], place: Place, usage: UsageMeter
    ) -> StepResult:
        """Make one step over the samples ``load(index)``.

        Raises
        ------
        NonFiniteLossError
            Before any weight is changed; names the images.
        DeviceError
            When even one sample does not fit into memory.
        Stopped
            From ``between``; no weight is changed.
        """
        warnings: list[str] = []
        while True:
            statistics = [buffer.clone() for buffer in self.model.buffers()]
            losses = self._try_gradients(load, indices, place, usage)
            if losses is not None:
                break
            for buffer, before in zip(self.model.buffers(), statistics, strict=True):
                buffer.copy_(before)
            warnings.append(self._shrink())
        self.optimiser.step()
        total, segmentation, balance = losses
        return StepResult(len(indices), total, segmentation, balance, tuple(warnings))

    def _try_gradients(
        self, load: Callable[[int], Sample], indices: Sequence[int], place: Place, usage: UsageMeter
    ) -> tuple[float, float, float] | None:
        """Gradients and mean losses of a step; ``None`` when memory ran out."""
        self.optimiser.zero_grad(set_to_none=True)
        sums, routed = [0.0, 0.0, 0.0], []
        try:
            with seeded(self.device, self.seed, "step", *place):
                for part in spread(indices, self.micro_batch):
                    self._between()
                    samples = [load(index) for index in part]
                    losses, probabilities = self._part_gradients(samples, len(part) / len(indices))
                    values = torch.stack(losses).tolist()
                    if not all(map(math.isfinite, values)):
                        raise NonFiniteLossError(_not_finite(values[0], place, samples))
                    sums = [total + value * len(part) for total, value in zip(sums, values, strict=True)]
                    routed.append(probabilities)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return None
        for probabilities in routed:
            if probabilities is not None:
                usage.add(probabilities)
        total, segmentation, balance = (value / len(indices) for value in sums)
        return total, segmentation, balance

    def _part_gradients(self, samples: Sequence[Sample], share: float) -> tuple[Losses, Tensor | None]:
        """Add the gradient of one part, weighted by its share of the step."""
        images, masks = to_batch(samples, self.device)
        with autocast(self.device, self.precision):
            output = forward(self.model, images, samples, self.features)
        losses = self.objective(output, masks)
        torch.autograd.backward(losses.total * share)
        routing = output.routing
        return Losses(*(loss.detach() for loss in losses)), None if routing is None else routing[0].detach()

    def _shrink(self) -> str:
        """Halve the parts after memory ran out; returns what to tell the user."""
        self.optimiser.zero_grad(set_to_none=True)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if self.micro_batch == 1:
            raise DeviceError(
                f"The memory of the device '{self.device}' ran out even with one image at a time; lower "
                "data.image_size (volumes: volume.patch_size) or choose another device."
            )
        self.micro_batch //= 2
        return (
            f"The memory of the device '{self.device}' ran out; going on with {self.micro_batch} images at a "
            "time and the same effective batch."
        )


def _not_finite(loss: float, place: Place, samples: Sequence[Sample]) -> str:
    names = ", ".join(sample.case_id for sample in samples[:8]) + (", ..." if len(samples) > 8 else "")
    return (
        f"The loss became {loss} in stage {place.stage}, epoch {place.epoch}, batch {place.step} (images "
        f"{names}); the last good checkpoint is kept. Check those images and masks, or start again with a "
        "lower learning rate."
    )

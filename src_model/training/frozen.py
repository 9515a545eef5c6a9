"""Features of a frozen encoder, computed once for a stage instead of once for each of its epochs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING

import psutil
import torch
from torch import Tensor

from src_model.config import TrainConfig
from src_model.device import NARROW, Precision, autocast
from src_model.models.base import SegmentationModel
from src_model.models.skips import Segmentation
from src_model.models.utanet import UTANet
from src_model.training.stages import Stage

if TYPE_CHECKING:
    from src_model.data.sample import Sample

_SHARE_OF_MEMORY = 0.25
"""Of the memory that is free when a stage begins; features that need more are not kept."""


class FrozenFeatures:
    """Gives the features of images and remembers them.

    An image is known by its values, so one that was changed is never taken for another. Each is
    computed by itself: its features depend on nothing but the image, and a run that is resumed and has
    to fill the memory again sees the same ones. Without the memory the images of a batch go through the
    encoder together, and some convolutions round differently with the number of images. So the weights
    of the stage are equal bit for bit where a batch is one image, else but for rounding.

    Parameters
    ----------
    model
        Its encoder and bottleneck are frozen and in evaluation mode. The averaged network has the same
        ones, so these features serve both.
    device, precision
        As in training. The features stay on the device that computed them, in that precision; to fetch
        them from the main memory takes a GPU longer than to compute them anew.
    """

    def __init__(self, model: UTANet, device: torch.device, precision: Precision) -> None:
        self._model, self._device, self._precision = model, device, precision
        self._kept: dict[bytes, list[Tensor]] = {}

    def __len__(self) -> int:
        """Images of which the features are kept."""
        return len(self._kept)

    def of(self, samples: Sequence[Sample], images: Tensor) -> list[Tensor]:
        """Features ``(B, C, H, W)`` of all levels, finest first.

        Parameters
        ----------
        samples
            Of a batch.
        images
            Theirs, ``(B, C, H, W)``, on the device.
        """
        with torch.inference_mode(False), torch.no_grad():
            each = [self._one(sample, images[i : i + 1]) for i, sample in enumerate(samples)]
            return [torch.cat(level) for level in zip(*each, strict=True)]

    def _one(self, sample: Sample, image: Tensor) -> list[Tensor]:
        key = blake2b(sample.image.data, digest_size=16).digest()
        if key not in self._kept:
            with autocast(self._device, self._precision):
                self._kept[key] = self._model.features(image)
        return self._kept[key]


def frozen_features(
    model: SegmentationModel,
    stage: Stage,
    config: TrainConfig,
    images: int,
    device: torch.device,
    precision: Precision,
) -> FrozenFeatures | None:
    """A memory for the features of so many images, or ``None`` where it would not help or fit.

    It helps in a stage of several epochs whose encoder is frozen, for images that are the same in each
    epoch and are all resized to one size. It fits into a quarter of the memory that is free now.
    """
    repeated = stage.frozen and stage.settings.epochs > 1 and config.data.sampling == "resize"
    if not (repeated and images and isinstance(model, UTANet)):
        return None
    needed = images * bytes_of_features(model, config.data.image_size, precision)
    fits = needed <= _SHARE_OF_MEMORY * _free_memory(device)
    return FrozenFeatures(model, device, precision) if fits else None


def bytes_of_features(model: UTANet, side: int, precision: Precision) -> int:
    """Bytes that the features of a square image take."""
    padded = math.ceil(side / model.required_multiple) * model.required_multiple
    levels = zip(model.encoder.channels, model.encoder.strides, strict=True)
    values = sum(channels * (padded // stride) ** 2 for channels, stride in levels)
    return values * (2 if precision in NARROW else 4)


def forward(
    model: SegmentationModel, images: Tensor, samples: Sequence[Sample], features: FrozenFeatures | None
) -> Segmentation:
    """Segment the images of ``samples``, from their features where those are remembered."""
    known = {} if features is None else {"features": features.of(samples, images)}
    output: Segmentation = model(images, domain=samples[0].domain, **known)
    return output


def _free_memory(device: torch.device) -> int:
    """Bytes."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)

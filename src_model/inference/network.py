"""A private, faster copy of a checkpoint's network on the chosen device, from float images to classes."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import logsigmoid

from src_model.config import ClassInfo, Normalisation
from src_model.device import NARROW, autocast, is_out_of_memory, resolve_device
from src_model.errors import CheckpointError, ModelError
from src_model.events import Control
from src_model.inference.maps import Maps
from src_model.inference.optimise import fit_to_device, optimise
from src_model.inference.precision import choose_precision
from src_model.inference.replay import Forward, Replay
from src_model.inference.transfer import Sent, Transfer
from src_model.inference.watch import Watch
from src_model.models.base import SegmentationModel
from src_model.models.checkpoint import Checkpoint, load_checkpoint
from src_model.models.domains import Domain, find_domain
from src_model.models.experts import check_top_k
from src_model.models.skips import Segmentation
from src_model.models.universal3d import U2Net3D
from src_model.models.utanet import UTANet
from src_model.tiling.plan import Box

T = TypeVar("T")

_MIRRORINGS: tuple[tuple[int, ...], ...] = ((), (-2,), (-1,), (-2, -1))
"""Axes that are reversed, of each mirroring."""


class MemoryRanOut(Exception):
    """The device's memory did not suffice for one batch; a smaller one may pass."""


class Network:
    """Runs a network for inference; the caller's own network is neither moved nor changed.

    What runs is :func:`src_model.inference.optimise.optimise` of it.

    Parameters
    ----------
    checkpoint
        A checkpoint in memory, whose network is copied, or its file.
    device, precision
        See :mod:`src_model.device`.
    top_k
        Experts per router; ``None`` = as trained. Ignored by networks without experts.
    domain
        Of the images, for a network that serves several; ``None`` = the only one.
    control
        Heeded before each layer, so that a stop need not wait for the end of a large image.
    flips
        Whether each input is seen in four mirrorings, see :meth:`logits`; takes four times as long.

    Raises
    ------
    CheckpointError, ConfigError, DeviceError, ModelError
        When the file, the precision, the device, ``top_k`` or the domain cannot be used.
    """

    def __init__(
        self,
        checkpoint: Checkpoint | str | PathLike[str],
        *,
        device: str = "auto",
        precision: str = "auto",
        top_k: int | None = None,
        domain: str | int | None = None,
        control: Control | None = None,
        flips: bool = False,
    ) -> None:
        self.device = resolve_device(device)
        opened = _open(checkpoint)
        own = optimise(opened.model)
        if own.num_experts and top_k is not None:
            check_top_k(top_k, own.num_experts)
        self.top_k = top_k if own.num_experts else None
        self.domain, (self.in_channels, self._num_classes) = _domain(own, domain)
        self._mirrorings = _MIRRORINGS if flips else _MIRRORINGS[:1]
        self.model: SegmentationModel = own.to(self.device)
        if own.dims == 2:
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.precision = choose_precision(
            precision, own, self.device, in_channels=self.in_channels, top_k=self.top_k, domain=self.domain
        )
        self.maps = Maps()
        fit_to_device(own, self.precision, self.maps)
        self._watch: Watch | None = None
        if control is not None:
            self._watch = Watch(self.model, control, shares_processors=self.shares_processors)
        self.transfer = Transfer(self.device, NARROW.get(self.precision, torch.float32))
        self._pass: Forward = self._forward
        if self.device.type == "cuda" and own.dims == 2:
            self._pass = Replay(self._forward)
        info = opened.domain(self.domain)
        self.normalisation: Normalisation = info.normalisation
        self.classes: tuple[ClassInfo, ...] = info.classes
        self.spacing_mm, self.patch_size = info.spacing_mm, info.patch_size
        self.pixel_size_um = opened.pixel_size_um
        self.training: dict[str, Any] = dict(opened.training)

    @property
    def foreground_classes(self) -> int:
        """Number of classes without the background."""
        return max(self._num_classes - 1, 1)

    @property
    def batch_size(self) -> int:
        """Tiles at a time that suit the device."""
        return 1 if self.device.type == "cpu" else 4

    @property
    def shares_processors(self) -> bool:
        """Whether it computes on the same processors as all else."""
        return self.device.type == "cpu"

    @property
    def readers(self) -> int:
        """Threads that read and prepare tiles."""
        return min(2 if self.shares_processors else 8, os.cpu_count() or 2)

    @property
    def largest_tile(self) -> int:
        """Side of the largest tile that suits the device, pixels."""
        return 2048 if self.shares_processors else 1536

    @property
    def ahead(self) -> int:
        """Batches that are read ahead, so that another device never waits for them."""
        return self.readers if self.shares_processors else self.readers + 1

    def logits(
        self,
        images: NDArray[np.float32] | Sent,
        *,
        steady: bool = True,
        part: Box | None = None,
    ) -> Tensor:
        """Logits of a batch; with flips, those of the mean probability over four mirrorings.

        The four are the input as it is, its rows reversed, its columns, and both; of volumes the planes
        are mirrored so, their order stays. Each result is mirrored back before the mean.

        Parameters
        ----------
        images
            (B, C, [D,] H, W), standardised; as an array or on its way to the device.
        steady
            Whether the network stays as it is from now on, so that its steps may be recorded where a
            device is faster so.
        part
            What of the images is wanted; ``None`` = all. UTANet and the networks built like it compute no
            more than that takes, see :meth:`src_model.models.utanet.UTANet.forward`.

        Returns
        -------
        Tensor
            (B, K, [D,] H, W) float32 on the device, of the part where one is given.

        Raises
        ------
        MemoryRanOut
            When the device's memory did not suffice.
        """

        def task(_model: SegmentationModel, x: Tensor) -> Tensor:
            step = self._pass if steady else self._forward
            if len(self._mirrorings) == 1:
                return step(x, part)
            mean = logits_of_mean(torch.stack([step(x.flip(axes)).flip(axes) for axes in self._mirrorings]))
            return mean if part is None else mean[(..., *part.slices)]

        return self.run(images, task)

    def run(self, images: NDArray[np.float32] | Sent, task: Callable[[SegmentationModel, Tensor], T]) -> T:
        """What ``task`` makes of the network and a batch (B, C, H, W), without gradients.

        Raises
        ------
        MemoryRanOut
            When the device's memory did not suffice.
        Stopped
            When the control token asked for it.
        """
        result = self._try(images, task)
        if result is None:
            # Raised here, not in the handler: the failed attempt's tensors are gone by now.
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            raise MemoryRanOut
        return result

    def _forward(self, x: Tensor, part: Box | None = None) -> Tensor:
        cuts = isinstance(self.model, UTANet)
        wanted = {"part": part} if cuts else {}
        result: Segmentation = self.model(x, top_k=self.top_k, domain=self.domain, **wanted)
        logits = result.logits if part is None or cuts else result.logits[(..., *part.slices)]
        return logits.float()

    def _try(
        self, images: NDArray[np.float32] | Sent, task: Callable[[SegmentationModel, Tensor], T]
    ) -> T | None:
        try:
            sent = images if isinstance(images, Sent) else self.transfer.send(images)
            with torch.inference_mode(), autocast(self.device, self.precision, keep_casts=False):
                return task(self.model, sent.on(self.device))
        except (RuntimeError, MemoryError) as error:
            if isinstance(error, MemoryError) or is_out_of_memory(error):
                return None
            raise
        finally:
            if self._watch is not None:
                self._watch.passed()


def _domain(model: SegmentationModel, domain: str | int | None) -> tuple[str | None, Domain]:
    """Name of a domain, or ``None`` for a network without; its channels and classes.

    Raises
    ------
    ModelError
        When the domain is unknown, must be told, or the network has none.
    """
    if isinstance(model, U2Net3D):
        name = list(model.domains)[find_domain(model.domains, domain)]
        return name, model.domains[name]
    if domain is not None:
        raise ModelError(f"The network '{model.name}' has no domains; leave domain {domain!r} out.")
    return None, Domain(model.in_channels, model.num_classes)


def probabilities(logits: Tensor) -> Tensor:
    """Logits (K, ...) to probabilities of the foreground classes (F, ...).

    One channel: its sigmoid (F = 1). More: their softmax without the background (F = K - 1).
    """
    return logits.sigmoid() if len(logits) == 1 else logits.softmax(0)[1:]


def classes(logits: Tensor, threshold: float) -> Tensor:
    """Logits (K, ...) to classes (...) uint8.

    One channel: 1 where the probability is above ``threshold``. More: the most probable class.
    """
    chosen = logits[0].sigmoid() > threshold if len(logits) == 1 else logits.argmax(0)
    return chosen.to(torch.uint8)


def logits_of_mean(logits: Tensor) -> Tensor:
    """Logits (B, K, ...) whose probabilities are the mean of those of several (N, B, K, ...).

    Computed from logarithms, so that probabilities next to 0 and 1 keep their precision. Several
    channels come back as the logarithm of the mean of their softmax.
    """
    if logits.shape[2] == 1:
        return logsigmoid(logits).logsumexp(0) - logsigmoid(-logits).logsumexp(0)
    return logits.log_softmax(2).logsumexp(0) - math.log(len(logits))


def _open(checkpoint: Checkpoint | str | PathLike[str]) -> Checkpoint:
    if isinstance(checkpoint, Checkpoint):
        return checkpoint
    if isinstance(checkpoint, (str, PathLike)):
        return load_checkpoint(Path(checkpoint))
    raise CheckpointError(
        f"Expected a checkpoint or the path of one but got {type(checkpoint).__name__}; "
        "open a file with load_checkpoint."
    )

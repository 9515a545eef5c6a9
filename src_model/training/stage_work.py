"""What one stage works with: network, optimiser, schedule and images, from the seed or from saved state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from src_model.config import TrainConfig
from src_model.device import Precision, resolve_device, resolve_precision
from src_model.models.base import SegmentationModel
from src_model.training.average import MovingAverage
from src_model.training.frozen import frozen_features
from src_model.training.history import EpochRecord
from src_model.training.losses import Objective
from src_model.training.optim import cosine, make_optimiser, set_learning_rate
from src_model.training.sources import Sources
from src_model.training.stages import Stage, build_network, set_training, take_over
from src_model.training.steps import Place, Stepper, StepResult
from src_model.training.usage import UsageMeter
from src_model.training.validation import validate


class Compute(NamedTuple):
    """On what, and how exactly, a run computes."""

    device: torch.device
    precision: Precision

    @classmethod
    def resolve(cls, config: TrainConfig) -> Compute:
        """As the configuration asks; see :mod:`src_model.device`."""
        device = resolve_device(config.device)
        return cls(device, resolve_precision(config.precision, device))


class StageWork:
    """One stage at work.

    Parameters
    ----------
    config, stage, sources, compute
        What is trained, on what.
    micro_batch
        Samples that are computed at once.
    base
        Weights of the stage before for a stage that starts from them.
    between
        Called before each part of a step: blocks in a pause, raises ``Stopped``.
    """

    def __init__(
        self,
        config: TrainConfig,
        stage: Stage,
        sources: Sources,
        compute: Compute,
        *,
        micro_batch: int,
        base: Mapping[str, Tensor] | None,
        between: Callable[[], None],
    ) -> None:
        self.config, self.stage, self.sources, self.compute = config, stage, sources, compute
        self._between = between
        self.model = build_network(config, stage)
        if base is not None:
            take_over(self.model, base, stage)
        self.model.to(compute.device)
        if self.model.dims == 2:
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = make_optimiser(self.model, stage.settings)
        decay = config.weight_average
        self.average = MovingAverage(self.model, decay, stage.prefix) if decay else None
        self.objective = Objective(config.balance_weight, self.model.auxiliary_weights)
        unchanging = config.augment.off
        images = len(sources.validation) + (len(sources.training) if unchanging else 0)
        self.features = frozen_features(self.model, stage, config, images, *compute)
        self.stepper = Stepper(
            self.model,
            self.optimiser,
            self.objective,
            device=compute.device,
            precision=compute.precision,
            seed=config.seed,
            micro_batch=micro_batch,
            between=between,
            features=self.features if unchanging else None,
        )

    @property
    def result(self) -> SegmentationModel:
        """What is validated and kept: the averaged network where there is one."""
        return self.model if self.average is None else self.average.model

    def batches(self, epoch: int) -> list[Sequence[int]]:
        """Indices of the samples of each step of an epoch; the same at every call."""
        return self.sources.batches(self.stage.name, epoch, self.config.batch_size * self.config.accumulate)

    def start_epoch(self) -> None:
        """Set the training mode and forget the losses of the epoch before."""
        set_training(self.model, self.stage)
        self._usage = UsageMeter()
        self._results: list[StepResult] = []

    def step(self, indices: Sequence[int], epoch: int, number: int, steps: int) -> StepResult:
        """Step ``number`` (from 1) of ``steps`` of an epoch."""
        done = (epoch - 1) * steps + number - 1
        settings = self.stage.settings
        self._rate = cosine(
            settings.learning_rate, done, settings.epochs * steps, settings.warmup_epochs * steps
        )
        set_learning_rate(self.optimiser, self._rate)
        training, name = self.sources.training, self.stage.name
        result = self.stepper.step(
            lambda index: training.sample(name, epoch, index),
            indices,
            Place(name, epoch, number),
            self._usage,
        )
        if self.average is not None:
            self.average.update(self.model, done)
        self._results.append(result)
        return result

    def end_epoch(self, epoch: int, seconds: Callable[[], float]) -> EpochRecord:
        """Validate, and sum the epoch up; ``seconds`` is asked after the validation."""
        scores = validate(
            self.result,
            self.sources.validation,
            self.objective,
            device=self.compute.device,
            precision=self.compute.precision,
            pixels=self.stepper.micro_batch * self.config.data.image_size**2,
            patch_size=self.config.volume.patch_size,
            between=self._between,
            place=Place(self.stage.name, epoch, len(self._results)),
            features=self.features,
        )
        samples = sum(result.samples for result in self._results)
        return EpochRecord(
            stage=self.stage.name,
            epoch=epoch,
            train_loss=sum(r.total * r.samples for r in self._results) / samples,
            segmentation_loss=sum(r.segmentation * r.samples for r in self._results) / samples,
            balance_loss=sum(r.balance * r.samples for r in self._results) / samples,
            validation_loss=scores.loss,
            dice=scores.dice,
            iou=scores.iou,
            domain_dice=scores.domain_dice,
            learning_rate=self._rate,
            expert_usage=self._usage.mean(),
            seconds=seconds(),
        )

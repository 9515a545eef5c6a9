"""Lets a network learn a few images by heart: flat ones by the project's own stages, or volumes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from src_model.config import AugmentConfig, StageConfig, TrainConfig
from src_model.data.dataset import TrainingSet, ValidationSet
from src_model.data.decathlon import read_decathlon
from src_model.data.image_io import read_image, read_mask
from src_model.data.layouts import find_cases
from src_model.data.volume_augment import VolumeAugment
from src_model.data.volume_set import VolumeSet
from src_model.device import resolve_device
from src_model.inference.volume import predict_volume
from src_model.metrics.pixel import dice
from src_model.models.base import SegmentationModel
from src_model.models.profile import count_parameters
from src_model.models.registry import create_model
from src_model.training.losses import Objective
from src_model.training.optim import cosine, make_optimiser, set_learning_rate
from src_model.training.sources import Sources
from src_model.training.stage_work import Compute, StageWork
from src_model.training.stages import plan_stages

NUCLEI = Path(__file__).parents[1] / "sample_data" / "nuclei" / "train"
PER_STAIN = 4
COLOURFUL = 5
"""Mean difference between the largest and the smallest channel above which a picture is stained."""
HIPPOCAMPI = 4
PATCH = (32, 48, 32)
SMALL_VOLUME_NETWORK = {"base_channels": 16, "poolings": (3, 3, 3)}
STILL = AugmentConfig(**dict.fromkeys(AugmentConfig.model_fields, 0.0))
STILL_VOLUME = VolumeAugment(flip=0, affine=0, intensity=0, noise=0)


class Settings(NamedTuple):
    """How a network learns; what a report must have in common to count as done."""

    steps: int
    """At most, in each stage."""
    every: int
    """Steps between two looks at the Dice."""
    enough: float
    """Dice at which the last stage ends early."""
    before: float
    """Dice at which a stage ends early that another follows: what it freezes must leave room."""
    rates: tuple[float, ...]
    """Learning rate of each stage; it follows a cosine down to 0."""
    side: int
    """Of the windows, pixels; 0 for volumes."""
    batch: int
    device: str


class Point(NamedTuple):
    """One look at a network that learns."""

    stage: str
    step: int
    """Of the stage, from 1."""
    loss: float
    dice: float
    """Mean over the images that it learns, in evaluation mode."""


class Lesson:
    """One network that learns one set of images.

    Attributes
    ----------
    images : list of str
        What is learned.
    model : SegmentationModel
        In the stage of the last point.
    precision : str
        In which it computes.
    """

    images: list[str]
    model: SegmentationModel
    precision: str

    def points(self) -> Iterator[Point]:
        """Learn; a stage ends with its last step, or when it is good enough."""
        raise NotImplementedError

    @property
    def parameters(self) -> int:
        """Of the network."""
        return count_parameters(self.model)


class FlatLesson(Lesson):
    """Windows of nuclei, all in one batch, so an epoch is a step; in two stages with a mixture."""

    def __init__(self, name: str, settings: Settings, folder: Path) -> None:
        self.settings = settings
        pairs = write_windows(folder / f"windows-{settings.side}", settings.side)
        stages = [
            StageConfig(epochs=settings.steps, learning_rate=rate, weight_decay=0.0)
            for rate in settings.rates
        ]
        self.config = TrainConfig.parse(
            {
                "data": {"root": pairs, "image_size": settings.side},
                "out": folder / name,
                "model": {"name": name},
                "stage1": stages[0],
                "stage2": stages[1],
                "batch_size": settings.batch,
                "augment": STILL,
                "device": settings.device,
            }
        )
        self.compute = Compute.resolve(self.config)
        self.precision = self.compute.precision
        cases, data, model = find_cases(pairs).cases, self.config.data, self.config.model
        learned = TrainingSet(cases, data, STILL, model, self.config.seed)
        scored = ValidationSet(cases, data, model, normalisation=learned.normalisation)
        self.sources = Sources(learned, scored, fingerprint="")
        self.images = [case.id for case in cases]

    def points(self) -> Iterator[Point]:
        """See :meth:`Lesson.points`."""
        base = None
        stages = plan_stages(self.config).stages
        for stage in stages:
            work = StageWork(
                self.config,
                stage,
                self.sources,
                self.compute,
                micro_batch=self.settings.batch,
                base=base,
                between=lambda: None,
            )
            self.model = work.model
            enough = self.settings.enough if stage is stages[-1] else self.settings.before
            yield from self._stage(work, enough)
            base = work.model.state_dict()

    def _stage(self, work: StageWork, enough: float) -> Iterator[Point]:
        step = 0
        for epoch in range(1, self.settings.steps + 1):
            work.start_epoch()
            batches = work.batches(epoch)
            for number, indices in enumerate(batches, start=1):
                work.step(indices, epoch, number, len(batches))
                step += 1
            if epoch % self.settings.every == 0 or epoch == self.settings.steps:
                record = work.end_epoch(epoch, time.perf_counter)
                yield Point(work.stage.name, step, record.segmentation_loss, record.dice)
                if record.dice >= enough:
                    return


class VolumeLesson(Lesson):
    """Patches of hippocampi, one a step; scored on the whole volumes."""

    precision = "float32"

    def __init__(self, name: str, settings: Settings, folder: Path) -> None:
        self.settings = settings
        found = read_decathlon(folder)
        self.classes = len(found.classes)
        self.volumes = VolumeSet(
            found.cases[:HIPPOCAMPI], patch_size=PATCH, num_classes=self.classes, augment=STILL_VOLUME
        )
        self.images = [case.id for case in self.volumes.cases]
        torch.manual_seed(0)
        domains = {"hippocampus": {"in_channels": 1, "num_classes": self.classes}}
        self.device = resolve_device(settings.device)
        self.model = create_model(name, domains=domains, **SMALL_VOLUME_NETWORK).to(self.device)

    def points(self) -> Iterator[Point]:
        """See :meth:`Lesson.points`."""
        steps, rate = self.settings.steps, self.settings.rates[0]
        optimiser = make_optimiser(self.model, StageConfig(epochs=0, learning_rate=rate, weight_decay=1e-4))
        objective = Objective(self.classes, 0.0, self.model.auxiliary_weights)
        losses: list[float] = []
        for step in range(1, steps + 1):
            set_learning_rate(optimiser, cosine(rate, step - 1, steps))
            image, mask = self._patch(step - 1)
            self.model.train()
            optimiser.zero_grad()
            loss = objective(self.model(image), mask).total
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
            if step % self.settings.every == 0 or step == steps:
                yield Point("1", step, float(np.mean(losses)), score := self._dice())
                losses.clear()
                if score >= self.settings.enough:
                    return

    def _patch(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        epoch, place = divmod(number, self.volumes.length_per_epoch)
        sample = self.volumes.sample(1, epoch, self.volumes.order(1, epoch)[place])
        image, mask = (torch.from_numpy(array)[None].to(self.device) for array in (sample.image, sample.mask))
        return image, mask

    def _dice(self) -> float:
        """Mean over the volumes and their foreground classes."""
        self.model.eval()
        scores = []
        for place in range(len(self.volumes.cases)):
            whole = self.volumes.whole(place)
            found = predict_volume(self.model, whole.image, patch_size=PATCH, overlap=0.25).argmax(0)
            scores += [dice(found == k, whole.mask == k) for k in range(1, self.classes)]
        return float(np.mean(scores))


def write_windows(folder: Path, side: int) -> Path:
    """Cut a window out of the first images of each stain; returns the folder of pairs.

    It is the window of ``side`` x ``side`` pixels, on a grid of 16, that holds most foreground.
    """
    chosen: dict[bool, int] = {True: 0, False: 0}
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for case in find_cases(NUCLEI).cases:
        image, mask = read_image(case.image), read_mask(case.mask)
        stained = bool(np.ptp(image.astype(int), axis=-1).mean() > COLOURFUL)
        chosen[stained] += 1
        if chosen[stained] <= PER_STAIN:
            window = _fullest(mask > 0, side)
            Image.fromarray(image[window]).save(folder / "images" / f"{case.id}.png")
            Image.fromarray(mask[window].astype(np.uint16)).save(folder / "labels" / f"{case.id}.png")
    return folder


def _fullest(foreground: NDArray[np.bool_], side: int) -> tuple[slice, slice]:
    places = [
        (slice(top, top + side), slice(left, left + side))
        for top in range(0, max(foreground.shape[0] - side, 0) + 1, 16)
        for left in range(0, max(foreground.shape[1] - side, 0) + 1, 16)
    ]
    return max(places, key=lambda place: int(foreground[place].sum()))
